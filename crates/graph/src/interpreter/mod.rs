//! The reference interpreter: every operator as plainly as it can be written, in `f32`, on one thread. Sums run from
//! left to right. Q8 values are kept as the numbers they stand for. Values by position have no padding.

mod attention;
mod experts;
mod recurrent;
mod rowwise;

use std::sync::Arc;

use crate::{
    Backend, BackendError, Batch, Change, Device, Elem, End, Graph, Layout, Limits, MemoryPart, Node, Op, Product,
    WeightId, WeightInfo, reduce, rules,
};
use attention::{Cache, Ragged};
use recurrent::States;

/// Runs graphs slowly and plainly; the yardstick for every other backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interpreter;

impl Interpreter {
    /// It computes every operator, and wastes no memory.
    pub const DEVICE: Device = Device {
        rules: rules(),
        layout: Layout { align: 1, q8_words: |columns| columns, block_align: 1 },
        adapts: true,
        top: usize::MAX,
    };
}

/// A graph bound to decoded weights. Every value keeps its own memory, so that no mistake of a [`crate::Plan`] is shared.
#[derive(Debug)]
pub struct Program {
    graph: Graph,
    /// The same for batches with adapters; made for the first of them.
    adapted: Option<Graph>,
    weights: Vec<Arc<Vec<f32>>>,
    limits: Limits,
    cache: Cache,
    states: States,
    /// By [`crate::ValueId::index`]; indices are kept as the bits of a number.
    values: Vec<Vec<f32>>,
    /// The last batch's output.
    output: Vec<f32>,
}

impl Backend for Interpreter {
    type Weight = Vec<f32>;
    type Program = Program;

    fn device(&self) -> Device {
        Interpreter::DEVICE
    }

    fn upload(&self, info: &WeightInfo, bytes: &[u8]) -> Result<Vec<f32>, BackendError> {
        info.check(bytes)?;
        let mut values = zeros(info.shape.elements(), "a weight")?;
        tensor::decode(info.dtype, bytes, &mut values).expect("as many bytes as elements");
        Ok(values)
    }

    fn compile(&self, graph: &Graph, weights: Vec<Arc<Vec<f32>>>, limits: Limits) -> Result<Program, BackendError> {
        for (i, info) in graph.weights().iter().enumerate() {
            let given = weights.get(i).map_or(0, |values| values.len() * size_of::<f32>());
            let wanted = info.shape.elements().unwrap_or(0) * size_of::<f32>();
            if given != wanted {
                return Err(BackendError::WeightLength { name: info.name.clone(), given, wanted });
            }
        }
        let (cache, states) = (Cache::new(graph, &limits)?, States::new(graph, &limits)?);
        let (graph, values, output) = (graph.clone(), vec![], vec![]);
        Ok(Program { graph, adapted: None, weights, limits, cache, states, values, output })
    }

    fn run(&self, program: &mut Program, batch: &Batch) -> Result<(), BackendError> {
        batch.check(&program.limits, &program.graph)?;
        program.cache.copy(&batch.copies);
        program.states.copy(&batch.state_copies);
        let Program { graph, adapted, weights, cache, states, values, output, .. } = program;
        let graph = match batch.adapters.is_empty() {
            true => &*graph,
            false => &*adapted.get_or_insert_with(|| crate::adapted(graph)),
        };
        values.resize(graph.values().len(), vec![]);
        for node in graph.nodes() {
            let made = Step { graph, weights, cache, states, values, batch }.compute(node);
            for (id, value) in node.outputs.iter().zip(made) {
                values[id.index()] = value;
            }
        }
        output.clear();
        let rows = values[graph.output().value.index()].chunks(graph.output_width().max(1));
        let top = batch.top.iter().copied().chain(std::iter::repeat(0));
        rows.zip(top).for_each(|(row, top)| reduce(row, top as usize, output));
        Ok(())
    }

