//! Stages one after the other give the bits of the whole model, and their memories are saved and loaded together.

use engine::{BackendExecutor, Executor, Pipeline, PipelineStage};
use graph::testing::{ToyConfig, ToyRecurrence, toy_model, upload};
use graph::{Backend, Batch, Graph, Interpreter, KvType, Limits, MemoryPart, split};

const LIMITS: Limits =
    Limits { max_tokens: 16, max_outputs: 2, kv_blocks: 12, block_len: 4, kv_type: KvType::F32, state_slots: 3 };

fn whole(graph: &Graph, weights: &[Vec<u8>]) -> BackendExecutor<Interpreter> {
    let program = Interpreter.compile(graph, upload(&Interpreter, graph, weights), LIMITS).unwrap();
    BackendExecutor::new(Interpreter, program, LIMITS, graph.output_width())
}

/// A stage for each layer.
fn pipeline(graph: &Graph, weights: &[Vec<u8>]) -> Pipeline {
    let all = upload(&Interpreter, graph, weights);
    let stages = split(graph, &graph.layers()[1..]).unwrap();
    let last = stages.len() - 1;
    let stage = |(i, stage): (usize, &graph::Stage)| {
        let own = stage.weights.iter().map(|id| all[id.index()].clone()).collect();
        let limits = Limits { max_outputs: if i == last { 2 } else { 16 }, ..LIMITS };
        let program = Interpreter.compile(&stage.graph, own, limits).unwrap();
        let executor = BackendExecutor::new(Interpreter, program, limits, stage.graph.output_width());
        PipelineStage::new(Box::new(executor), &stage.graph)
    };
    Pipeline::new(stages.iter().enumerate().map(stage).collect())
}

/// Tokens of a sequence from a position on, whose last two outputs are wanted.
fn batch(tokens: &[u32], position: usize, blocks: [u32; 3], slot: u32) -> Batch {
    let mut batch = Batch::default();
    batch.push_with_state(tokens, position, blocks, Some(slot));
    batch.outputs = (tokens.len().saturating_sub(2) as u32..tokens.len() as u32).collect();
    batch
}

fn bits(executor: &mut impl Executor, batch: &Batch) -> Vec<u32> {
    executor.forward(batch).unwrap().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn stages_give_the_bits_of_the_whole() {
    let recurrent = [None, Some(ToyRecurrence::Conv(3))];
    for config in recurrent.map(|recurrent| ToyConfig { layers: 3, recurrent, ..ToyConfig::default() }) {
        let (graph, weights) = toy_model(&config);
        let (mut one, mut several) = (whole(&graph, &weights), pipeline(&graph, &weights));
        assert_eq!(one.limits(), several.limits());
        let steps = [batch(&[3, 1, 4, 1, 5, 9], 0, [0, 1, 2], 0), batch(&[2, 6], 6, [0, 1, 2], 0)];
        for step in &steps {
            assert_eq!(bits(&mut several, step), bits(&mut one, step), "{config:?}");
        }
        // What is saved of a sequence is found where it is loaded.
        let wanted = bits(&mut one, &batch(&[5], 8, [0, 1, 2], 0));
        let parts = (0..2).map(|i| (MemoryPart::Block(i), MemoryPart::Block(i + 6)));
        let states = config.recurrent.map(|_| (MemoryPart::State(0), MemoryPart::State(2)));
        for (from, to) in parts.chain(states) {
            let mut saved = vec![];
            assert!(several.save(from, &mut saved) && !saved.is_empty(), "{from:?}");
            assert!(!several.load(to, &saved[1..]), "a byte is missing");
            assert!(several.load(to, &saved), "{to:?}");
        }
        let slot = if config.recurrent.is_some() { 2 } else { 0 };
        assert_eq!(bits(&mut several, &batch(&[5], 8, [6, 7, 2], slot)), wanted, "{config:?}");
        assert!(!several.save(MemoryPart::Block(99), &mut vec![]), "there is no such block");
    }
}

#[test]
fn a_batch_that_a_stage_refuses_fails() {
    let (graph, weights) = toy_model(&ToyConfig::default());
    let mut pipeline = pipeline(&graph, &weights);
    let why = pipeline.forward(&batch(&[1; 17], 0, [0, 1, 2], 0)).unwrap_err().to_string();
    assert!(why.contains("17 rows, the limit is 16"), "{why}");
    assert!(pipeline.forward(&batch(&[1], 0, [0, 1, 2], 0)).is_ok());
}
