//! How far a model's output moves when one matrix is changed.

use graph::{Backend, Stage, WeightId};
use model::{Model, Planned};

use crate::runner::{Runner, Weights, check_logits, fused};
use crate::{Error, Progress, evaluate, threads};

/// Tokens that are computed at once.
const ROWS: usize = 128;

/// A model's output on some tokens, to be compared with what it is when one matrix is another. Only the layers from that of the matrix on are
/// computed again.
pub(crate) struct Probe<'p, B: Backend> {
    backend: &'p B,
    model: &'p Model,
    tokens: &'p [u32],
    tails: Vec<Tail>,
    weights: Weights<B>,
    expected: Vec<f32>,
}

/// What is computed from a node of the model's graph on, and what it takes of the nodes before.
struct Tail {
    from: usize,
    stage: Stage,
    inputs: Vec<f32>,
}

/// Changes the values of a matrix, whose dimensions are those of the tensor that is given.
pub(crate) type Change<'c> = &'c dyn Fn(&Planned, &mut [f32]) -> Result<(), String>;

impl<'p, B: Backend> Probe<'p, B> {
    pub(crate) fn new(
        (backend, model): (&'p B, &'p Model),
        tokens: &'p [u32],
        progress: Progress,
    ) -> Result<Probe<'p, B>, Error> {
        check_logits(model)?;
        let weights = Weights::upload(backend, model, progress)?;
        let mut probe = Probe { backend, model, tokens, tails: vec![], weights, expected: vec![] };
        let graph = model.graph();
        let cuts: Vec<usize> = graph.layers().into_iter().skip(1).filter(|at| graph.can_split(*at)).collect();
        let problem = |problem: graph::GraphError| Error::Request(problem.to_string());
        let mut given = Vec::new();
        for (i, stage) in graph::split(graph, &cuts).map_err(problem)?.into_iter().enumerate() {
            let (cut, inputs) = (&cuts[i.saturating_sub(1)..i], given);
            given = probe.output(&probe.fused(stage)?, &inputs, &probe.weights)?;
            let from = cut.first().copied().unwrap_or(0);
            if let Some(tail) = graph::split(graph, cut).map_err(problem)?.pop() {
                probe.tails.push(Tail { from, stage: probe.fused(tail)?, inputs });
            }
        }
        probe.expected = given;
        Ok(probe)
    }

    fn fused(&self, stage: Stage) -> Result<Stage, Error> {
        Ok(Stage { graph: fused(self.backend, &stage.graph, &[])?, weights: stage.weights })
    }

    /// What a stage gives for every token.
    fn output(&self, stage: &Stage, inputs: &[f32], weights: &Weights<B>) -> Result<Vec<f32>, Error> {
        let weights = weights.of(&stage.weights);
        let mut runner = Runner::new(self.backend, &stage.graph, &weights, self.tokens.len(), ROWS)?;
        let mut all = Vec::new();
        runner.run_on((self.tokens, inputs), 0, |_, rows| {
            all.extend_from_slice(rows);
            Ok(())
        })?;
        Ok(all)
    }

    /// The mean divergence of the output when a tensor is changed; `None` if the graph has no such matrix.
    pub(crate) fn divergence(
        &self,
        tensor: &Planned,
        tensors: &[Planned],
        change: Change<'_>,
    ) -> Result<Option<f64>, Error> {
        let Some((changed, first)) = self.changed(tensor, tensors, change)? else { return Ok(None) };
        let Some(tail) = self.tails.iter().rfind(|tail| tail.from <= first) else { return Ok(None) };
        let got = self.output(&tail.stage, &tail.inputs, &changed)?;
        let width = self.model.graph().output_width();
        let expected = &self.expected;
        let of = |row: usize| {
            let row = row * width..(row + 1) * width;
            evaluate::divergence_of(&expected[row.clone()], &got[row])
        };
        Ok(Some(threads::each(self.tokens.len(), of).iter().sum::<f64>() / self.tokens.len() as f64))
    }

    /// The weights with the tensor changed, and the first node that reads it.
    fn changed(
        &self,
        tensor: &Planned,
        tensors: &[Planned],
        change: Change<'_>,
    ) -> Result<Option<(Weights<B>, usize)>, Error> {
        let graph = self.model.graph();
        let is_own = |id: &WeightId| is_part(&graph.weight(*id).name, &tensor.name, tensors);
        let own: Vec<WeightId> = graph.weight_ids().filter(is_own).collect();
        let Some(first) = graph.nodes().iter().position(|node| node.op.weights().iter().any(|id| own.contains(id)))
        else {
            return Ok(None);
        };
        let mut weights = self.weights.clone();
        for id in own {
            let info = graph.weight(id);
            let (shape, stored) = (info.shape, info.dtype);
            let mut values = vec![0.0; shape.elements().unwrap_or(0)];
            let problem = |problem: String| Error::Request(format!("{}: {problem}", info.name));
            tensor::decode(stored, &self.model.read(id)?, &mut values).map_err(|e| problem(e.to_string()))?;
            let dims = match tensor.dims.len() {
                3 => vec![shape.outer, shape.rows, shape.cols],
                _ => vec![shape.rows, shape.cols],
            };
            change(&Planned { dims, ..tensor.clone() }, &mut values).map_err(problem)?;
            let mut again = vec![0; info.bytes().unwrap_or(0)];
            tensor::encode(stored, &values, &mut again).map_err(|e| problem(e.to_string()))?;
            let weight = self.backend.upload(info, &again)?;
            weights = weights.with(id, weight);
        }
        Ok(Some((weights, first)))
    }
}

