//! Stages of a graph, run one after the other by the interpreter, give the bits of the whole graph.

use graph::testing::{ToyConfig, ToyRecurrence, toy_model, upload};
use graph::{
    Backend, Batch, Graph, GraphBuilder, HeadOrder, Interpreter, KvType, Limits, Op, Rule, fuse, rules, split,
};
use tensor::DType;

const LIMITS: Limits =
    Limits { max_tokens: 16, max_outputs: 16, kv_blocks: 16, block_len: 4, kv_type: KvType::F32, state_slots: 2 };

/// The outputs of some batches: prompts of two sequences, the second in two pieces, then a token of each.
fn outputs(graph: &Graph, weights: &[Vec<u8>], cuts: &[usize], fused: &[Rule]) -> Vec<f32> {
    let all = upload(&Interpreter, graph, weights);
    let stages = split(graph, cuts).expect("it can be cut there");
    let mut programs: Vec<_> = stages
        .iter()
        .map(|stage| {
            let graph = fuse(&stage.graph, fused, &[]).expect("no rule is disabled").graph;
            let own = stage.weights.iter().map(|id| all[id.index()].clone()).collect();
            Interpreter.compile(&graph, own, LIMITS).expect("memory")
        })
        .collect();
    let steps: [&[(usize, &[u32])]; 3] =
        [&[(0, &[3, 1, 4, 1, 5]), (0, &[9, 2])], &[(0, &[]), (2, &[6, 5, 3])], &[(5, &[5]), (5, &[8])]];
    let mut given = vec![];
    for spans in steps {
        let mut batch = Batch::default();
        for (sequence, &(position, tokens)) in spans.iter().enumerate().filter(|(_, (_, tokens))| !tokens.is_empty()) {
            let table = (0..4).map(|i| 2 * i + sequence as u32);
            batch.push_with_state(tokens, position, table, Some(sequence as u32));
        }
        let wanted = vec![0, batch.tokens.len() as u32 - 1];
        let wanted = if wanted[0] == wanted[1] { vec![0] } else { wanted };
        let last = programs.len() - 1;
        for (i, program) in programs.iter_mut().enumerate() {
            batch.outputs = if i == last { wanted.clone() } else { (0..batch.tokens.len() as u32).collect() };
            Interpreter.run(program, &batch).expect("a batch within limits");
            batch.inputs = Interpreter.download(program).to_vec();
        }
        given.extend_from_slice(&batch.inputs);
    }
    given
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn configs() -> Vec<ToyConfig> {
    let plain = ToyConfig { layers: 3, ..ToyConfig::default() };
    let delta = ToyRecurrence::Delta { order: HeadOrder::Tiled, by_row: false };
    vec![
        ToyConfig { window: Some(3), softcap: Some(3.0), sinks: true, dtype: DType::Q8_0, ..plain.clone() },
        ToyConfig { experts: Some((5, 2)), ..plain.clone() },
        ToyConfig { heads: (3, 0), experts: Some((6, 2)), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Conv(3)), ..plain.clone() },
        ToyConfig { recurrent: Some(delta), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Scan(2)), ..plain },
    ]
}

#[test]
fn stages_of_layers_compute_what_the_graph_does() {
    for config in configs() {
        let (graph, weights) = toy_model(&config);
        let layers = graph.layers();
        assert_eq!(layers.len(), 3, "{config:?}");
        for fused in [&[], rules()] {
            let whole = bits(&outputs(&graph, &weights, &[], fused));
            for cuts in [&layers[1..], &layers[1..2], &layers[2..]] {
                assert!(bits(&outputs(&graph, &weights, cuts, fused)) == whole, "{config:?} at {cuts:?}");
            }
        }
    }
}

/// Inside of layers several values are handed over.
#[test]
fn a_graph_is_cut_wherever_it_can_be() {
    for config in configs() {
        let (graph, weights) = toy_model(&config);
        let whole = bits(&outputs(&graph, &weights, &[], &[]));
        let cuts: Vec<usize> = (0..=graph.nodes().len()).filter(|&at| graph.can_split(at)).collect();
        assert!(cuts.len() > 12, "{config:?}: {cuts:?}");
        for cut in cuts {
            assert!(bits(&outputs(&graph, &weights, &[cut], &[])) == whole, "{config:?} at {cut}");
        }
    }
}

#[test]
fn weights_and_memories_go_with_their_layers() {
    let (graph, _) =
        toy_model(&ToyConfig { layers: 3, recurrent: Some(ToyRecurrence::Conv(3)), ..ToyConfig::default() });
    let stages = split(&graph, &graph.layers()[1..]).expect("layers can be parted");
    let memories: usize = stages.iter().map(|stage| stage.graph.memory().len()).sum();
    assert_eq!((memories, stages[1].graph.memory()), (graph.memory().len(), &graph.memory()[1..2]));
    let weights: usize = stages.iter().map(|stage| stage.weights.len()).sum();
    assert_eq!(weights, graph.weights().len());
    for (i, stage) in stages.iter().enumerate() {
        let own = stage.weights.iter().map(|&id| graph.weight(id));
        assert!(own.eq(stage.graph.weights()), "stage {i}");
        assert_eq!(stage.graph.input_width(), if i == 0 { 0 } else { 64 });
    }
    assert_eq!(
        stages[2].graph.output(),
        &graph::Output { value: stages[2].graph.output().value, ..graph.output().clone() }
    );
}

#[test]
fn bad_cuts_are_refused() {
    let (graph, _) = toy_model(&ToyConfig::default());
    let attention = graph.nodes().iter().position(|node| matches!(node.op, Op::Scores { .. })).expect("attention");
    for cuts in [vec![0], vec![graph.nodes().len()], vec![attention], vec![9, 9], vec![usize::MAX]] {
        assert!(split(&graph, &cuts).is_err(), "{cuts:?}");
    }
    let mut builder = GraphBuilder::new();
    assert!(builder.push(Op::Input { width: 0 }, &[]).is_err(), "nothing is handed over");
    let x = builder.push(Op::Input { width: 2 }, &[]).expect("the first node");
    let again = builder.push(Op::Input { width: 2 }, &[]).expect_err("not the first").to_string();
    assert_eq!(again, "input: is not the first");
    let x = builder.push(Op::SelectOutputs, &[x]).expect("rows");
    let graph = builder.finish("x", x).expect("a graph");
    let mut batch = Batch { inputs: vec![0.0; 3], ..Batch::default() };
    batch.push(&[7], 0, [0]);
    let why = batch.check(&LIMITS, &graph).expect_err("a number too many").to_string();
    assert_eq!(why, "batch refused: 3 numbers are given for 1 rows, the graph takes 2");
}
