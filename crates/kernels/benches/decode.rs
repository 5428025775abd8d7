//! One stream through layers of Llama-3.2-1B's shape, whose weights are of random bits, in several weight types that take turns.
//! `cargo bench -p whinchat-kernels --bench decode -- 25 Q4_0 Q4_2OF4`: rounds, and the types; ratios are to the first one.

use std::time::Instant;

use graph::testing::{ToyConfig, toy_model, upload};
use graph::{Backend, Batch, KvType, Limits};
use kernels::{Cpu, CpuOptions, Program};
use tensor::DType;

/// Of 16 there: enough that weights come from memory.
const LAYERS: usize = 6;
/// Tokens of a stream in each turn.
const TOKENS: usize = 16;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds = arguments.first().and_then(|word| word.parse().ok()).unwrap_or(25);
    let named = |word: &String| DType::all().find(|dtype| dtype.name().eq_ignore_ascii_case(word));
    let mut types: Vec<DType> = arguments.iter().skip(1).filter_map(named).collect();
    if types.is_empty() {
        types = vec![DType::Q4_0, DType::Q4_2OF4];
    }
    for threads in [1, std::thread::available_parallelism().map_or(1, usize::from)] {
        let cpu = Cpu::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() });
        let mut models: Vec<(DType, u64, Program)> = types.iter().map(|dtype| model(&cpu, *dtype)).collect();
        let mut times = vec![Vec::new(); types.len()];
        for round in 0..=rounds {
            for ((.., program), times) in models.iter_mut().zip(&mut times) {
                let time = turn(&cpu, program);
                // The first round warms up.
                if round > 0 {
                    times.push(time);
                }
            }
        }
        report(threads, &models, times);
    }
}

/// Prints the times of each type, and in how many times less than the first one's a turn of it was done: turn by turn, and the best of all.
/// On a machine that is not idle the best are nearest to what the types differ in.
fn report(threads: usize, models: &[(DType, u64, Program)], times: Vec<Vec<f64>>) {
    let first = quartiles(times[0].clone());
    for ((dtype, bytes, _), own) in models.iter().zip(&times) {
        let [_, low, ratio, high] = quartiles(times[0].iter().zip(own).map(|(first, own)| first / own).collect());
        let [best, _, median, _] = quartiles(own.clone());
        println!(
            "{threads} threads, {dtype}: best {:.2} ms a token ({:.1} GB/s, {:.3} times the first), median {:.2} ms, {ratio:.3} times \
             the first ({low:.3} to {high:.3})",
            1e3 * best,
            *bytes as f64 / best / 1e9,
            first[0] / best,
            1e3 * median,
        );
    }
}

/// The smallest number and the three quartiles.
fn quartiles(mut numbers: Vec<f64>) -> [f64; 4] {
    numbers.sort_by(f64::total_cmp);
    [0, 1, 2, 3].map(|quarter| numbers[quarter * (numbers.len() - 1) / 4])
}

/// A model of that type, and the bytes of its weights.
fn model(cpu: &Cpu, dtype: DType) -> (DType, u64, Program) {
    let heads = (32, 8);
    let shape = ToyConfig {
        width: 2048,
        hidden: 8192,
        layers: LAYERS,
        heads,
        head_dim: 64,
        vocab: 256,
        ..ToyConfig::default()
    };
    let (graph, weights) = toy_model(&ToyConfig { dtype, ..shape });
    let bytes = weights.iter().map(|weight| weight.len() as u64).sum();
    let graph = graph::fuse(&graph, cpu.device().rules, &[]).expect("rules that exist").graph;
    let weights = upload(cpu, &graph, &weights);
    let limits =
        Limits { max_tokens: 1, max_outputs: 1, kv_blocks: 1, block_len: TOKENS, kv_type: KvType::F16, state_slots: 0 };
    (dtype, bytes, cpu.compile(&graph, weights, limits).expect("memory"))
}

/// Seconds that a token takes.
fn turn(cpu: &Cpu, program: &mut Program) -> f64 {
    let start = Instant::now();
    for position in 0..TOKENS {
        let mut batch = Batch { outputs: vec![0], ..Batch::default() };
        batch.push(&[position as u32], position, [0]);
        cpu.run(program, &batch).expect("a batch within limits");
    }
    start.elapsed().as_secs_f64() / TOKENS as f64
}
