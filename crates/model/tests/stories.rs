//! A real trained model, decoded greedily, prints what its author's program prints.

mod support;

use std::sync::Arc;

use graph::{Backend, Batch, Interpreter, KvType, Limits};
use model::{Checkpoint, List, Model};

#[test]
fn stories_are_told_as_by_llama2_c() {
    let Some(path) = support::shared("models/stories260K.gguf") else { return };
    let Some(expected) = support::shared("models/stories260K.greedy200.txt") else { return };
    let checkpoint = Checkpoint::open(&path).unwrap();
    let tokens = greedy(&checkpoint.bind(None).unwrap(), 1, 200);
    let Ok(List::Bytes(pieces)) = checkpoint.metadata().require::<&List>("tokenizer.ggml.tokens") else {
        panic!("the vocabulary is a list of texts")
    };
    let text: String = tokens.iter().map(|&t| text(pieces.get(t as usize).unwrap())).collect();
    assert_eq!(text.trim(), std::fs::read_to_string(expected).unwrap().trim());
}

/// Tokens chosen in `steps` steps after `first`, each the likeliest; the end of the text ends them too.
fn greedy(model: &Model, first: u32, steps: usize) -> Vec<u32> {
    let graph = model.graph();
    let upload = |id| Arc::new(Interpreter.upload(graph.weight(id), &model.read(id).unwrap()).unwrap());
    let (kv_blocks, kv_type, state_slots) = (steps.div_ceil(16), KvType::F32, 0);
    let limits = Limits { max_tokens: 1, max_outputs: 1, kv_blocks, block_len: 16, kv_type, state_slots };
    let mut program = Interpreter.compile(graph, graph.weight_ids().map(upload).collect(), limits).unwrap();
    let (mut batch, mut tokens) = (Batch::default(), vec![first]);
    for position in 0..steps {
        batch.clear();
        batch.push(&tokens[position..], position, 0..position as u32 / 16 + 1);
        batch.outputs.push(0);
        Interpreter.run(&mut program, &batch).unwrap();
        let logits = Interpreter.download(&program).iter().enumerate();
        tokens.push(logits.max_by(|a, b| a.1.total_cmp(b.1)).expect("a vocabulary").0 as u32);
        if tokens[position + 1] <= 2 {
            break;
        }
    }
    tokens.split_off(1)
}

fn text(piece: &[u8]) -> String {
    let piece = String::from_utf8_lossy(piece).into_owned();
    match piece.strip_prefix("<0x").and_then(|hex| u8::from_str_radix(hex.strip_suffix('>')?, 16).ok()) {
        Some(byte) => char::from(byte).to_string(),
        None => piece.replace('\u{2581}', " "),
    }
}
