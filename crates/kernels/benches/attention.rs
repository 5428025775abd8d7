//! Attention in the shapes of known models, beside what the machine can do: bytes of the cache read for decode, arithmetic
//! for prefill. `cargo bench -p whinchat-kernels --bench attention -- [threads] [instruction set]`.

mod machine;

use graph::{Attention, Backend, Batch, Graph, GraphBuilder, KvShape, Limits, Op, WeightInfo};
use kernels::{Cpu, CpuOptions, Isa, KvType, Program};
use machine::{Machine, best, per_second};
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

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let threads = args.first().and_then(|n| n.parse().ok()).unwrap_or_else(machine::threads);
    let only = args.get(1);
    for isa in Isa::available().filter(|isa| only.is_none_or(|only| format!("{isa:?}") == *only)) {
        for (shape, kv) in SHAPES.iter().flat_map(|shape| KvType::all().map(move |kv| (shape, kv))) {
            let machine = Machine::measure(threads, BYTES);
            print!("{isa:?} {} {kv:?} ({machine}):", shape.name);
            let options = CpuOptions { threads: Some(threads), isa: Some(isa), kv, ..CpuOptions::default() };
            for (sequences, positions) in [1, 8].into_iter().flat_map(|n| [1024, 4096, 16384].map(|len| (n, len))) {
                let gb_s = decode(options, shape, sequences, positions);
                print!(" {sequences} × {positions} {gb_s:.1} GB/s ({:.0} %);", 100.0 * gb_s / machine.read_gb_s);
            }
            for start in [0, 4096] {
                let gflop_s = prefill(options, shape, start);
                print!(" 512 at {start} {gflop_s:.0} GFLOP/s ({:.0} %);", 100.0 * gflop_s / machine.f32_gflop_s);
            }
            println!();
        }
    }
}

/// Decodes one row of each sequence; bytes of the cache read in a second.
fn decode(options: CpuOptions, shape: &Heads, sequences: usize, positions: usize) -> f64 {
    let bytes = sequences * positions * options.kv.position_bytes(&shape.kv);
    let layers = BYTES.div_ceil(bytes);
    let mut model = Model::new(options, shape, layers, (sequences, sequences * positions));
    let mut batch = Batch { outputs: vec![0], ..Batch::default() };
    let blocks = (positions / BLOCK_LEN) as u32;
    for i in 0..sequences as u32 {
        batch.push(&[0], positions - 1, i * blocks..(i + 1) * blocks);
    }
    (layers * bytes) as f64 / model.seconds(&batch) / 1e9
}

/// Prefills 512 rows of one sequence; floating-point operations in a second.
fn prefill(options: CpuOptions, shape: &Heads, start: usize) -> f64 {
    const ROWS: usize = 512;
    const LAYERS: usize = 4;
    let mut model = Model::new(options, shape, LAYERS, (ROWS, start + ROWS));
    let mut batch = Batch { outputs: vec![0], ..Batch::default() };
    batch.push(&[0; ROWS], start, 0..((start + ROWS) / BLOCK_LEN) as u32);
    let seen: usize = (start + 1..=start + ROWS).sum();
    (4 * LAYERS * seen * shape.heads * shape.kv.head_dim) as f64 / model.seconds(&batch) / 1e9
}

/// Layers that are attention alone.
struct Model {
    cpu: Cpu,
    program: Program,
}

impl Model {
    /// For steps of `rows`, with a cache of `positions` that are all filled.
    fn new(options: CpuOptions, shape: &Heads, layers: usize, (rows, positions): (usize, usize)) -> Model {
        let (cpu, graph) = (Cpu::new(options), graph(shape, layers));
        let kv_blocks = positions / BLOCK_LEN;
        let limits = Limits { max_tokens: rows.max(BLOCK_LEN), max_outputs: 1, kv_blocks, block_len: BLOCK_LEN };
        let upload = |id| {
            let row: Vec<u8> = (0..graph.weight(id).shape.cols).flat_map(|i| (i as f32).sin().to_le_bytes()).collect();
            cpu.upload(&graph, id, &row).expect("memory")
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

    fn seconds(&mut self, batch: &Batch) -> f64 {
        1.0 / best(|| per_second(|| self.cpu.run(&mut self.program, batch).expect("a batch within limits")))
    }
}

fn graph(shape: &Heads, layers: usize) -> Graph {
    let Heads { heads, kv, .. } = *shape;
    let mut graph = GraphBuilder::new();
    let [mut x, k] = [heads * kv.head_dim, kv.width()].map(|width| {
        let info = WeightInfo { name: format!("{width}"), shape: Shape::matrix(1, width), dtype: DType::F32 };
        let table = graph.weight(info);
        graph.push(Op::Embed { table }, &[]).expect("a table")
    });
    for _ in 0..layers {
        let layer = graph.kv_layer(kv);
        graph.kv_write(layer, k, k).expect("keys and values fit the layer");
        let scale = (kv.head_dim as f32).sqrt().recip();
        let op = Attention { layer, heads, scale, window: None, softcap: None, sinks: None };
        x = graph.push(Op::Attention(op), &[x]).expect("queries fit");
    }
    let x = graph.push(Op::SelectOutputs, &[x]).expect("rows of tokens");
    graph.finish(x).expect("numbers")
}
