//! What the machine can do, as figures to put beside a kernel's: bytes read per second and arithmetic per second.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use memmap2::MmapMut;

/// The limits of some threads together; not a number where there is no instruction for it.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Memory read, in 10⁹ bytes per second.
    pub read_gb_s: f64,
    /// Products of 8-bit integers added up in 32 bits (`vpdpbusd`, or AVX2's three instructions for it), in 10⁹
    /// operations per second, two for each product.
    pub int8_gop_s: f64,
    /// Products of `f32` added up, in 10⁹ operations per second, two for each product.
    pub f32_gflop_s: f64,
}

impl Machine {
    /// Measures with `threads`, which read `bytes` together over and over: give as many as the weights have, and the
    /// caches help here as much as they help there.
    pub fn measure(threads: usize, bytes: usize) -> Machine {
        let threads = threads.max(1);
        let arithmetic = |work: fn() -> f64| best(|| together(threads, || (), |()| work())) / 1e9;
        Machine {
            read_gb_s: best(|| read(threads, bytes)) / 1e9,
            int8_gop_s: arithmetic(chains::int8),
            f32_gflop_s: arithmetic(chains::f32),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { read_gb_s, int8_gop_s, f32_gflop_s } = self;
        write!(f, "memory {read_gb_s:.1} GB/s, int8 {int8_gop_s:.0} GOP/s, f32 {f32_gflop_s:.0} GFLOP/s")
    }
}

/// The best of several figures: on a shared machine the others say what the neighbours did.
fn best(figure: impl FnMut() -> f64) -> f64 {
    std::iter::repeat_with(figure).take(3).fold(f64::NAN, f64::max)
}

/// How often per second `work` is done.
fn per_second(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut times = 0;
    while times < 1 || start.elapsed().as_secs_f64() < 0.2 {
        work();
        times += 1;
    }
    f64::from(times) / start.elapsed().as_secs_f64()
}

/// Bytes read per second, from large pages where the system has them.
fn read(threads: usize, bytes: usize) -> f64 {
    let memory = || {
        let mut memory = MmapMut::map_anon(bytes / threads).ok()?;
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        memory.fill(1);
        Some(memory)
    };
    together(threads, memory, |memory| {
        // Without memory nothing is measured.
        let Some(memory) = memory else { return f64::NAN };
        let add = |sums: [u8; 64], x: &[u8; 64]| std::array::from_fn(|i| sums[i] ^ x[i]);
        black_box(memory.as_chunks().0.iter().fold([0; 64], add));
        memory.len() as f64
    })
}

/// What all threads do per second, by the count that `work` returns; none begins before each has its state.
fn together<S>(threads: usize, state: impl Fn() -> S + Sync, work: impl Fn(&S) -> f64 + Sync) -> f64 {
    let ready = Barrier::new(threads);
    let thread = || {
        let state = state();
        ready.wait();
        let mut count = 0.0;
        per_second(|| count = work(&state)) * count
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        all.into_iter().map(|thread| thread.join().expect("no panics")).sum()
    })
}

/// Chains of one instruction, in registers; each function returns how many operations it did.
#[cfg(target_arch = "x86_64")]
mod chains {
    #![allow(unsafe_code)]

    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// More chains than the latency of an instruction times the ports that take it.
    const CHAINS: usize = 12;
    const TIMES: usize = 100_000;

    macro_rules! chains {
        ($name:ident, $features:literal, $x:expr, $zero:expr, $step:expr) => {
            #[target_feature(enable = $features)]
            fn $name() {
                let x = black_box($x);
                let mut sums = [$zero; CHAINS];
                for _ in 0..TIMES {
                    for sum in &mut sums {
                        *sum = $step(*sum, x);
                    }
                }
                black_box(sums);
            }
        };
    }

    chains!(int8_vnni, "avx512f,avx512vnni", _mm512_set1_epi8(1), _mm512_setzero_si512(), |sum, x| {
        _mm512_dpbusd_epi32(sum, x, x)
    });
    // With the sum as a factor: a product of what does not change would leave the loop.
    chains!(int8_avx2, "avx2", _mm256_set1_epi8(1), _mm256_setzero_si256(), |sum, x| {
        _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, sum), x))
    });
    chains!(f32_avx512, "avx512f", _mm512_set1_ps(1.0), _mm512_setzero_ps(), |sum, x| _mm512_fmadd_ps(x, x, sum));
    chains!(f32_avx2, "avx2,fma", _mm256_set1_ps(1.0), _mm256_setzero_ps(), |sum, x| _mm256_fmadd_ps(x, x, sum));

    pub(super) fn int8() -> f64 {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: this machine has the features.
            unsafe { int8_vnni() };
            operations(64)
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: this machine has the feature.
            unsafe { int8_avx2() };
            operations(32)
        } else {
            f64::NAN
        }
    }

    pub(super) fn f32() -> f64 {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: this machine has the feature.
            unsafe { f32_avx512() };
            operations(16)
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: this machine has the features.
            unsafe { f32_avx2() };
            operations(8)
        } else {
            f64::NAN
        }
    }

    /// A product and an addition in each of the lanes.
    fn operations(lanes: usize) -> f64 {
        (2 * lanes * CHAINS * TIMES) as f64
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod chains {
    pub(super) fn int8() -> f64 {
        f64::NAN
    }

    pub(super) fn f32() -> f64 {
        f64::NAN
    }
}
