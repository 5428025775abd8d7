//! From operators to calls of kernels.

mod layers;
mod products;
mod rowwise;

use graph::{Elem, End, Graph, Limits, Node, Op, Plan, Product, Rope, RopeStyle, Rows, Step, ValueInfo, WeightId};

use crate::call::{Bind, Call, Extent, Unsupported};
use crate::kernel::{Family, Kernel, top};
use crate::matrix::Multiplier;
use crate::scratch;
use crate::weight::Weight;

/// Lanes of a workgroup that look for the greatest numbers.
const TOP_LANES: u32 = 256;

/// All calls of a graph, and the tables of angles that they read.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) calls: Vec<Call>,
    pub(crate) ropes: Vec<Rope>,
}

/// Refuses a graph with operators that have no kernels.
pub(crate) fn check(graph: &Graph) -> Result<(), Unsupported> {
    let mut operators: Vec<String> = graph.nodes().iter().filter_map(|node| unsupported(graph, node)).collect();
    operators.sort();
    operators.dedup();
    if operators.is_empty() { Ok(()) } else { Err(Unsupported { operators }) }
}

/// What of a node has no kernel.
fn unsupported(graph: &Graph, node: &Node) -> Option<String> {
    let rounded = node.inputs.iter().chain(&node.outputs).any(|&id| matches!(graph.value(id).elem, Elem::Q8 { .. }));
    let glu = matches!(&node.op, Op::Product(Product { end: End::Glu(_), .. }));
    match &node.op {
        op if rounded => Some(format!("{} of rows in 8 bits", op.name())),
        Op::Attention(attention) if !attention.causal => Some("attention both ways".to_owned()),
        op @ (Op::EmbedPositions { .. } | Op::EmbedTypes { .. }) => Some(op.name().to_owned()),
        op if glu => Some(format!("{} that ends with a gated activation", op.name())),
        _ => None,
    }
}

/// Lowers a graph that [`check`] lets pass.
pub(crate) fn lower(
    (graph, plan): (&Graph, &Plan),
    limits: &Limits,
    weights: &[&Weight],
    multiplier: Multiplier,
) -> Lowered {
    let mut lower = Lower {
        graph,
        limits,
        weights,
        places: &plan.steps,
        scratch: plan.words as u32,
        multiplier,
        step: &plan.steps[0],
        calls: vec![],
        ropes: vec![],
    };
    lower.copies();
    for step in &plan.steps {
        lower.step = step;
        lower.node(&graph.nodes()[step.node]);
    }
    lower.top(plan.output as u32);
    Lowered { calls: lower.calls, ropes: lower.ropes }
}

/// The state of lowering: the node at hand and what there is so far.
struct Lower<'a> {
    graph: &'a Graph,
    limits: &'a Limits,
    weights: &'a [&'a Weight],
    places: &'a [Step],
    /// Where the memory behind the values begins.
    scratch: u32,
    multiplier: Multiplier,
    step: &'a Step,
    calls: Vec<Call>,
    ropes: Vec<Rope>,
}

/// A value of the node at hand: where it is and what.
#[derive(Clone, Copy)]
struct Value {
    at: u32,
    width: u32,
    rows: Rows,
}

