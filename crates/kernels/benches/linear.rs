//! Linear layers of the shapes of Qwen2.5-0.5B's feed-forward part, beside what the machine can do: bytes of weights
//! read for one row, arithmetic for many (in 8-bit integers for quantized types, else in `f32`).
//! `cargo bench -p whinchat-kernels --bench linear -- [threads] [instruction set]`.

mod machine;

use graph::{Backend, Batch, Graph, GraphBuilder, Limits, Op, WeightInfo};
use kernels::{Cpu, CpuOptions, Isa};
use machine::{Machine, best, per_second};
use tensor::{DType, Shape};

/// 896 there; here whole blocks of every type.
const WIDTH: usize = 1024;
const HIDDEN: usize = 4864;
const LAYERS: usize = 12;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let threads = args.first().and_then(|n| n.parse().ok()).unwrap_or_else(machine::threads);
    let machine = Machine::measure(threads, 1 << 30);
    println!("{threads} threads; {machine}");
    let only = args.get(1);
    for isa in Isa::available().filter(|isa| only.is_none_or(|only| format!("{isa:?}") == *only)) {
        let cpu = Cpu::new(CpuOptions { threads: Some(threads), isa: Some(isa), ..CpuOptions::default() });
        for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_K, DType::Q6_K, DType::F16, DType::F32] {
            print!("{isa:?} {dtype}:");
            layers(&cpu, dtype, machine);
            println!();
        }
    }
}

/// Times all layers with 1, 4, 32 and 512 rows.
fn layers(cpu: &Cpu, dtype: DType, machine: Machine) {
    let (graph, bytes) = model(dtype);
    let limits = Limits { max_tokens: 512, max_outputs: 1, kv_blocks: 1, block_len: 512 };
    let upload = |id| {
        let size = graph.weight(id).bytes().expect("whole blocks");
        cpu.upload(&graph, id, &pattern(dtype, size)).expect("memory")
    };
    let weights = graph.weight_ids().map(upload).collect();
    let mut program = cpu.compile(&graph, weights, limits).expect("memory");
    for rows in [1, 4, 32, 512] {
        let mut batch = Batch { outputs: vec![0], ..Batch::default() };
        batch.push(&vec![0; rows], 0, [0]);
        let seconds = 1.0 / best(|| per_second(|| cpu.run(&mut program, &batch).expect("a batch within limits")));
        let gb_s = bytes as f64 / seconds / 1e9;
        let gop_s = (2 * rows * LAYERS * 2 * WIDTH * HIDDEN) as f64 / seconds / 1e9;
        let arithmetic = if dtype.layout().block_len > 1 { machine.int8_gop_s } else { machine.f32_gflop_s };
        match rows {
            1 => print!(" 1 row {gb_s:.1} GB/s ({:.0} %)", 100.0 * gb_s / machine.read_gb_s),
            _ => print!("; {rows} rows {gop_s:.0} GOP/s ({:.0} %)", 100.0 * gop_s / arithmetic),
        }
    }
}

/// The layers, and the bytes of their weights.
fn model(dtype: DType) -> (Graph, usize) {
    let mut graph = GraphBuilder::new();
    let info = |name: String, rows, cols, dtype| WeightInfo { name, shape: Shape::matrix(rows, cols), dtype };
    let table = graph.weight(info("embedding".into(), 1, WIDTH, DType::F32));
    let mut x = graph.push(Op::Embed { table }, &[]).expect("a table");
    let mut bytes = 0;
    for layer in 0..2 * LAYERS {
        let (rows, cols) = if layer % 2 == 0 { (HIDDEN, WIDTH) } else { (WIDTH, HIDDEN) };
        let info = info(format!("{layer}"), rows, cols, dtype);
        bytes += info.bytes().expect("whole blocks");
        let weight = graph.weight(info);
        x = graph.push(Op::Linear { weight }, &[x]).expect("a matrix");
    }
    let x = graph.push(Op::SelectOutputs, &[x]).expect("rows of tokens");
    (graph.finish(x).expect("numbers"), bytes)
}

/// Bytes that are small numbers in every type.
fn pattern(dtype: DType, size: usize) -> Vec<u8> {
    match dtype {
        DType::F32 => 0.01f32.to_le_bytes().repeat(size / 4),
        _ => [0x11, 0x15].repeat(size / 2),
    }
}
