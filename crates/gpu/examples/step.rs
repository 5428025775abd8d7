//! What a decode step takes of the host: kernels called and time until the driver has them, which hold on any device.
//!
//! `cargo run --release -p whinchat-gpu --features device --example step -- LAYERS STREAMS`

use std::time::{Duration, Instant};

use gpu::{Gpu, Took};
use graph::testing::{ToyConfig, toy_model, upload};
use graph::{Backend, Batch, Graph, KvType, Limits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let layers = numbers.next().transpose()?.unwrap_or(24);
    let streams = numbers.next().transpose()?.unwrap_or(1);
    let gpu = Gpu::open(0)?;
    println!("{:?}", gpu.adapter());
    let (graph, weights) = toy_model(&ToyConfig { layers, vocab: 32_000, ..ToyConfig::default() });
    let graph = graph::fuse(&graph, Gpu::DEVICE.rules, &[])?.graph;
    let weights = upload(&gpu, &graph, &weights);
    let limits = Limits {
        max_tokens: streams,
        max_outputs: streams,
        kv_blocks: 8 * streams,
        block_len: 16,
        kv_type: KvType::F16,
        state_slots: 0,
    };
    let mut program = gpu.compile(&graph, weights, limits)?;
    for top in [0, 1, 40] {
        let mut took = vec![];
        for position in 0..100 {
            let mut batch = Batch { top: vec![top; if top > 0 { streams } else { 0 }], ..Batch::default() };
            for stream in 0..streams as u32 {
                batch.push(&[stream], position, 8 * stream..8 * stream + 8);
                batch.outputs.push(stream);
            }
            let start = Instant::now();
            gpu.run(&mut program, &batch)?;
            took.push((program.took(), start.elapsed()));
        }
        tell(&graph, top, &took);
    }
    Ok(())
}

/// Writes what steps of one form have taken.
fn tell(graph: &Graph, top: u32, took: &[(Took, Duration)]) {
    let (last, _) = took[took.len() - 1];
    println!(
        "{} operators, {} kernels a step; {} read back, {} bytes: {:.0} µs of the host ({} of {} steps were ready), {:.0} µs in all",
        graph.nodes().len(),
        last.dispatches,
        if top == 0 { "all logits".to_owned() } else { format!("the {top} greatest logits") },
        last.read,
        middle(took.iter().map(|(took, _)| took.host)),
        took.iter().filter(|(took, _)| took.was_ready).count(),
        took.len(),
        middle(took.iter().map(|(_, whole)| *whole)),
    );
}

/// The median, in microseconds.
fn middle(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}
