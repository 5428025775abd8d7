//! The reference interpreter: every operator as plainly as it can be written, in `f32`, on one thread. Sums run from
//! left to right.

mod attention;
mod experts;
mod rowwise;

use crate::{Backend, BackendError, Batch, Graph, Limits, Node, Op, WeightId};
use attention::Cache;

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
            match (&node.op, node.output) {
                (Op::KvWrite { layer }, _) => cache.write(*layer, batch, of(values, node, 0), of(values, node, 1)),
                (_, Some(output)) => {
                    values[output.index()] = Step { graph, weights, cache, values, batch }.compute(node);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn download<'p>(&self, program: &'p Program) -> &'p [f32] {
        &program.values[program.graph.logits().index()]
    }
}

/// All that one node may read.
struct Step<'a> {
    graph: &'a Graph,
    weights: &'a [Vec<f32>],
    cache: &'a Cache,
    values: &'a [Vec<f32>],
    batch: &'a Batch,
}

impl Step<'_> {
    fn compute(&self, node: &Node) -> Vec<f32> {
        let x = |i| of(self.values, node, i);
        let matrix = |i| Matrix { data: x(i), width: self.graph.value(node.inputs[i]).width };
        let weight = |id: WeightId| self.weights[id.index()].as_slice();
        let shape = |id: WeightId| self.graph.weight(id).shape;
        match &node.op {
            Op::Embed { table } => {
                rowwise::select(Matrix { data: weight(*table), width: shape(*table).cols }, &self.batch.tokens)
            }
            Op::Linear { weight: id } => rowwise::linear(x(0), weight(*id), shape(*id).cols),
            Op::AddBias { bias } => rowwise::add_bias(x(0), weight(*bias)),
            Op::RmsNorm { weight: id, eps } => rowwise::rms_norm(x(0), weight(*id), *eps),
            Op::Add => x(0).iter().zip(x(1)).map(|(a, b)| a + b).collect(),
            Op::Scale { by } => x(0).iter().map(|x| x * by).collect(),
            Op::SoftCap { cap } => x(0).iter().map(|x| cap * (x / cap).tanh()).collect(),
            Op::Glu { act } => x(0).iter().zip(x(1)).map(|(&gate, &up)| rowwise::glu(*act, gate, up)).collect(),
            Op::Rope(rope) => rowwise::rope(rope, matrix(0), self.batch),
            Op::Attention(op) => self.cache.attend(op, x(0), op.sinks.map(weight), self.batch),
            Op::SelectOutputs => rowwise::select(matrix(0), &self.batch.outputs),
            Op::TopK { k } => experts::top_k(matrix(0), *k),
            Op::GateWeights { scoring } => experts::gate_weights(*scoring, matrix(0), matrix(1)),
            Op::ExpertLinear { weight: id } => experts::linear(matrix(0), matrix(1), weight(*id), shape(*id)),
            Op::ExpertBias { bias } => experts::bias(matrix(0), matrix(1), weight(*bias), shape(*bias).cols),
            Op::ExpertSum => experts::sum(matrix(0), matrix(1)),
            Op::KvWrite { .. } => vec![],
        }
    }
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

/// The node's input `i`.
fn of<'a>(values: &'a [Vec<f32>], node: &Node, i: usize) -> &'a [f32] {
    &values[node.inputs[i].index()]
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
