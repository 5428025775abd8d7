//! The buffer plan on random graphs: what is alive at the same time never shares memory.

use graph::testing::{LAYOUT, ToyConfig, toy_model};
use graph::{
    Activation, End, Graph, GraphBuilder, KvType, Limits, Op, Plan, Product, Rows, ValueId, WeightInfo, fuse, rules,
};
use proptest::prelude::*;
use tensor::{DType, Shape};

/// A graph made by `choices`: each picks an operator, a first input and a second.
fn random_graph(choices: &[(u8, usize, usize)]) -> Graph {
    let mut b = GraphBuilder::new();
    let weight = |b: &mut GraphBuilder, shape| b.weight(WeightInfo::matrix("w", shape, DType::F32));
    let product = |b: &mut GraphBuilder, end: End, rows, cols| {
        let count = if end == End::Add { 1 } else { 2 };
        let weights = (0..count).map(|_| weight(b, Shape::matrix(rows, cols))).collect();
        Op::Product(Product { weights, biases: vec![None; count], end, quantize: false })
    };
    let table = weight(&mut b, Shape::matrix(9, 24));
    let mut values = vec![(b.push(Op::Embed { table }, &[]).unwrap(), 24, Rows::Tokens)];
    for &(op, first, second) in choices {
        let (x, width, rows) = values[first % values.len()];
        let alike: Vec<ValueId> = values.iter().filter(|v| (v.1, v.2) == (width, rows)).map(|v| v.0).collect();
        let y = alike[second % alike.len()];
        let (made, width, rows) = match op {
            0 => (b.push(Op::Add, &[x, y]), width, rows),
            1 => (b.push(Op::Glu { act: Activation::Silu }, &[x, y]), width, rows),
            2 => (b.push(Op::Scale { by: 2.0 }, &[x]), width, rows),
            3 if rows == Rows::Tokens => (b.push(Op::SelectOutputs, &[x]), width, Rows::Outputs),
            4 => {
                let norm = b.weight(WeightInfo::elements("norm", Shape::vector(width), DType::F32));
                (b.push(Op::RmsNorm { weight: norm, eps: 0.0, quantize: false }, &[x]), width, rows)
            }
            5 => {
                let op = product(&mut b, End::Add, width, width);
                (b.push(op, &[y, x]), width, rows)
            }
            _ => {
                let out = 1 + second % 50;
                let op = product(&mut b, End::Store, out, width);
                let made = b.push_all(op, &[x]).unwrap();
                values.push((made[0], out, rows));
                (Ok(made[1]), out, rows)
            }
        };
        values.push((made.unwrap(), width, rows));
    }
    let (last, _, rows) = values[values.len() - 1];
    let logits = if rows == Rows::Outputs { last } else { b.push(Op::SelectOutputs, &[last]).unwrap() };
    b.finish("logits", logits).unwrap()
}

fn limits((max_tokens, max_outputs): (usize, usize), (kv_blocks, block_len): (usize, usize)) -> Limits {
    Limits { max_tokens, max_outputs, kv_blocks, block_len, kv_type: KvType::F32, state_slots: 0 }
}

/// Plays the steps: who owns each word, and whether what a node reads is still what was written.
fn check(graph: &Graph, limits: &Limits) {
    let plan = Plan::new(graph, &LAYOUT, limits);
    assert_eq!(plan.steps.len(), graph.nodes().len());
    let size = |id: ValueId| {
        let info = graph.value(id);
        LAYOUT.row_words(info, limits) * if info.rows == Rows::Tokens { limits.max_tokens } else { limits.max_outputs }
    };
    let mut owner: Vec<Option<ValueId>> = vec![None; plan.words];
    for (i, (step, node)) in plan.steps.iter().zip(graph.nodes()).enumerate() {
        assert_eq!(step.node, i);
        assert_eq!((step.inputs.len(), step.outputs.len()), (node.inputs.len(), node.outputs.len()));
        for (&id, &start) in node.inputs.iter().zip(&step.inputs) {
            assert!(owner[start..start + size(id)].iter().all(|o| *o == Some(id)), "{id} is overwritten before {i}");
        }
        for (n, (&id, &start)) in node.outputs.iter().zip(&step.outputs).enumerate() {
            assert_eq!(start % 16, 0);
            let end = start + size(id);
            for (k, (&input, &at)) in node.inputs.iter().zip(&step.inputs).enumerate() {
                let apart = at >= end || at + size(input) <= start;
                let in_place = (n, k) == (0, 0) && at == start && node.op.in_place();
                assert!(apart || in_place, "{id} overlaps input {k}");
            }
            owner[start..end].fill(Some(id));
        }
        for (&id, &start) in node.outputs.iter().zip(&step.outputs) {
            assert!(owner[start..start + size(id)].iter().all(|o| *o == Some(id)), "{id} overlaps another output");
        }
    }
    let output = graph.output().value;
    let owners = &owner[plan.output..plan.output + size(output)];
    assert!(owners.iter().all(|o| *o == Some(output)), "the output is overwritten");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn live_values_never_overlap(
        choices in prop::collection::vec((0..7_u8, 0..100_usize, 0..100_usize), 0..40),
        max_tokens in 0..9_usize,
        max_outputs in 0..5_usize,
    ) {
        check(&random_graph(&choices), &limits((max_tokens, max_outputs), (1, 1)));
    }
}

#[test]
fn memory_does_not_grow_with_layers() {
    let limits = limits((7, 3), (3, 17));
    let plan = |layers| {
        let config = ToyConfig { layers, experts: Some((4, 2)), dtype: DType::Q8_0, ..ToyConfig::default() };
        let graph = toy_model(&config).0;
        let fused = fuse(&graph, rules(), &[]).unwrap().graph;
        [graph, fused].map(|graph| {
            check(&graph, &limits);
            Plan::new(&graph, &LAYOUT, &limits).words
        })
    };
    assert_eq!(plan(2), plan(9));
}

#[test]
fn a_chain_of_elementwise_operators_stays_in_place() {
    let graph = random_graph(&[(2, 0, 0), (2, 1, 0), (1, 2, 2), (2, 3, 0)]);
    let plan = Plan::new(&graph, &LAYOUT, &limits((2, 2), (1, 1)));
    // Scale keeps its input's place; glu(x, x) must not overwrite what it reads twice.
    let starts: Vec<usize> = plan.steps.iter().flat_map(|step| step.outputs.clone()).collect();
    assert_eq!(starts, [0, 0, 0, 48, 48, 0]);
}

#[test]
fn sizes_beyond_counting_do_not_wrap() {
    let limits = limits((usize::MAX, usize::MAX), (1, 1));
    let (graph, _) = toy_model(&ToyConfig::default());
    assert_eq!(Plan::new(&graph, &LAYOUT, &limits).words, usize::MAX);
}
