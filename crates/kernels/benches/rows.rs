//! What is done row by row between the products, on 512 rows of the width of Qwen2.5-0.5B: bytes read and written. The
//! machine's limits are printed before; what a step keeps in the caches is faster than memory.
//! `cargo bench -p whinchat-kernels --bench rows -- Avx512`.

mod machine;

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use graph::{
    Activation, Backend, Batch, Elem, Graph, GraphBuilder, KvShape, KvType, Limits, Op, Rope, RopeStyle, Traffic,
    ValueId, WeightInfo,
};
use kernels::{Cpu, CpuOptions, Isa, Program};
use machine::Machine;
use tensor::{DType, Shape};

const ROWS: usize = 512;
const WIDTH: usize = 896;
const KV: KvShape = KvShape { heads: 2, head_dim: 64 };
const BLOCK_LEN: usize = 16;
/// The operator is computed so often in a step that the rest of it does not count.
const TIMES: usize = 16;

criterion_group! { name = benches; config = machine::criterion(); targets = rows }
criterion_main!(benches);

fn rows(criterion: &mut Criterion) {
    println!("{}", Machine::measure(machine::threads(), 1 << 30));
    for isa in Isa::available() {
        let mut group = criterion.benchmark_group(format!("rows/{isa:?}"));
        for (name, operator) in OPERATORS {
            let graph = graph(operator);
            let traffic = Traffic::new(&graph, &Cpu::DEVICE.layout);
            group.throughput(Throughput::Bytes(((traffic.read + traffic.written) * ROWS) as u64));
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                let cpu = Cpu::new(CpuOptions { isa: Some(isa), ..CpuOptions::default() });
                let mut program = program(&cpu, &graph);
                let mut batch = Batch { outputs: vec![0], ..Batch::default() };
                batch.push(&[0; ROWS], 0, 0..(ROWS / BLOCK_LEN) as u32);
                bencher.iter(|| cpu.run(&mut program, &batch).expect("a batch within limits"));
            });
        }
    }
}

/// Appends an operator to a value and gives what the next one starts from.
type Operator = fn(&mut GraphBuilder, ValueId) -> ValueId;

const OPERATORS: [(&str, Operator); 9] = [
    ("add", |graph, x| push(graph, Op::Add, &[x, x])),
    ("soft_cap", |graph, x| push(graph, Op::SoftCap { cap: 30.0 }, &[x])),
    ("glu", |graph, x| push(graph, Op::Glu { act: Activation::Silu }, &[x, x])),
    ("rms_norm", |graph, x| norm(graph, x, false)),
    ("rms_norm to Q8", |graph, x| {
        norm(graph, x, true);
        x
    }),
    ("quantize", |graph, x| {
        push(graph, Op::Quantize { span: Elem::Q8_BLOCK }, &[x]);
        x
    }),
    ("rope", |graph, x| push(graph, Op::Rope(rope()), &[x])),
    ("kv_write", |graph, x| {
        let (layer, k) = (graph.kv_layer(KV), table(graph, KV.width()));
        graph.kv_write(layer, k, k).expect("keys and values fit");
        x
    }),
    ("rope_kv_write", |graph, x| {
        let (layer, k) = (graph.kv_layer(KV), table(graph, KV.width()));
        push(graph, Op::RopeKvWrite { rope: rope(), layer }, &[x, k, k])
    }),
];

fn push(graph: &mut GraphBuilder, op: Op, inputs: &[ValueId]) -> ValueId {
    graph.push(op, inputs).expect("inputs that fit")
}

fn norm(graph: &mut GraphBuilder, x: ValueId, quantize: bool) -> ValueId {
    let info = WeightInfo::elements("norm", Shape::vector(WIDTH), DType::F32);
    let weight = graph.weight(info);
    push(graph, Op::RmsNorm { weight, eps: 1e-6, quantize }, &[x])
}

fn rope() -> Rope {
    let freqs: Arc<[f32]> = (0..KV.head_dim / 2).map(|i| 1e6f32.powf(-(i as f32) / (KV.head_dim / 2) as f32)).collect();
    Rope { head_dim: KV.head_dim, freqs, magnitude: 1.0, style: RopeStyle::Halves }
}

/// A table of one row, looked up for every token.
fn table(graph: &mut GraphBuilder, width: usize) -> ValueId {
    let info = WeightInfo::matrix(width.to_string(), Shape::matrix(1, width), DType::F32);
    let table = graph.weight(info);
    push(graph, Op::Embed { table }, &[])
}

fn graph(operator: Operator) -> Graph {
    let mut graph = GraphBuilder::new();
    let mut x = table(&mut graph, WIDTH);
    for _ in 0..TIMES {
        x = operator(&mut graph, x);
    }
    let x = push(&mut graph, Op::SelectOutputs, &[x]);
    graph.finish("x", x).expect("numbers")
}

fn program(cpu: &Cpu, graph: &Graph) -> Program {
    let (kv_blocks, kv_type) = (ROWS / BLOCK_LEN, KvType::F16);
    let limits = Limits { max_tokens: ROWS, max_outputs: 1, kv_blocks, block_len: BLOCK_LEN, kv_type, state_slots: 0 };
    let upload = |id| {
        let elements = graph.weight(id).shape.elements().expect("few");
        Arc::new(cpu.upload(graph.weight(id), &0.5f32.to_le_bytes().repeat(elements)).expect("memory"))
    };
    cpu.compile(graph, graph.weight_ids().map(upload).collect(), limits).expect("memory")
}
