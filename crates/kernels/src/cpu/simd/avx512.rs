//! AVX-512: a vector is one register. There are two variants: with the instructions for BF16, and without.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{Bytes, Kernel, LANES, Simd};

/// Proof that this machine has AVX-512 F, BW, DQ, VL and VNNI, and BF16 if asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512<const BF16: bool = false>(());

impl<const BF16: bool> Avx512<BF16> {
    pub(super) fn detect() -> Option<Avx512<BF16>> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && (!BF16 || is_x86_feature_detected!("avx512bf16"));
        all.then_some(Avx512(()))
    }

    /// The same, for kernels that need no BF16: they are compiled once.
    pub(super) fn without_bf16(self) -> Avx512 {
        Avx512(())
    }

    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn run<K: Kernel>(s: Avx512, kernel: K) -> K::Output {
            kernel.run(s)
        }
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")]
        fn run_bf16<K: Kernel>(s: Avx512<true>, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: `self` is the proof that the features are there.
        unsafe { if BF16 { run_bf16(Avx512(()), kernel) } else { run(Avx512(()), kernel) } }
    }
}

/// Methods that are one expression of intrinsics.
macro_rules! methods {
    ($(fn $name:ident($($arg:ident: $of:ty),*) -> $result:ty { $e:expr })*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $of),*) -> $result {
            // SAFETY: `self` is the proof that the features are there; pointers come from arrays of the size accessed.
            unsafe { $e }
        })*
    };
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type F = __m512;
    type I = __m512i;
    const ROWS: usize = 12;
    const TILES: usize = 2;
    const QUANT_ROWS: usize = 7;
    const QUANT_TILES: usize = 2;
    const WIDE_IS_FREE: bool = true;
    const PAIRS: bool = BF16;

    #[inline(always)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        self.run(kernel)
    }

    methods! {
        fn splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn load(from: &[f32; LANES]) -> __m512 { _mm512_loadu_ps(from.as_ptr()) }
        fn store(to: &mut [f32; LANES], x: __m512) -> () { _mm512_storeu_ps(to.as_mut_ptr(), x) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn round(x: __m512) -> __m512i { _mm512_cvtps_epi32(x) }
        fn float(x: __m512i) -> __m512 { _mm512_cvtepi32_ps(x) }
        fn with_bits(x: __m512i) -> __m512 { _mm512_castsi512_ps(x) }
        fn splat_int(x: i32) -> __m512i { _mm512_set1_epi32(x) }
        fn unsigned(from: &Bytes) -> __m512i { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast())) }
        fn signed(from: &Bytes) -> __m512i { _mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast())) }
        fn f16(from: &[Bytes; 2]) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
        fn and(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn xor(a: __m512i, b: __m512i) -> __m512i { _mm512_xor_si512(a, b) }
        fn add_int(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn shl(a: __m512i, by: u32) -> __m512i { _mm512_sll_epi32(a, _mm_cvtsi32_si128(by as i32)) }
        fn sar(a: __m512i, by: u32) -> __m512i { _mm512_sra_epi32(a, _mm_cvtsi32_si128(by as i32)) }
        fn shr(a: __m512i, by: u32) -> __m512i { _mm512_srl_epi32(a, _mm_cvtsi32_si128(by as i32)) }
        fn bytes(from: &[Bytes; 4]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        fn store_bytes(to: &mut [Bytes; 4], x: __m512i) -> () { _mm512_storeu_si512(to.as_mut_ptr().cast(), x) }
        fn lookup(table: &Bytes, index: __m512i) -> __m512i {
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), index)
        }
        fn dot(acc: __m512i, u: __m512i, x: __m512i, _wide: bool) -> __m512i { _mm512_dpbusd_epi32(acc, u, x) }
        fn narrow(x: __m512i) -> Bytes { std::mem::transmute::<__m128i, Bytes>(_mm512_cvtepi32_epi8(x)) }
        fn sum(x: Bytes) -> i32 {{
            let shifted = _mm_xor_si128(_mm_loadu_si128(x.as_ptr().cast()), _mm_set1_epi8(-128));
            let sums = _mm_sad_epu8(shifted, _mm_setzero_si128());
            _mm_cvtsi128_si32(sums) + _mm_extract_epi32::<2>(sums) - 128 * LANES as i32
        }}
        fn largest(x: __m512) -> f32 { _mm512_reduce_max_ps(x) }
        fn pairs(x: __m512, y: __m512) -> __m512 {
            std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(y, x))
        }
        fn dot_pairs(acc: __m512, w: __m512, x: __m512) -> __m512 {
            _mm512_dpbf16_ps(acc, std::mem::transmute::<__m512, __m512bh>(w), std::mem::transmute::<__m512, __m512bh>(x))
        }
    }

    #[inline(always)]
    fn gather<const N: usize>(self, table: &[u32; N], index: __m512i) -> __m512i {
        const { assert!(N.is_power_of_two()) }
        // SAFETY: `self` is the proof that the features are there, and all lanes are below N.
        unsafe {
            if N == LANES {
                // It reads the lowest four bits of each lane.
                return _mm512_permutexvar_epi32(index, _mm512_loadu_si512(table.as_ptr().cast()));
            }
            let index = _mm512_and_si512(index, _mm512_set1_epi32(N as i32 - 1));
            _mm512_i32gather_epi32::<4>(index, table.as_ptr().cast())
        }
    }

    #[inline(always)]
    fn in_turn(self, x: __m512i) -> __m512i {
        #[inline]
        #[target_feature(enable = "avx512f")]
        fn in_turn(mut x: __m512i) -> __m512i {
            // SAFETY: there is no instruction in it.
            unsafe { std::arch::asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) }
            x
        }
        // SAFETY: `self` is the proof that the features are there.
        unsafe { in_turn(x) }
    }

    #[inline(always)]
    fn prefetch<T>(self, place: &T, ahead: usize) {
        let place = std::ptr::from_ref(place).cast::<i8>().wrapping_add(ahead);
        // SAFETY: fetching ahead has no effect that a program could see, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place) }
    }

    #[inline(always)]
    fn prefetch_far<T>(self, place: &T, ahead: usize) {
        let place = std::ptr::from_ref(place).cast::<i8>().wrapping_add(ahead);
        // SAFETY: fetching ahead has no effect that a program could see, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(place) }
    }
}
