//! NEON with products of bytes: a vector is four registers.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Bytes, Kernel, LANES, Simd};

/// Proof that this machine has NEON and DOTPROD, and is little-endian, as fields of several bytes are read without conversion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];

impl Neon {
    pub(super) fn detect() -> Option<Neon> {
        let all = cfg!(target_endian = "little")
            && is_aarch64_feature_detected!("neon")
            && is_aarch64_feature_detected!("dotprod");
        all.then_some(Neon(()))
    }

    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "neon,dotprod")]
        fn run<K: Kernel>(s: Neon, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: `self` is the proof that the features are there.
        unsafe { run(self, kernel) }
    }
}

/// acc + the four products of signed bytes in each lane. (Rust has no stable intrinsic for it.)
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut acc: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // SAFETY: the features are there, and nothing but `acc` changes.
    unsafe {
        asm!(
            "sdot {:v}.4s, {:v}.16b, {:v}.16b",
            inout(vreg) acc, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// acc + the four products in each lane. Both factors are signed here, so 128 is subtracted from a wide byte and its products are
/// added separately.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(acc: int32x4_t, u: int32x4_t, x: int32x4_t, wide: bool) -> int32x4_t {
    if !wide {
        return sdot(acc, u, x);
    }
    let sum = sdot(vdupq_n_s32(0), vreinterpretq_s32_s8(vdupq_n_s8(1)), x);
    let signed = veorq_s32(u, vreinterpretq_s32_s8(vdupq_n_s8(-128)));
    sdot(vaddq_s32(acc, vshlq_n_s32::<7>(sum)), signed, x)
}

/// A vector from an expression with the number of a register. (`std::array::from_fn` is not always inlined.)
macro_rules! four {
    (|$i:ident| $e:expr) => { four!($i $e, 0 1 2 3) };
    ($i:ident $e:expr, $($n:literal)*) => { [$({ let $i = $n; $e }),*] };
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

impl Simd for Neon {
    type F = F;
    type I = I;
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
        fn splat(x: f32) -> F { [vdupq_n_f32(x); 4] }
        fn load(from: &[f32; LANES]) -> F { four!(|i| vld1q_f32(from.as_ptr().add(4 * i))) }
        fn store(to: &mut [f32; LANES], x: F) -> () {{ four!(|i| vst1q_f32(to.as_mut_ptr().add(4 * i), x[i])); }}
        fn add(a: F, b: F) -> F { four!(|i| vaddq_f32(a[i], b[i])) }
        fn sub(a: F, b: F) -> F { four!(|i| vsubq_f32(a[i], b[i])) }
        fn mul(a: F, b: F) -> F { four!(|i| vmulq_f32(a[i], b[i])) }
        fn div(a: F, b: F) -> F { four!(|i| vdivq_f32(a[i], b[i])) }
        // The machine's own gives NaN whichever operand is NaN.
        fn min(a: F, b: F) -> F { four!(|i| vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i])) }
        fn max(a: F, b: F) -> F { four!(|i| vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i])) }
        fn mul_add(a: F, b: F, c: F) -> F { four!(|i| vfmaq_f32(c[i], a[i], b[i])) }
        fn round(x: F) -> I { four!(|i| vcvtnq_s32_f32(x[i])) }
        fn float(x: I) -> F { four!(|i| vcvtq_f32_s32(x[i])) }
        fn with_bits(x: I) -> F { four!(|i| vreinterpretq_f32_s32(x[i])) }
        fn splat_int(x: i32) -> I { [vdupq_n_s32(x); 4] }
        fn unsigned(from: &Bytes) -> I {{
            let bytes = vld1q_u8(from.as_ptr());
            let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
            let (a, b) = (vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low));
            let (c, d) = (vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high));
            four!(|i| vreinterpretq_s32_u32([a, b, c, d][i]))
        }}
        fn signed(from: &Bytes) -> I {{
            let bytes = vld1q_s8(from.as_ptr().cast());
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
        }}
        fn f16(from: &[Bytes; 2]) -> F {
            four!(|i| vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from.as_ptr().cast::<u16>().add(4 * i)))))
        }
        fn and(a: I, b: I) -> I { four!(|i| vandq_s32(a[i], b[i])) }
        fn or(a: I, b: I) -> I { four!(|i| vorrq_s32(a[i], b[i])) }
        fn xor(a: I, b: I) -> I { four!(|i| veorq_s32(a[i], b[i])) }
        fn add_int(a: I, b: I) -> I { four!(|i| vaddq_s32(a[i], b[i])) }
        fn shl(a: I, by: u32) -> I { four!(|i| vshlq_s32(a[i], vdupq_n_s32(by as i32))) }
        fn sar(a: I, by: u32) -> I { four!(|i| vshlq_s32(a[i], vdupq_n_s32(-(by as i32)))) }
        fn shr(a: I, by: u32) -> I {
            four!(|i| vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a[i]), vdupq_n_s32(-(by as i32)))))
        }
        fn bytes(from: &[Bytes; 4]) -> I { four!(|i| vreinterpretq_s32_u8(vld1q_u8(from[i].as_ptr()))) }
        fn store_bytes(to: &mut [Bytes; 4], x: I) -> () {{
            four!(|i| vst1q_u8(to[i].as_mut_ptr(), vreinterpretq_u8_s32(x[i])));
        }}
        fn lookup(table: &Bytes, index: I) -> I {{
            let table = vld1q_u8(table.as_ptr());
            four!(|i| vreinterpretq_s32_u8(vqtbl1q_u8(table, vreinterpretq_u8_s32(index[i]))))
        }}
        fn dot(acc: I, u: I, x: I, wide: bool) -> I { four!(|i| dot(acc[i], u[i], x[i], wide)) }
        fn dot_signed(acc: I, w: I, x: I) -> I { four!(|i| sdot(acc[i], w[i], x[i])) }
        fn narrow(x: I) -> Bytes {{
            let low = vcombine_s16(vmovn_s32(x[0]), vmovn_s32(x[1]));
            let high = vcombine_s16(vmovn_s32(x[2]), vmovn_s32(x[3]));
            std::mem::transmute::<int8x16_t, Bytes>(vcombine_s8(vmovn_s16(low), vmovn_s16(high)))
        }}
        fn sum(x: Bytes) -> i32 { i32::from(vaddlvq_s8(vld1q_s8(x.as_ptr().cast()))) }
        fn largest(x: F) -> f32 { vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(x[0], x[1]), vmaxnmq_f32(x[2], x[3]))) }
    }

    #[inline(always)]
    fn gather<const N: usize>(self, table: &[u32; N], index: I) -> I {
        const { assert!(N.is_power_of_two()) }
        let mut lanes = [0u32; LANES];
        // SAFETY: `self` is the proof that the features are there; pointers come from arrays of the size accessed.
        unsafe {
            four!(|i| vst1q_u32(lanes.as_mut_ptr().add(4 * i), vreinterpretq_u32_s32(index[i])));
            for lane in &mut lanes {
                *lane = table[*lane as usize % N];
            }
            four!(|i| vreinterpretq_s32_u32(vld1q_u32(lanes.as_ptr().add(4 * i))))
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, place: &T, ahead: usize) {
        let place = std::ptr::from_ref(place).addr().wrapping_add(ahead);
        // SAFETY: fetching ahead has no effect that a program could see, wherever it points.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) place, options(nomem, nostack, preserves_flags)) }
    }

    #[inline(always)]
    fn prefetch_far<T>(self, place: &T, ahead: usize) {
        let place = std::ptr::from_ref(place).addr().wrapping_add(ahead);
        // SAFETY: fetching ahead has no effect that a program could see, wherever it points.
        unsafe { asm!("prfm pldl2keep, [{}]", in(reg) place, options(nomem, nostack, preserves_flags)) }
    }
}