/// Whether a weight of the graph is a tensor of the file, or a part of one that the file has as a whole.
pub(super) fn is_part(weight: &str, tensor: &str, tensors: &[Planned]) -> bool {
    const WHOLES: [(&str, &[&str]); 2] = [("attn_qkv", &["attn_q", "attn_k", "attn_v"]), ("ffn_up", &["ffn_gate"])];
    if tensors.iter().any(|other| other.name == weight) {
        return weight == tensor;
    }
    let is = |whole: &str, part: &str| weight == tensor.replacen(&format!(".{whole}."), &format!(".{part}."), 1);
    WHOLES.iter().any(|(whole, parts)| parts.iter().any(|part| is(whole, part)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use graph::Interpreter;
    use model::Checkpoint;

    use super::*;
    use crate::Calibration;
    use crate::quantize::Quantize;

    /// A trained model of five layers, which is not in the repository.
    #[test]
    fn what_is_computed_from_a_layer_on_is_what_the_whole_model_gives() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets/models/stories260K.gguf");
        if !path.exists() {
            println!("skipped: {} is not there", path.display());
            return;
        }
        let checkpoint = Checkpoint::open(&path).expect("it can be opened");
        let model = checkpoint.bind(Some(16)).expect("sound");
        let tokens: Vec<u32> = (0..12).map(|i| 3 + i * i * 31 % 500).collect();
        let probe = Probe::new((&Interpreter, &model), &tokens, &|_, _, _| ()).expect("it runs");
        assert_eq!(probe.tails.len(), 5);
        let calibration = Calibration::default();
        let quantize = Quantize::new(&checkpoint, &calibration).expect("sound");
        let tensors = quantize.tensors();
        let halved = |_: &Planned, values: &mut [f32]| {
            values.iter_mut().for_each(|x| *x *= 0.5);
            Ok(())
        };
        for tensor in quantize.matrices() {
            let found = probe.divergence(&tensor, &tensors, &halved).expect("it runs").expect("the graph has it");
            let (changed, _) = probe.changed(&tensor, &tensors, &halved).expect("it runs").expect("the graph has it");
            let whole = probe.output(&probe.tails[0].stage, &[], &changed).expect("it runs");
            let width = model.graph().output_width();
            let rows = probe.expected.chunks(width).zip(whole.chunks(width));
            let expected = rows.map(|(a, b)| evaluate::divergence_of(a, b)).sum::<f64>() / tokens.len() as f64;
            assert!(found > 0.0 && found.to_bits() == expected.to_bits(), "{}: {found} {expected}", tensor.name);
        }
    }
}
