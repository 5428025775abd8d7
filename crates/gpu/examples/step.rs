//! What a decode step takes of the host: kernels called and time until the driver has them, which hold on any device.
//!
//! `cargo run --release -p whinchat-gpu --features device --example step -- LAYERS STREAMS`

use std::time::{Duration, Instant};

use gpu::Gpu;
use graph::testing::{ToyConfig, toy_model, upload};
use graph::{Backend, Batch, KvType, Limits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let layers = numbers.next().transpose()?.unwrap_or(24);
    let streams = numbers.next().transpose()?.unwrap_or(1);
    let gpu = Gpu::open(0)?;
    println!("{:?}", gpu.adapter());
    let (graph, weights) = toy_model(&ToyConfig { layers, ..ToyConfig::default() });
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
    let (mut host, mut whole) = (vec![], vec![]);
    for position in 0..100 {
        let mut batch = Batch::default();
        for stream in 0..streams as u32 {
            batch.push(&[stream % 67], position, 8 * stream..8 * stream + 8);
            batch.outputs.push(stream);
        }
        let start = Instant::now();
        gpu.run(&mut program, &batch)?;
        whole.push(start.elapsed());
        host.push(program.took().host);
    }
    let middle = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    println!(
        "{layers} layers, {streams} streams: {} operators, {} kernels a step, {:.0} µs of the host, {:.0} µs in all",
        graph.nodes().len(),
        program.took().dispatches,
        middle(&mut host),
        middle(&mut whole),
    );
    Ok(())
}
