//! Linear layers of the shapes of Qwen2.5-0.5B's feed-forward part, in every weight type: bytes of weights read for one row,
//! arithmetic (two operations for each weight and row) for more. The machine's limits are printed before.
//! `cargo bench -p whinchat-kernels --bench linear -- Avx512/Q4_K`.

mod machine;

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use graph::{Backend, Batch, Graph, GraphBuilder, KvType, Limits, Op, WeightInfo};
use kernels::{Cpu, CpuOptions, Isa, Program};
use machine::Machine;
use tensor::{DType, Shape};

/// 896 there; here whole blocks of every type.
const WIDTH: usize = 1024;
const HIDDEN: usize = 4864;
const LAYERS: usize = 12;

criterion_group! { name = benches; config = machine::criterion(); targets = linear }
criterion_main!(benches);

fn linear(criterion: &mut Criterion) {
    println!("{}", Machine::measure(machine::threads(), 1 << 30));
    for (isa, dtype) in Isa::available().flat_map(|isa| DType::all().map(move |dtype| (isa, dtype))) {
        let (graph, bytes) = model(dtype);
        let mut group = criterion.benchmark_group(format!("linear/{isa:?}/{dtype}"));
        // Many rows of the portable kernels would take minutes.
        for rows in [1, 4, 32, 512].into_iter().take(if isa == Isa::Portable { 2 } else { 4 }) {
            group.throughput(match rows {
                1 => Throughput::Bytes(bytes as u64),
                _ => Throughput::Elements((2 * rows * LAYERS * 2 * WIDTH * HIDDEN) as u64),
            });
            group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
                let cpu = Cpu::new(CpuOptions { isa: Some(isa), ..CpuOptions::default() });
                let mut program = program(&cpu, &graph, dtype);
                let mut batch = Batch { outputs: vec![0], ..Batch::default() };
                batch.push(&vec![0; rows], 0, [0]);
                bencher.iter(|| cpu.run(&mut program, &batch).expect("a batch within limits"));
            });
        }
    }
}

fn program(cpu: &Cpu, graph: &Graph, dtype: DType) -> Program {
    let (kv_type, state_slots) = (KvType::F16, 0);
    let limits = Limits { max_tokens: 512, max_outputs: 1, kv_blocks: 1, block_len: 512, kv_type, state_slots };
    let upload = |id| {
        let size = graph.weight(id).bytes().expect("whole blocks");
        Arc::new(cpu.upload(graph.weight(id), &pattern(dtype, size)).expect("memory"))
    };
    cpu.compile(graph, graph.weight_ids().map(upload).collect(), limits).expect("memory")
}

/// The layers, and the bytes of their weights.
fn model(dtype: DType) -> (Graph, usize) {
    let mut graph = GraphBuilder::new();
    let info = |name: String, rows, cols, dtype| WeightInfo::matrix(name, Shape::matrix(rows, cols), dtype);
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
    (graph.finish("x", x).expect("numbers"), bytes)
}

/// Bytes that are small numbers in every type.
fn pattern(dtype: DType, size: usize) -> Vec<u8> {
    match dtype {
        DType::F32 => 0.01f32.to_le_bytes().repeat(size / 4),
        _ => [0x11, 0x15].repeat(size / 2),
    }
}
