//! What the machine can do, measured beside the kernels.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use kernels::Isa;

/// The best of several figures: on a shared machine the others say what the neighbours did.
pub(crate) fn best(mut figure: impl FnMut() -> f64) -> f64 {
    (0..3).map(|_| figure()).fold(0.0, f64::max)
}

pub(crate) fn per_second(mut work: impl FnMut()) -> f64 {
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

/// What `threads` read from memory.
pub(crate) fn read_gb_s(threads: usize) -> f64 {
    on_all(threads, || {
        let numbers = vec![1u64; 1 << 24];
        let sum = || numbers.chunks(8).fold([0; 8], |sum: [u64; 8], x| std::array::from_fn(|i| sum[i] ^ x[i]));
        per_second(|| _ = black_box(sum())) * numbers.len() as f64 * 8.0 / 1e9
    })
}

/// What `threads` multiply and add.
#[cfg(target_arch = "x86_64")]
pub(crate) fn fma_gflop_s(threads: usize) -> f64 {
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
pub(crate) fn fma_gflop_s(_: usize) -> f64 {
    f64::NAN
}
