//! AVX2 with FMA and F16C: a vector is two registers.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{Bytes, Kernel, LANES, Simd};

/// Proof that this machine has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Avx2> {
        let all =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        all.then_some(Avx2(()))
    }

    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn run<K: Kernel>(s: Avx2, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: `self` is the proof that the features are there.
        unsafe { run(self, kernel) }
    }
}

/// Of 16 numbers in two halves, those at 8 indices.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn lookup(low: __m256, high: __m256, index: __m256i) -> __m256 {
    let (a, b) = (_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index));
    _mm256_blendv_ps(a, b, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index)))
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

impl Simd for Avx2 {
    type F = [__m256; 2];
    type I = [__m256i; 2];
    const ROWS: usize = 6;
    const TILES: usize = 1;

    methods! {
        fn splat(x: f32) -> [__m256; 2] { [_mm256_set1_ps(x); 2] }
        fn load(from: &[f32; LANES]) -> [__m256; 2] {
            [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))]
        }
        fn store(to: &mut [f32; LANES], x: [__m256; 2]) -> () {{
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
        }}
        fn add(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
        }
        fn sub(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])]
        }
        fn mul(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
        }
        fn div(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])]
        }
        fn min(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])]
        }
        fn max(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])]
        }
        fn mul_add(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])]
        }
        fn round(x: [__m256; 2]) -> [__m256i; 2] { [_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1])] }
        fn float(x: [__m256i; 2]) -> [__m256; 2] { [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])] }
        fn with_bits(x: [__m256i; 2]) -> [__m256; 2] { [_mm256_castsi256_ps(x[0]), _mm256_castsi256_ps(x[1])] }
        fn splat_int(x: i32) -> [__m256i; 2] { [_mm256_set1_epi32(x); 2] }
        fn unsigned(from: &Bytes) -> [__m256i; 2] {{
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(bytes, bytes))]
        }}
        fn signed(from: &Bytes) -> [__m256i; 2] {{
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            [_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes))]
        }}
        fn halves(from: &[Bytes; 2]) -> [__m256i; 2] {
            [
                _mm256_cvtepu16_epi32(_mm_loadu_si128(from[0].as_ptr().cast())),
                _mm256_cvtepu16_epi32(_mm_loadu_si128(from[1].as_ptr().cast())),
            ]
        }
        fn f16(from: &[Bytes; 2]) -> [__m256; 2] {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from[0].as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from[1].as_ptr().cast())),
            ]
        }
        fn and(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])]
        }
        fn or(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])]
        }
        fn add_int(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
        }
        fn shl(a: [__m256i; 2], by: u32) -> [__m256i; 2] {{
            let by = _mm_cvtsi32_si128(by as i32);
            [_mm256_sll_epi32(a[0], by), _mm256_sll_epi32(a[1], by)]
        }}
        fn shr(a: [__m256i; 2], by: u32) -> [__m256i; 2] {{
            let by = _mm_cvtsi32_si128(by as i32);
            [_mm256_srl_epi32(a[0], by), _mm256_srl_epi32(a[1], by)]
        }}
        fn lookup(table: &[f32; LANES], index: [__m256i; 2]) -> [__m256; 2] {{
            let (low, high) = (_mm256_loadu_ps(table.as_ptr()), _mm256_loadu_ps(table.as_ptr().add(8)));
            [lookup(low, high, index[0]), lookup(low, high, index[1])]
        }}
    }
}