    fn download<'p>(&self, program: &'p Program) -> &'p [f32] {
        &program.output
    }

    fn save(&self, program: &Program, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        let words: Option<Vec<&[f32]>> = match part {
            MemoryPart::Block(block) => program.cache.block(block).collect(),
            MemoryPart::State(slot) => program.states.slot(slot).collect(),
        };
        let Some(words) = words else { return false };
        bytes.extend(words.into_iter().flatten().flat_map(|word| word.to_le_bytes()));
        true
    }

    fn load(&self, program: &mut Program, part: MemoryPart, bytes: &[u8]) -> bool {
        let words: Option<Vec<&mut [f32]>> = match part {
            MemoryPart::Block(block) => program.cache.block_mut(block).collect(),
            MemoryPart::State(slot) => program.states.slot_mut(slot).collect(),
        };
        let Some(words) = words else { return false };
        let (saved, rest) = bytes.as_chunks();
        let fits = rest.is_empty() && saved.len() == words.iter().map(|words| words.len()).sum::<usize>();
        if fits {
            words.into_iter().flatten().zip(saved).for_each(|(word, saved)| *word = f32::from_le_bytes(*saved));
        }
        fits
    }
}

/// All that one node may read, and the memories, which it may write.
struct Step<'a> {
    graph: &'a Graph,
    weights: &'a [Arc<Vec<f32>>],
    cache: &'a mut Cache,
    states: &'a mut States,
    values: &'a [Vec<f32>],
    batch: &'a Batch,
}

impl Step<'_> {
    /// The values that the node gives.
    fn compute(self, node: &Node) -> Vec<Vec<f32>> {
        let Step { graph, weights, cache, states, values, batch } = self;
        let x = |i: usize| values[node.inputs[i].index()].as_slice();
        let matrix = |i| Matrix { data: x(i), width: graph.value(node.inputs[i]).width };
        let weight = |id: WeightId| weights[id.index()].as_slice();
        let shape = |id: WeightId| graph.weight(id).shape;
        let ragged = |heads| Ragged { batch, heads, causal: true };
        let one = match &node.op {
            Op::Embed { table } | Op::EmbedPositions { table } | Op::EmbedTypes { table } => {
                rowwise::select(Matrix { data: weight(*table), width: shape(*table).cols }, &embedded(&node.op, batch))
            }
            Op::Input { .. } => batch.inputs.clone(),
            Op::Linear { weight: id } => rowwise::linear(x(0), weight(*id), shape(*id).cols),
            Op::Adapt { weight: id } => adapt(*id, matrix(0), matrix(1), batch),
            Op::AddBias { bias } => rowwise::add_bias(x(0), weight(*bias)),
            Op::RmsNorm { weight: id, eps, quantize } => {
                let normed = rowwise::rms_norm(x(0), weight(*id), *eps);
                if *quantize { rowwise::quantize(&normed, Elem::Q8_BLOCK) } else { normed }
            }
            Op::UnitNorm { span, eps } => rowwise::unit_norm(x(0), *span, *eps),
            Op::GaussianTopK { deviations } => rowwise::gaussian_top_k(matrix(0), *deviations),
            Op::Add => rowwise::add(x(0), x(1)),
            Op::Mul => rowwise::mul(matrix(0), matrix(1)),
            Op::Scale { by } => x(0).iter().map(|x| x * by).collect(),
            Op::ScaleBy { weight: id } => rowwise::scale_by(x(0), weight(*id)),
            Op::LayerNorm { weight: id, bias, span, eps } => {
                rowwise::layer_norm(x(0), weight(*id), bias.map(weight), *span, *eps)
            }
            Op::Activate { act } => rowwise::activate(*act, x(0)),
            &Op::Slice { span, first, width } => rowwise::slice(x(0), span, first, width),
            Op::Concat { parts } => rowwise::concat(matrix(0), matrix(1), *parts),
            Op::HeadLinear { weight: id } => rowwise::head_linear(x(0), weight(*id), shape(*id)),
            Op::Grow(growth) => rowwise::grow(*growth, matrix(0), batch),
            Op::SoftCap { cap } => rowwise::soft_cap(*cap, x(0)),
            Op::Glu { act } => rowwise::glu(*act, x(0), x(1)),
            Op::Quantize { span } => rowwise::quantize(x(0), *span),
            Op::Product(product) => return products(product, x(0), matrix(node.inputs.len() - 1), weight),
            Op::Rope(rope) => rowwise::rope(rope, matrix(0), batch),
            Op::KvWrite { layer } => {
                cache.write(*layer, batch, x(0), x(1));
                return vec![];
            }
            Op::RopeKvWrite { rope, layer } => {
                cache.write(*layer, batch, &rowwise::rope(rope, matrix(1), batch), x(2));
                rowwise::rope(rope, matrix(0), batch)
            }
            Op::Attention(op) => cache.attend(op, x(0), op.sinks.map(weight), batch),
            Op::Scores { layer, heads, scale } => cache.scores(*layer, *scale, x(0), &ragged(*heads)),
            Op::Softmax { window, sinks } => {
                attention::softmax_weights(*window, sinks.map(weight), x(0), &ragged(matrix(0).width))
            }
            Op::Weigh { layer } => cache.weigh(*layer, x(0), &ragged(matrix(0).width)),
            Op::CausalConv { layer, weight: id } => states.causal_conv(*layer, matrix(0), weight(*id), batch),
            Op::GatedDelta(op) => states.gated_delta(op, [0, 1, 2, 3, 4].map(matrix), batch),
            Op::Scan(op) => states.scan(op, [0, 1, 2, 3].map(matrix), [op.decay, op.skip].map(weight), batch),
            Op::SelectOutputs => rowwise::select(matrix(0), &batch.outputs),
            op => experts::compute(op, matrix, weight, shape),
        };
        vec![one]
    }
}

