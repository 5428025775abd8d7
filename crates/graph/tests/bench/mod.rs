//! One operator on rows by the reference interpreter, against numbers worked out by hand.
#![allow(dead_code, unreachable_pub)]

use graph::testing::upload;
use graph::{Backend, Batch, Graph, GraphBuilder, Interpreter, KvType, Limits, Op, ValueId, WeightId, WeightInfo};
use tensor::{DType, Shape};

#[derive(Default)]
pub struct Bench {
    pub graph: GraphBuilder,
    pub weights: Vec<Vec<u8>>,
}

impl Bench {
    pub fn weight(&mut self, shape: Shape, values: &[f32]) -> WeightId {
        self.declare(WeightInfo::matrix("w", shape, DType::F32), values)
    }

    pub fn elements(&mut self, shape: Shape, values: &[f32]) -> WeightId {
        self.declare(WeightInfo::elements("w", shape, DType::F32), values)
    }

    pub fn declare(&mut self, info: WeightInfo, values: &[f32]) -> WeightId {
        assert_eq!(info.shape.elements(), Some(values.len()));
        self.weights.push(values.iter().flat_map(|x| x.to_le_bytes()).collect());
        self.graph.weight(info)
    }

    pub fn vector(&mut self, values: &[f32]) -> WeightId {
        self.elements(Shape::vector(values.len()), values)
    }

    /// A value with the given rows: token i looks up row i.
    pub fn input(&mut self, width: usize, rows: &[f32]) -> ValueId {
        let table = self.weight(Shape::matrix(rows.len() / width, width), rows);
        self.push(Op::Embed { table }, &[])
    }

    pub fn push(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.graph.push(op, inputs).unwrap()
    }

    pub fn top_k(&mut self, k: usize, scores: ValueId) -> ValueId {
        self.push(Op::TopK { k }, &[scores])
    }
}

/// Runs what `build` makes on tokens 0, 1, … of one sequence and compares all its rows.
pub fn check<const N: usize>(name: &str, rows: usize, build: impl FnOnce(&mut Bench) -> ValueId, wanted: [f32; N]) {
    let mut bench = Bench::default();
    let result = build(&mut bench);
    let result = bench.push(Op::SelectOutputs, &[result]);
    let given = run(&bench.graph.finish("rows", result).unwrap(), &bench.weights, rows);
    let close = given.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0));
    assert!(given.len() == N && close, "{name}: {given:?} instead of {wanted:?}");
}

pub fn run(graph: &Graph, weights: &[Vec<u8>], rows: usize) -> Vec<f32> {
    let weights = upload(&Interpreter, graph, weights);
    let (kv_type, state_slots) = (KvType::F32, 1);
    let limits = Limits { max_tokens: rows, max_outputs: rows, kv_blocks: 4, block_len: 2, kv_type, state_slots };
    let mut program = Interpreter.compile(graph, weights, limits).unwrap();
    let mut batch = Batch::default();
    batch.push_with_state(&(0..rows as u32).collect::<Vec<_>>(), 0, [3, 1, 2, 0], Some(0));
    batch.outputs.extend(0..rows as u32);
    Interpreter.run(&mut program, &batch).unwrap();
    Interpreter.download(&program).to_vec()
}
