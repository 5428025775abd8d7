//! The reference interpreter: every operator as plainly as it can be written, in `f32`, on one thread. Sums run from
//! left to right. A Q8 value is kept as the numbers it stands for, one by position without room for more than there are.

mod attention;
mod experts;
mod rowwise;

use crate::{Backend, BackendError, Batch, End, Graph, Limits, Node, Op, Product, WeightId};
use attention::{Cache, Ragged};

/// Runs graphs slowly and plainly; the yardstick for every other backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interpreter;

/// A graph bound to decoded weights. Every value keeps its own memory, so that no mistake of a [`crate::Plan`] is shared.
#[derive(Debug)]
pub struct Program {
    graph: Graph,
    weights: Vec<Vec<f32>>,
    limits: Limits,
    cache: Cache,
    /// By [`crate::ValueId::index`]; indices are kept as the bits of a number.
    values: Vec<Vec<f32>>,
}

impl Backend for Interpreter {
    type Weight = Vec<f32>;
    type Program = Program;

    fn upload(&self, graph: &Graph, id: WeightId, bytes: &[u8]) -> Result<Vec<f32>, BackendError> {
        let info = graph.weight(id);
        let wanted = info.bytes().unwrap_or(0);
        let length = || BackendError::WeightLength { name: info.name.clone(), given: bytes.len(), wanted };
        if bytes.len() != wanted {
            return Err(length());
        }
        let mut values = zeros(info.shape.elements(), "a weight")?;
        tensor::decode(info.dtype, bytes, &mut values).map_err(|_| length())?;
        Ok(values)
    }

    fn compile(&self, graph: &Graph, weights: Vec<Vec<f32>>, limits: Limits) -> Result<Program, BackendError> {
        for (i, info) in graph.weights().iter().enumerate() {
            let given = weights.get(i).map_or(0, |values| values.len() * size_of::<f32>());
            let wanted = info.shape.elements().unwrap_or(0) * size_of::<f32>();
            if given != wanted {
                return Err(BackendError::WeightLength { name: info.name.clone(), given, wanted });
            }
        }
        let (cache, values) = (Cache::new(graph.kv(), &limits)?, vec![vec![]; graph.values().len()]);
        Ok(Program { graph: graph.clone(), weights, limits, cache, values })
    }

    fn run(&self, program: &mut Program, batch: &Batch) -> Result<(), BackendError> {
        batch.check(&program.limits, &program.graph)?;
        program.cache.copy(&batch.copies);
        let Program { graph, weights, cache, values, .. } = program;
        for node in graph.nodes() {
            let made = Step { graph, weights, cache, values, batch }.compute(node);
            for (id, value) in node.outputs.iter().zip(made) {
                values[id.index()] = value;
            }
        }
        Ok(())
    }

    fn download<'p>(&self, program: &'p Program) -> &'p [f32] {
        &program.values[program.graph.logits().index()]
    }
}

/// All that one node may read, and the cache, which it may write.
struct Step<'a> {
    graph: &'a Graph,
    weights: &'a [Vec<f32>],
    cache: &'a mut Cache,
    values: &'a [Vec<f32>],
    batch: &'a Batch,
}

impl Step<'_> {
    /// The values that the node gives.
    fn compute(self, node: &Node) -> Vec<Vec<f32>> {
        let Step { graph, weights, cache, values, batch } = self;
        let x = |i: usize| values[node.inputs[i].index()].as_slice();
        let matrix = |i| Matrix { data: x(i), width: graph.value(node.inputs[i]).width };
        let weight = |id: WeightId| weights[id.index()].as_slice();
        let shape = |id: WeightId| graph.weight(id).shape;
        let one = match &node.op {
            Op::Embed { table } => {
                rowwise::select(Matrix { data: weight(*table), width: shape(*table).cols }, &batch.tokens)
            }
            Op::Linear { weight: id } => rowwise::linear(x(0), weight(*id), shape(*id).cols),
            Op::AddBias { bias } => rowwise::add_bias(x(0), weight(*bias)),
            Op::RmsNorm { weight: id, eps, quantize } => {
                let normed = rowwise::rms_norm(x(0), weight(*id), *eps);
                if *quantize { rowwise::quantize(&normed) } else { normed }
            }
            Op::Add => rowwise::add(x(0), x(1)),
            Op::Scale { by } => x(0).iter().map(|x| x * by).collect(),
            Op::SoftCap { cap } => rowwise::soft_cap(*cap, x(0)),
            Op::Glu { act } => rowwise::glu(*act, x(0), x(1)),
            Op::Quantize => rowwise::quantize(x(0)),
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
            Op::Scores { layer, heads, scale } => cache.scores(*layer, *heads, *scale, x(0), batch),
            Op::Softmax { window, sinks } => {
                attention::shares(*window, sinks.map(weight), x(0), &Ragged { batch, heads: matrix(0).width })
            }
            Op::Weigh { layer } => cache.weigh(*layer, x(0), &Ragged { batch, heads: matrix(0).width }),
            Op::SelectOutputs => rowwise::select(matrix(0), &batch.outputs),
            Op::TopK { k } => experts::top_k(matrix(0), *k),
            Op::GateWeights { scoring } => experts::gate_weights(*scoring, matrix(0), matrix(1)),
            Op::ExpertLinear { weight: id } => experts::linear(matrix(0), matrix(1), weight(*id), shape(*id)),
            Op::ExpertBias { bias } => experts::bias(matrix(0), matrix(1), weight(*bias), shape(*bias).cols),
            Op::ExpertSum => experts::sum(matrix(0), matrix(1)),
        };
        vec![one]
    }
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
    if op.quantize { given.iter().map(|y| rowwise::quantize(y)).collect() } else { given }
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
