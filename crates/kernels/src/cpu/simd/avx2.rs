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
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn run<K: Kernel>(s: Avx2, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: `self` is the proof that the features are there.
        unsafe { run(self, kernel) }
    }
}

/// acc + the four products in each lane. Pairs are added up in 16 bits. The upper bit of a wide byte would overflow them, so it is
/// multiplied separately.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot(acc: __m256i, u: __m256i, x: __m256i, wide: bool) -> __m256i {
    let low = if wide { _mm256_and_si256(u, _mm256_set1_epi8(127)) } else { u };
    let sum = _mm256_madd_epi16(_mm256_maddubs_epi16(low, x), _mm256_set1_epi16(1));
    let acc = _mm256_add_epi32(acc, sum);
    if !wide {
        return acc;
    }
    let upper = _mm256_and_si256(_mm256_srli_epi16::<7>(u), _mm256_set1_epi8(1));
    _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(upper, x), _mm256_set1_epi16(128)))
}

/// acc + the four products of signed bytes in each lane: of the magnitudes of `w`, as `x` has its signs then. Two of them fit in 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_signed(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
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
    const QUANT_ROWS: usize = 4;
    const QUANT_TILES: usize = 1;
    const WIDE_IS_FREE: bool = false;
    const SIGNED: bool = true;

    #[inline(always)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        self.run(kernel)
    }

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
        fn f16(from: &[Bytes; 2]) -> [__m256; 2] {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from[0].as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from[1].as_ptr().cast())),
            ]
        }
        fn and(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])]
        }
        fn xor(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            [_mm256_xor_si256(a[0], b[0]), _mm256_xor_si256(a[1], b[1])]
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
        fn sar(a: [__m256i; 2], by: u32) -> [__m256i; 2] {{
            let by = _mm_cvtsi32_si128(by as i32);
            [_mm256_sra_epi32(a[0], by), _mm256_sra_epi32(a[1], by)]
        }}
        fn shr(a: [__m256i; 2], by: u32) -> [__m256i; 2] {{
            let by = _mm_cvtsi32_si128(by as i32);
            [_mm256_srl_epi32(a[0], by), _mm256_srl_epi32(a[1], by)]
        }}
        fn bytes(from: &[Bytes; 4]) -> [__m256i; 2] {
            [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from.as_ptr().add(2).cast())]
        }
        fn store_bytes(to: &mut [Bytes; 4], x: [__m256i; 2]) -> () {{
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x[0]);
            _mm256_storeu_si256(to.as_mut_ptr().add(2).cast(), x[1]);
        }}
        fn lookup(table: &Bytes, index: [__m256i; 2]) -> [__m256i; 2] {{
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            [_mm256_shuffle_epi8(table, index[0]), _mm256_shuffle_epi8(table, index[1])]
        }}
        fn dot(acc: [__m256i; 2], u: [__m256i; 2], x: [__m256i; 2], wide: bool) -> [__m256i; 2] {
            [dot(acc[0], u[0], x[0], wide), dot(acc[1], u[1], x[1], wide)]
        }
        fn dot_signed(acc: [__m256i; 2], w: [__m256i; 2], x: [__m256i; 2]) -> [__m256i; 2] {
            [dot_signed(acc[0], w[0], x[0]), dot_signed(acc[1], w[1], x[1])]
        }
        fn narrow(x: [__m256i; 2]) -> Bytes {{
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(x[0], x[1]));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            std::mem::transmute::<__m128i, Bytes>(bytes)
        }}
        fn sum(x: Bytes) -> i32 {{
            let shifted = _mm_xor_si128(_mm_loadu_si128(x.as_ptr().cast()), _mm_set1_epi8(-128));
            let sums = _mm_sad_epu8(shifted, _mm_setzero_si128());
            _mm_cvtsi128_si32(sums) + _mm_extract_epi32::<2>(sums) - 128 * LANES as i32
        }}
        fn largest(x: [__m256; 2]) -> f32 {{
            let lanes = std::mem::transmute::<__m256, [f32; 8]>(_mm256_max_ps(x[0], x[1]));
            lanes.iter().fold(f32::NAN, |a, &b| if a > b { a } else { b })
        }}
    }

    #[inline(always)]
    fn gather<const N: usize>(self, table: &[u32; N], index: [__m256i; 2]) -> [__m256i; 2] {
        const { assert!(N.is_power_of_two()) }
        let table = table.as_ptr().cast();
        // SAFETY: `self` is the proof that the features are there, and all lanes are below N.
        unsafe {
            let below = _mm256_set1_epi32(N as i32 - 1);
            [
                _mm256_i32gather_epi32::<4>(table, _mm256_and_si256(index[0], below)),
                _mm256_i32gather_epi32::<4>(table, _mm256_and_si256(index[1], below)),
            ]
        }
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
