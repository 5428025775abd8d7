//! Attention in the shapes of known models: bytes of the cache read for decode, arithmetic (two operations for each product)
//! for prefill. The machine's limits are printed before.
//! `cargo bench -p whinchat-kernels --bench attention -- Avx512/Llama-3.2-1B/F16`.

mod machine;

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use graph::{Attention, Backend, Batch, Graph, GraphBuilder, KvShape, KvType, Limits, Op, WeightInfo};
use kernels::{Cpu, CpuOptions, Isa, Program};
use machine::Machine;
use tensor::{DType, Shape};

const BLOCK_LEN: usize = 16;
/// The cache that a step reads takes at least so many bytes: more than the processor keeps close.
const BYTES: usize = 1 << 29;

struct Heads {
    name: &'static str,
    heads: usize,
    kv: KvShape,
}

const SHAPES: [Heads; 3] = [
    Heads { name: "Qwen2.5-0.5B", heads: 14, kv: KvShape { heads: 2, head_dim: 64 } },
    Heads { name: "Llama-3.2-1B", heads: 32, kv: KvShape { heads: 8, head_dim: 64 } },
    Heads { name: "Llama-3.1-8B", heads: 32, kv: KvShape { heads: 8, head_dim: 128 } },
];

criterion_group! { name = benches; config = machine::criterion(); targets = attention }
criterion_main!(benches);

fn attention(criterion: &mut Criterion) {
    println!("{}", Machine::measure(machine::threads(), BYTES));
    for isa in Isa::available().filter(|&isa| isa != Isa::Portable) {
        for (shape, kv) in SHAPES.iter().flat_map(|shape| KvType::all().map(move |kv| (shape, kv))) {
            let options = (CpuOptions { isa: Some(isa), ..CpuOptions::default() }, kv);
            let mut group = criterion.benchmark_group(format!("attention/{isa:?}/{}/{}", shape.name, kv.name()));
            for (sequences, positions) in [1, 8].into_iter().flat_map(|n| [1024, 4096, 16384].map(|len| (n, len))) {
                let bytes = sequences * positions * kv.position_bytes(shape.kv);
                let layers = BYTES.div_ceil(bytes);
                group.throughput(Throughput::Bytes((layers * bytes) as u64));
                group.bench_function(BenchmarkId::new("decode", format!("{sequences} x {positions}")), |bencher| {
                    let mut model = Model::new(options, shape, layers, (sequences, sequences * positions));
                    let batch = decode(sequences, positions);
                    bencher.iter(|| model.run(&batch));
                });
            }
            for start in [0, 4096] {
                let seen: usize = (start + 1..=start + ROWS).sum();
                group.throughput(Throughput::Elements((4 * LAYERS * seen * shape.heads * shape.kv.head_dim) as u64));
                group.bench_function(BenchmarkId::new("prefill 512 at", start), |bencher| {
                    let mut model = Model::new(options, shape, LAYERS, (ROWS, start + ROWS));
                    let mut batch = Batch { outputs: vec![0], ..Batch::default() };
                    batch.push(&[0; ROWS], start, 0..((start + ROWS) / BLOCK_LEN) as u32);
                    bencher.iter(|| model.run(&batch));
                });
            }
        }
    }
}

/// Rows of a prompt, and layers that compute them.
const ROWS: usize = 512;
const LAYERS: usize = 4;

/// A row of each sequence.
fn decode(sequences: usize, positions: usize) -> Batch {
    let mut batch = Batch { outputs: vec![0], ..Batch::default() };
    let blocks = (positions / BLOCK_LEN) as u32;
    for i in 0..sequences as u32 {
        batch.push(&[0], positions - 1, i * blocks..(i + 1) * blocks);
    }
    batch
}

/// Layers that are attention alone.
struct Model {
    cpu: Cpu,
    program: Program,
}

impl Model {
    /// For steps of `rows`, with a cache of `positions` that are all filled.
    fn new(
        (options, kv_type): (CpuOptions, KvType),
        shape: &Heads,
        layers: usize,
        (rows, positions): (usize, usize),
    ) -> Model {
        let (cpu, graph) = (Cpu::new(options), graph(shape, layers));
        let kv_blocks = positions / BLOCK_LEN;
        let (max_tokens, block_len) = (rows.max(BLOCK_LEN), BLOCK_LEN);
        let limits = Limits { max_tokens, max_outputs: 1, kv_blocks, block_len, kv_type, state_slots: 0 };
        let upload = |id| {
            let row: Vec<u8> = (0..graph.weight(id).shape.cols).flat_map(|i| (i as f32).sin().to_le_bytes()).collect();
            Arc::new(cpu.upload(graph.weight(id), &row).expect("memory"))
        };
        let weights = graph.weight_ids().map(upload).collect();
        let mut program = cpu.compile(&graph, weights, limits).expect("memory");
        let mut batch = Batch { outputs: vec![0], ..Batch::default() };
        batch.push(&[0; BLOCK_LEN], 0, [0]);
        cpu.run(&mut program, &batch).expect("a batch within limits");
        batch.copies = (1..kv_blocks as u32).map(|block| (0, block)).collect();
        cpu.run(&mut program, &batch).expect("a batch within limits");
        Model { cpu, program }
    }

    fn run(&mut self, batch: &Batch) {
        self.cpu.run(&mut self.program, batch).expect("a batch within limits");
    }
}

fn graph(shape: &Heads, layers: usize) -> Graph {
    let Heads { heads, kv, .. } = *shape;
    let mut graph = GraphBuilder::new();
    let [mut x, k] = [heads * kv.head_dim, kv.width()].map(|width| {
        let info = WeightInfo::matrix(width.to_string(), Shape::matrix(1, width), DType::F32);
        let table = graph.weight(info);
        graph.push(Op::Embed { table }, &[]).expect("a table")
    });
    for _ in 0..layers {
        let layer = graph.kv_layer(kv);
        graph.kv_write(layer, k, k).expect("keys and values fit the layer");
        let scale = (kv.head_dim as f32).sqrt().recip();
        let op = Attention { layer, heads, scale, window: None, causal: true, softcap: None, sinks: None };
        x = graph.push(Op::Attention(op), &[x]).expect("queries fit");
    }
    let x = graph.push(Op::SelectOutputs, &[x]).expect("rows of tokens");
    graph.finish("x", x).expect("numbers")
}
