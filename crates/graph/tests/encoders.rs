//! What only encoders have: embeddings of positions and of token types, and rows that see what comes after them.

use std::sync::Arc;

use graph::{
    Attention, Backend, Batch, Graph, GraphBuilder, Interpreter, KvShape, KvType, Limits, Op, WeightId, WeightInfo,
};
use tensor::{DType, Shape};

const LIMITS: Limits =
    Limits { max_tokens: 8, max_outputs: 8, kv_blocks: 4, block_len: 2, kv_type: KvType::F32, state_slots: 0 };

/// Hundreds by token, tens by position, ones by type.
fn sums() -> (Graph, Vec<Arc<Vec<f32>>>) {
    let mut graph = GraphBuilder::new();
    let mut table = |rows| graph.weight(WeightInfo::matrix("table", Shape::matrix(rows, 1), DType::F32));
    let [tokens, positions, types] = [5, 4, 3].map(&mut table);
    let mut x = graph.push(Op::Embed { table: tokens }, &[]).unwrap();
    for op in [Op::EmbedPositions { table: positions }, Op::EmbedTypes { table: types }] {
        let more = graph.push(op, &[]).unwrap();
        x = graph.push(Op::Add, &[x, more]).unwrap();
    }
    let x = graph.push(Op::SelectOutputs, &[x]).unwrap();
    let numbers = |count: usize, by: f32| Arc::new((0..count).map(|i| i as f32 * by).collect());
    (graph.finish("sums", x).unwrap(), vec![numbers(5, 100.0), numbers(4, 10.0), numbers(3, 1.0)])
}

/// Two spans: tokens 1, 2, 3 from position 1 on, token 4 at position 0.
fn batch() -> Batch {
    let mut batch = Batch::default();
    batch.push(&[1, 2, 3], 1, [0, 1]);
    batch.push(&[4], 0, [2]);
    batch.outputs = (0..4).collect();
    batch
}

#[test]
fn positions_and_types_are_looked_up() {
    let (graph, weights) = sums();
    let mut program = Interpreter.compile(&graph, weights, LIMITS).unwrap();
    let mut check = |types: &[u32], wanted: [f32; 4]| {
        let batch = Batch { types: types.to_vec(), ..batch() };
        Interpreter.run(&mut program, &batch).unwrap();
        assert_eq!(Interpreter.download(&program), wanted, "{types:?}");
    };
    check(&[], [110.0, 220.0, 330.0, 400.0]);
    check(&[0, 1, 2, 1], [110.0, 221.0, 332.0, 401.0]);
}

#[test]
fn batches() {
    let (graph, _) = sums();
    let check = |wanted: &str, change: fn(&mut Batch)| {
        let mut batch = batch();
        change(&mut batch);
        let given = batch.check(&LIMITS, &graph).map_or_else(|e| e.to_string(), |()| "fine".into());
        assert_eq!(given.trim_start_matches("batch refused: "), wanted);
    };
    check("fine", |_| {});
    check("fine", |b| b.types = vec![2; 4]);
    check("token type 3 of 3", |b| b.types = vec![0, 3, 0, 0]);
    check("3 token types for 4 rows", |b| b.types = vec![0; 3]);
    check("1 rows at position 4, the model has 4 positions", |b| {
        b.push(&[0], 4, [0, 1, 3]);
    });
    assert_eq!((graph.positions(), graph.types(), graph.causal()), (4, 3, true));
}

/// Of each row, the mean of the values that it sees: all scores are the same.
fn means(window: Option<usize>) -> Vec<f32> {
    let mut graph = GraphBuilder::new();
    let mut table = |rows: usize| graph.weight(WeightInfo::matrix("table", Shape::matrix(rows, 1), DType::F32));
    let tables: [WeightId; 2] = [5, 5].map(&mut table);
    let [q, v] = tables.map(|table| graph.push(Op::Embed { table }, &[]).unwrap());
    let layer = graph.kv_layer(KvShape { heads: 1, head_dim: 1 });
    graph.kv_write(layer, q, v).unwrap();
    let op = Attention { layer, heads: 1, scale: 1.0, window, causal: false, softcap: None, sinks: None };
    let x = graph.attention(op, q).unwrap();
    let x = graph.push(Op::SelectOutputs, &[x]).unwrap();
    let graph = graph.finish("means", x).unwrap();
    assert!(!graph.causal());
    let weights = vec![Arc::new(vec![0.0; 5]), Arc::new(vec![0.0, 10.0, 20.0, 30.0, 40.0])];
    let mut program = Interpreter.compile(&graph, weights, LIMITS).unwrap();
    let mut batch = Batch::default();
    batch.push(&[0, 1, 2, 3], 0, [0, 1]);
    batch.push(&[4], 0, [2]);
    batch.outputs = (0..5).collect();
    Interpreter.run(&mut program, &batch).unwrap();
    Interpreter.download(&program).to_vec()
}

#[test]
fn rows_see_what_comes_after_them() {
    assert_eq!(means(None), [15.0, 15.0, 15.0, 15.0, 40.0]);
    assert_eq!(means(Some(1)), [0.0, 10.0, 20.0, 30.0, 40.0]);
    assert_eq!(means(Some(2)), [5.0, 10.0, 20.0, 25.0, 40.0]);
    assert_eq!(means(Some(9)), means(None));
}
