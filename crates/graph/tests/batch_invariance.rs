//! The reference interpreter gives a sequence the same bits however its rows are cut, mixed and placed.

use std::ops::Range;

use graph::testing::{ToyConfig, ToyRecurrence, toy_model, upload};
use graph::{Backend, Batch, HeadOrder, Interpreter, KvType, Limits};
use tensor::DType;

const TOKENS: [u32; 11] = [3, 66, 0, 5, 5, 41, 17, 2, 29, 8, 60];
const OTHER: [u32; 7] = [12, 3, 3, 50, 1, 33, 9];

/// Every kind of model once.
fn configs() -> Vec<ToyConfig> {
    let plain = ToyConfig::default();
    vec![
        ToyConfig { window: Some(4), softcap: Some(5.0), sinks: true, ..plain.clone() },
        ToyConfig { experts: Some((5, 2)), heads: (6, 2), dtype: DType::Q8_0, ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Conv(3)), layers: 3, ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Conv(7)), dtype: DType::Q8_0, ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Delta { order: HeadOrder::Tiled, by_row: false }), ..plain.clone() },
        ToyConfig {
            recurrent: Some(ToyRecurrence::Delta { order: HeadOrder::Grouped, by_row: true }),
            ..plain.clone()
        },
        ToyConfig { recurrent: Some(ToyRecurrence::Scan(2)), dtype: DType::Q8_0, ..plain.clone() },
        plain,
    ]
}

type Program = <Interpreter as Backend>::Program;

fn program(config: &ToyConfig, kv_blocks: usize, block_len: usize) -> Program {
    let (graph, weights) = toy_model(config);
    let (kv_type, state_slots) = (KvType::F16, kv_blocks);
    let limits = Limits { max_tokens: 32, max_outputs: 32, kv_blocks, block_len, kv_type, state_slots };
    Interpreter.compile(&graph, upload(&Interpreter, &graph, &weights), limits).unwrap()
}

/// A chunk of a sequence: its tokens, which of them, and its blocks. The first block's number is that of its state slot too.
type Chunk<'a> = (&'a [u32], Range<usize>, &'a [u32]);

/// Runs the chunks in one batch; every row's logits, one chunk after the other.
fn step(program: &mut Program, chunks: &[Chunk], copies: &[(u32, u32)]) -> Vec<f32> {
    let mut batch = Batch { copies: copies.to_vec(), state_copies: copies.to_vec(), ..Batch::default() };
    for (tokens, range, blocks) in chunks {
        let rows =
            batch.push_with_state(&tokens[range.clone()], range.start, blocks.iter().copied(), blocks.first().copied());
        batch.outputs.extend(rows.map(|row| row as u32));
    }
    Interpreter.run(program, &batch).unwrap();
    Interpreter.download(program).to_vec()
}

/// Each sequence alone, in one chunk, in one block.
fn alone(config: &ToyConfig, tokens: &[u32]) -> Vec<f32> {
    step(&mut program(config, 1, 16), &[(tokens, 0..tokens.len(), &[0])], &[])
}

#[test]
fn blocks_and_chunks_change_nothing() {
    for config in configs() {
        let whole = alone(&config, &TOKENS);
        assert!(whole.iter().all(|x| x.is_finite()) && whole[0] != whole[config.vocab]);
        for cuts in [vec![0, 11], vec![0, 5, 11], vec![0, 1, 2, 3, 10, 11]] {
            let mut program = program(&config, 9, 2);
            let chunks = cuts.windows(2).map(|cut| (&TOKENS[..], cut[0]..cut[1], &[7, 2, 8, 0, 5, 1][..]));
            let given: Vec<f32> = chunks.flat_map(|chunk| step(&mut program, &[chunk], &[])).collect();
            assert_eq!(given, whole, "{config:?} cut at {cuts:?}");
        }
    }
}

#[test]
fn chunks_of_one_sequence_in_one_batch_see_each_other() {
    for config in configs().into_iter().filter(|config| config.recurrent.is_none()) {
        let blocks = [2, 0, 1];
        let chunks = [(&TOKENS[..], 0..5, &blocks[..]), (&TOKENS[..], 5..11, &blocks[..])];
        assert_eq!(step(&mut program(&config, 3, 4), &chunks, &[]), alone(&config, &TOKENS), "{config:?}");
    }
}

#[test]
fn the_rest_of_the_batch_changes_nothing() {
    for config in configs() {
        let (a, b) = (alone(&config, &TOKENS), alone(&config, &OTHER));
        let mut program = program(&config, 6, 4);
        let (first, second) = (&[5, 1, 3][..], &[0, 4][..]);
        let v = config.vocab;
        // Prefill of one; its decode beside the other's prefill; then both decode.
        let one = step(&mut program, &[(&TOKENS, 0..9, first)], &[]);
        let two = step(&mut program, &[(&OTHER, 0..6, second), (&TOKENS, 9..10, first)], &[]);
        let three = step(&mut program, &[(&TOKENS, 10..11, first), (&OTHER, 6..7, second)], &[]);
        assert_eq!([&one[..], &two[6 * v..], &three[..v]].concat(), a, "{config:?}");
        assert_eq!([&two[..6 * v], &three[v..]].concat(), b, "{config:?}");
    }
}

#[test]
fn a_copied_block_and_state_are_as_good_as_their_originals() {
    for config in configs() {
        let mut program = program(&config, 4, 8);
        let fork: Vec<u32> = TOKENS[..6].iter().chain(&OTHER[..3]).copied().collect();
        step(&mut program, &[(&TOKENS, 0..6, &[0])], &[]);
        // Both go on from position 6: the fork in a copy of the block and of the state.
        let chunks = [(&TOKENS[..], 6..11, &[0, 2][..]), (&fork[..], 6..9, &[1, 3][..])];
        let given = step(&mut program, &chunks, &[(0, 1)]);
        let from = 6 * config.vocab;
        assert_eq!(given, [&alone(&config, &TOKENS)[from..], &alone(&config, &fork)[from..]].concat(), "{config:?}");
    }
}

#[test]
fn only_the_rows_asked_for() {
    let config = ToyConfig::default();
    let mut program = program(&config, 2, 8);
    let mut batch = Batch::default();
    batch.push(&TOKENS, 0, [0, 1]);
    batch.outputs.extend([4, 10]);
    Interpreter.run(&mut program, &batch).unwrap();
    let (v, whole) = (config.vocab, alone(&config, &TOKENS));
    assert_eq!(Interpreter.download(&program), [&whole[4 * v..5 * v], &whole[10 * v..]].concat());
    Interpreter.run(&mut program, &Batch::default()).unwrap();
    assert!(Interpreter.download(&program).is_empty());
}