impl Lower<'_> {
    fn node(&mut self, node: &Node) {
        match &node.op {
            Op::Embed { .. } | Op::Linear { .. } | Op::Product(_) | Op::HeadLinear { .. } | Op::ExpertLinear { .. } => {
                self.products(node);
            }
            Op::Rope(_)
            | Op::RopeKvWrite { .. }
            | Op::KvWrite { .. }
            | Op::Attention(_)
            | Op::Scores { .. }
            | Op::Softmax { .. }
            | Op::Weigh { .. }
            | Op::CausalConv { .. }
            | Op::GatedDelta(_)
            | Op::Scan(_) => self.layers(node),
            // Written by the host, where its first reader finds it.
            Op::Input { .. } => {}
            Op::SoftCap { cap } if self.info(node.inputs[0]).elem == Elem::Positions => self.cap(node, *cap),
            _ => self.rowwise(node),
        }
    }

    fn info(&self, id: graph::ValueId) -> ValueInfo {
        self.graph.value(id)
    }

    fn input(&self, node: &Node, i: usize) -> Value {
        let info = self.info(node.inputs[i]);
        Value { at: self.step.inputs[i] as u32, width: info.width as u32, rows: info.rows }
    }

    fn output(&self, node: &Node, i: usize) -> Value {
        let info = self.info(node.outputs[i]);
        Value { at: self.step.outputs[i] as u32, width: info.width as u32, rows: info.rows }
    }

    /// A value, wherever it is.
    fn value(&self, id: graph::ValueId) -> Value {
        let info = self.info(id);
        Value { at: 0, width: info.width as u32, rows: info.rows }
    }

    fn elements(&self, id: WeightId) -> u32 {
        self.graph.weight(id).shape.elements().unwrap_or(0) as u32
    }

    fn weight(&self, id: WeightId) -> &Weight {
        self.weights[id.index()]
    }

    fn push(&mut self, kernel: Kernel, params: Vec<u32>, binds: Vec<Bind>, grid: [Extent; 3]) {
        self.calls.push(Call { kernels: vec![(1, kernel)], params, binds, grid });
    }

    /// The table of a rope's angles.
    fn rope(&mut self, rope: &Rope) -> u32 {
        let same = |other: &Rope| other.freqs == rope.freqs && other.magnitude == rope.magnitude;
        let found = self.ropes.iter().position(same);
        found.unwrap_or_else(|| {
            self.ropes.push(rope.clone());
            self.ropes.len() - 1
        }) as u32
    }

    /// After everything else: the greatest numbers of output rows, which are at this place.
    fn top(&mut self, x: u32) {
        let width = self.graph.output_width();
        let (chunks, [words, _]) = (width.div_ceil(scratch::CHUNK) as u32, scratch::top_words(width, self.limits));
        let results = self.scratch + words as u32;
        let params = vec![x, width as u32, chunks, self.scratch, results, f32::NAN.to_bits()];
        for (step, groups) in [(top::CHUNK, chunks), (top::MERGE, 1)] {
            let sizes = [("LANES", TOP_LANES), ("CHUNK_LEN", scratch::CHUNK as u32)];
            let constants = [&[("STEP", step), ("LISTS", chunks.div_ceil(TOP_LANES))], &sizes[..]].concat();
            let grid = [Extent::Fixed(groups), Extent::Top, Extent::Fixed(1)];
            self.push(Kernel::new(Family::Top, &constants), params.clone(), vec![], grid);
        }
    }

    /// Before anything else: blocks and states that a batch copies.
    fn copies(&mut self) {
        for (layer, memory) in self.graph.memory().iter().enumerate() {
            let copied: &[crate::call::Memory] = match memory {
                graph::Memory::Kv(_) => &[crate::call::Memory::Keys, crate::call::Memory::Values],
                graph::Memory::Recurrent { .. } => &[crate::call::Memory::State],
            };
            for &which in copied {
                let state = which == crate::call::Memory::State;
                let words = crate::memories::words(memory, self.limits) as u32;
                let kernel = Kernel::new(Family::Copies, &[("OF_STATES", u32::from(state))]);
                // A group has 64 words, and a direction at most 65,535 groups.
                let (x, y) = (words.div_ceil(64).min(65_535), words.div_ceil(64 * 65_535));
                let y = if state { Extent::IfStateCopies(y) } else { Extent::IfCopies(y) };
                self.push(
                    kernel,
                    vec![words],
                    vec![Bind::Copied(which, layer)],
                    [Extent::Fixed(x), y, Extent::Fixed(1)],
                );
            }
        }
    }
}

/// The constant by which kernels know how pairs of a rope lie.
fn pairs(rope: &Rope) -> u32 {
    u32::from(rope.style == RopeStyle::Pairs)
}
