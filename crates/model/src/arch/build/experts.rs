//! Mixtures of experts.

use graph::{Op, Squash, ValueId};
use tensor::Shape;

use crate::ModelError;
use crate::bind::{Role, Slice};
use crate::spec::{ExpertSpec, FfnSpec, SharedSpec};

use super::{Builder, Value};

impl Builder<'_> {
    pub(super) fn experts(&mut self, i: usize, ffn: &FfnSpec, experts: &ExpertSpec, x: ValueId) -> Value {
        let chosen = self.choose(i, ffn, experts, x)?;
        let y = match experts.latent {
            None => self.mixture(i, ffn, experts.count, x, chosen)?,
            Some(width) => {
                let x = self.project(i, "ffn_latent_down", (width, None), false, x)?;
                let y = self.mixture(i, ffn, experts.count, x, chosen)?;
                self.project(i, "ffn_latent_up", (self.spec.width, None), false, y)?
            }
        };
        let Some(spec) = experts.shared else { return Ok(y) };
        let shared = self.shared(i, ffn, spec, x)?;
        let sum = self.push(Op::Add, &[y, shared])?;
        self.scale(if spec.averaged { 0.5 } else { 1.0 }, sum)
    }

    /// The weighted sum of what the chosen experts give.
    pub(in crate::arch) fn mixture(
        &mut self,
        i: usize,
        ffn: &FfnSpec,
        count: usize,
        x: ValueId,
        [ids, gates]: [ValueId; 2],
    ) -> Value {
        let width = self.weights.graph.value(x).width;
        let inner = Shape { outer: count, rows: ffn.width, cols: width };
        let up = self.chosen(i, Role::Up, inner, ffn.bias, [x, ids])?;
        let h = if ffn.gated {
            let gate = self.chosen(i, Role::Gate, inner, ffn.bias, [x, ids])?;
            self.push(Op::Glu { act: ffn.act }, &[gate, up])?
        } else {
            self.push(Op::Activate { act: ffn.act }, &[up])?
        };
        let outer = Shape { outer: count, rows: width, cols: ffn.width };
        let down = self.chosen(i, Role::Down, outer, ffn.bias, [h, ids])?;
        self.push(Op::ExpertSum, &[down, gates])
    }

    /// Which experts each token uses, and how much each counts.
    pub(in crate::arch) fn choose(
        &mut self,
        i: usize,
        ffn: &FfnSpec,
        experts: &ExpertSpec,
        x: ValueId,
    ) -> Result<[ValueId; 2], ModelError> {
        let ExpertSpec { count, used, squash, selection_bias, scoring, scale, .. } = *experts;
        let router = self.weights.router(i, Shape::matrix(count, self.spec.width))?;
        let mut scores = self.push(Op::Linear { weight: router }, &[x])?;
        if ffn.bias {
            let bias = self.weights.bias(i, "ffn_gate_inp", count, None)?;
            scores = self.push(Op::AddBias { bias }, &[scores])?;
        }
        if let Some(squash) = squash {
            scores = self.push(Op::Squash(squash), &[scores])?;
        }
        let mut merits = scores;
        if selection_bias {
            let bias = self.weights.selection_bias(i, count)?;
            merits = self.push(Op::AddBias { bias }, &[scores])?;
        }
        if let Some(groups) = experts.groups {
            merits = self.push(Op::KeepGroups(groups), &[merits])?;
        }
        let ids = self.push(Op::TopK { k: used }, &[merits])?;
        let mut gates = self.push(Op::GateWeights { scoring }, &[scores, ids])?;
        if experts.scaled && !ffn.bias {
            let scale = self.weights.elements(i, "ffn_down_exps.scale", count)?;
            gates = self.push(Op::ExpertScale { scale }, &[gates, ids])?;
        }
        Ok([ids, self.scale(scale, gates)?])
    }

    /// One matrix of each chosen expert.
    fn chosen(&mut self, i: usize, role: Role, shape: Shape, bias: bool, [x, ids]: [ValueId; 2]) -> Value {
        let weight = self.weights.experts(i, role, shape)?;
        let mut y = self.push(Op::ExpertLinear { weight }, &[x, ids])?;
        // Without a bias, the gates are multiplied with the last matrix's factors.
        let factor = self.weights.factor(i, &format!("ffn_{}_exps", role.name()), None);
        if let Some(factor) = factor.filter(|_| bias || role != Role::Down) {
            let scale = self.weights.elements(i, &factor, shape.outer)?;
            y = self.push(Op::ExpertScale { scale }, &[y, ids])?;
        }
        if !bias {
            return Ok(y);
        }
        let bias = self.weights.expert_bias(i, role, Shape::matrix(shape.outer, shape.rows))?;
        self.push(Op::ExpertBias { bias }, &[y, ids])
    }

    /// The expert that every token uses, times a sigmoid of the token's own if it is gated.
    fn shared(&mut self, i: usize, ffn: &FfnSpec, shared: SharedSpec, x: ValueId) -> Value {
        let slice = |first| Some(Slice { of: "ffn_gate_up_shexp", rows: 2 * shared.width, first, groups: 1 });
        let h = if ffn.gated {
            let gate = self.project(i, "ffn_gate_shexp", (shared.width, slice(0)), false, x)?;
            let up = self.project(i, "ffn_up_shexp", (shared.width, slice(shared.width)), false, x)?;
            self.push(Op::Glu { act: ffn.act }, &[gate, up])?
        } else {
            let up = self.project(i, "ffn_up_shexp", (shared.width, None), false, x)?;
            self.push(Op::Activate { act: ffn.act }, &[up])?
        };
        let y = self.project(i, "ffn_down_shexp", (self.spec.width, None), false, h)?;
        if !shared.gated {
            return Ok(y);
        }
        let part = self.project(i, "ffn_gate_inp_shexp", (1, None), false, x)?;
        let part = self.push(Op::Squash(Squash::Sigmoid), &[part])?;
        self.push(Op::ExpertSum, &[y, part])
    }
}