/// The rows of its table that an operator takes for the batch's rows.
fn embedded(op: &Op, batch: &Batch) -> Vec<u32> {
    match op {
        Op::EmbedPositions { .. } => batch.positions().map(|position| position as u32).collect(),
        Op::EmbedTypes { .. } => (0..batch.tokens.len()).map(|row| batch.kind(row)).collect(),
        _ => batch.tokens.clone(),
    }
}

/// y, with what the rows' adapters add to products with a weight.
fn adapt(weight: WeightId, y: Matrix, x: Matrix, batch: &Batch) -> Vec<f32> {
    let (mut sums, count) = (y.data.to_vec(), y.rows().count());
    for (row, (sums, x)) in sums.chunks_exact_mut(y.width).zip(x.rows()).enumerate() {
        let Some(Change { a, b, .. }) = batch.adapter(row, count).and_then(|adapter| adapter.change(weight)) else {
            continue;
        };
        let low: Vec<f32> = a.chunks_exact(x.len()).map(|a| dot(a, x)).collect();
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += low.iter().zip(b.chunks_exact(y.width)).map(|(low, b)| low * b[i]).sum::<f32>();
        }
    }
    sums
}

/// What a product gives; only one that ends with an addition looks at `residual`.
fn products<'a>(op: &Product, residual: &[f32], x: Matrix, weight: impl Fn(WeightId) -> &'a [f32]) -> Vec<Vec<f32>> {
    let sum = |(&id, bias): (&WeightId, &Option<WeightId>)| {
        let sum = rowwise::linear(x.data, weight(id), x.width);
        if let Some(bias) = bias { rowwise::add_bias(&sum, weight(*bias)) } else { sum }
    };
    let sums: Vec<Vec<f32>> = op.weights.iter().zip(&op.biases).map(sum).collect();
    let given = match op.end {
        End::Store => sums,
        End::Add => vec![rowwise::add(residual, &sums[0])],
        End::Glu(act) => vec![rowwise::glu(act, &sums[0], &sums[1])],
    };
    if op.quantize { given.iter().map(|y| rowwise::quantize(y, Elem::Q8_BLOCK)).collect() } else { given }
}

/// Rows of numbers, or of indices as the bits of numbers.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    width: usize,
}

impl<'a> Matrix<'a> {
    fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        self.data.chunks_exact(self.width)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `len` zeros; `None` stands for more than can be counted.
fn zeros(len: Option<usize>, what: &'static str) -> Result<Vec<f32>, BackendError> {
    let len = len.unwrap_or(usize::MAX);
    let mut values = Vec::new();
    let short = |_| BackendError::Memory { what, bytes: len.saturating_mul(size_of::<f32>()) };
    values.try_reserve_exact(len).map_err(short)?;
    values.resize(len, 0.0);
    Ok(values)
}
