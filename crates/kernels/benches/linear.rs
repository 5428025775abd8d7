//! Linear layers of the shapes of Qwen2.5-0.5B's feed-forward part, beside what the machine can do: bytes of weights
//! read for one row, arithmetic for many. `cargo bench -p whinchat-kernels -- [threads] [instruction set]`.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use graph::{Backend, Batch, Graph, GraphBuilder, Limits, Op, WeightInfo};
use kernels::{Cpu, CpuOptions, Isa};
use tensor::{DType, Shape};

/// 896 there; here whole blocks of every type.
const WIDTH: usize = 1024;
const HIDDEN: usize = 4864;
const LAYERS: usize = 12;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let threads = args.first().and_then(|n| n.parse().ok());
    let threads = threads.or(std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let (read, multiply) = (best(|| read_gb_s(threads)), best(|| fma_gflop_s(threads)));
    println!("{threads} threads; memory {read:.1} GB/s, f32 {multiply:.0} GFLOP/s");
    let only = args.get(1);
    for isa in Isa::available().filter(|isa| only.is_none_or(|only| format!("{isa:?}") == *only)) {
        let cpu = Cpu::new(CpuOptions { threads: Some(threads), isa: Some(isa), ..CpuOptions::default() });
        for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4_K, DType::Q6_K, DType::F16, DType::F32] {
            print!("{isa:?} {dtype}:");
            layers(&cpu, dtype, (read, multiply));
            println!();
        }
    }
}

/// Times all layers with 1, 4, 32 and 512 rows.
fn layers(cpu: &Cpu, dtype: DType, (read, multiply): (f64, f64)) {
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
        let gflop_s = (2 * rows * LAYERS * 2 * WIDTH * HIDDEN) as f64 / seconds / 1e9;
        match rows {
            1 => print!(" 1 row {gb_s:.1} GB/s ({:.0} %)", 100.0 * gb_s / read),
            _ => print!("; {rows} rows {gflop_s:.0} GFLOP/s ({:.0} %)", 100.0 * gflop_s / multiply),
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

/// The best of several figures: on a shared machine the others say what the neighbours did.
fn best(mut figure: impl FnMut() -> f64) -> f64 {
    (0..3).map(|_| figure()).fold(0.0, f64::max)
}

fn per_second(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut times = 0;
    while times < 1 || start.elapsed().as_secs_f64() < 0.2 {
        work();
        times += 1;
    }
    f64::from(times) / start.elapsed().as_secs_f64()
}

/// Runs `work` on all threads and adds up what it gives per second.
fn on_all(threads: usize, work: impl Fn() -> f64 + Sync) -> f64 {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        all.into_iter().map(|thread| thread.join().expect("no panics")).sum()
    })
}

fn read_gb_s(threads: usize) -> f64 {
    on_all(threads, || {
        let numbers = vec![1u64; 1 << 24];
        let sum = || numbers.chunks(8).fold([0; 8], |sum: [u64; 8], x| std::array::from_fn(|i| sum[i] ^ x[i]));
        per_second(|| _ = black_box(sum())) * numbers.len() as f64 * 8.0 / 1e9
    })
}

#[cfg(target_arch = "x86_64")]
fn fma_gflop_s(threads: usize) -> f64 {
    use std::arch::x86_64::*;
    const TIMES: usize = 100_000;

    #[target_feature(enable = "avx512f")]
    fn wide() {
        let x = black_box(_mm512_set1_ps(1.0));
        let mut sums = [_mm512_setzero_ps(); 12];
        for _ in 0..TIMES {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(x, x, *sum);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow() {
        let x = black_box(_mm256_set1_ps(1.0));
        let mut sums = [_mm256_setzero_ps(); 12];
        for _ in 0..TIMES {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(x, x, *sum);
            }
        }
        black_box(sums);
    }

    let flop = (2 * 12 * TIMES) as f64 / 1e9;
    on_all(threads, || match Isa::detect() {
        // SAFETY: this set has AVX-512 F.
        Isa::Avx512 => per_second(|| unsafe { wide() }) * 16.0 * flop,
        // SAFETY: this set has AVX2 and FMA.
        Isa::Avx2 => per_second(|| unsafe { narrow() }) * 8.0 * flop,
        Isa::Portable => f64::NAN,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn fma_gflop_s(_: usize) -> f64 {
    f64::NAN
}
