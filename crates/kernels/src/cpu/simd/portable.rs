//! Vectors of 128 bits as every machine has them, from crate `wide`: SSE2, NEON without DOTPROD, or plain Rust. Plain arrays would do as
//! well, but it takes the compiler minutes to find the vectors in them.

use bytemuck::cast;
use wide::{f32x4, f32x16, i16x8, i32x4, i32x16, u8x16, u32x4};

use super::{Bytes, Kernel, LANES, Simd};

const _: () = assert!(cfg!(target_endian = "little"), "fields of several bytes are read without conversion");

/// Needs no proof.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// Half-precision numbers as `f32`, without branches. An exponent and mantissa are moved to their places. A product corrects for the
/// difference of the exponents' biases, for subnormal numbers too.
#[inline(always)]
fn widen(bits: u32x4) -> f32x4 {
    const TWO_TO_112: f32 = f32::from_bits((112 + 127) << 23);
    let exponent = u32x4::splat(0x7c00);
    let moved: f32x4 = cast((bits & u32x4::splat(0x7fff)) << 13);
    let moved: u32x4 = cast(moved * f32x4::splat(TWO_TO_112));
    let not_finite = (bits & exponent).simd_eq(exponent) & u32x4::splat(0x7f80_0000);
    cast(moved | not_finite | (bits & u32x4::splat(0x8000)) << 16)
}

/// The bytes of `low` and `high`, in turn, of each half.
#[inline(always)]
fn interleave(low: u8x16, high: u8x16) -> [u8x16; 2] {
    [u8x16::unpack_low(low, high), u8x16::unpack_high(low, high)]
}

/// acc + the four products in each lane, two by two.
#[inline(always)]
fn dot(acc: i32x4, u: i16x8, x: i16x8) -> i32x4 {
    let upper: i16x8 = cast(u.cast_unsigned() >> 8);
    acc + (u & i16x8::splat(255)).dot(x << 8 >> 8) + upper.dot(x >> 8)
}

impl Simd for Portable {
    type F = f32x16;
    type I = i32x16;
    const ROWS: usize = 2;
    const TILES: usize = 1;
    const QUANT_ROWS: usize = 2;
    const QUANT_TILES: usize = 1;
    const WIDE_IS_FREE: bool = true;

    #[inline(never)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> f32x16 {
        f32x16::splat(x)
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> f32x16 {
        f32x16::new(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: f32x16) {
        *to = x.to_array();
    }
    #[inline(always)]
    fn add(self, a: f32x16, b: f32x16) -> f32x16 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x16, b: f32x16) -> f32x16 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x16, b: f32x16) -> f32x16 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x16, b: f32x16) -> f32x16 {
        a / b
    }
    #[inline(always)]
    fn min(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_lt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn max(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_gt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: f32x16, b: f32x16, c: f32x16) -> f32x16 {
        a * b + c
    }
    #[inline(always)]
    fn round(self, x: f32x16) -> i32x16 {
        // Adding 1.5 · 2^23 rounds to even and leaves the integer in the lowest bits. The kernels' values are far below 2^22.
        const SHIFT: f32 = 12_582_912.0;
        cast::<f32x16, i32x16>(x + f32x16::splat(SHIFT)) - i32x16::splat(SHIFT.to_bits().cast_signed())
    }
    #[inline(always)]
    fn float(self, x: i32x16) -> f32x16 {
        x.round_float()
    }
    #[inline(always)]
    fn with_bits(self, x: i32x16) -> f32x16 {
        cast(x)
    }
    #[inline(always)]
    fn splat_int(self, x: i32) -> i32x16 {
        i32x16::splat(x)
    }
    #[inline(always)]
    fn unsigned(self, from: &Bytes) -> i32x16 {
        let zero = u8x16::ZERO;
        cast(interleave(u8x16::new(*from), zero).map(|half| interleave(half, zero)))
    }
    #[inline(always)]
    fn signed(self, from: &Bytes) -> i32x16 {
        let zero = u8x16::ZERO;
        let upper: i32x16 = cast(interleave(zero, u8x16::new(*from)).map(|half| interleave(zero, half)));
        upper >> 24
    }
    #[inline(always)]
    fn f16(self, from: &[Bytes; 2]) -> f32x16 {
        let widened = from.map(|eight| {
            let both: u32x4 = cast(eight);
            let (even, odd) = (both & u32x4::splat(0xffff), both >> 16);
            [widen(even.unpack_lo(odd)), widen(even.unpack_hi(odd))]
        });
        cast(widened)
    }
    #[inline(always)]
    fn and(self, a: i32x16, b: i32x16) -> i32x16 {
        a & b
    }
    #[inline(always)]
    fn or(self, a: i32x16, b: i32x16) -> i32x16 {
        a | b
    }
    #[inline(always)]
    fn xor(self, a: i32x16, b: i32x16) -> i32x16 {
        a ^ b
    }
    #[inline(always)]
    fn add_int(self, a: i32x16, b: i32x16) -> i32x16 {
        a + b
    }
    #[inline(always)]
    fn shl(self, a: i32x16, by: u32) -> i32x16 {
        a << by
    }
    #[inline(always)]
    fn sar(self, a: i32x16, by: u32) -> i32x16 {
        a >> by
    }
    #[inline(always)]
    fn shr(self, a: i32x16, by: u32) -> i32x16 {
        (a.cast_unsigned() >> by).cast_signed()
    }
    #[inline(always)]
    fn prefetch<T>(self, _place: &T, _ahead: usize) {}
    #[inline(always)]
    fn prefetch_far<T>(self, _place: &T, _ahead: usize) {}
    #[inline(always)]
    fn bytes(self, from: &[Bytes; 4]) -> i32x16 {
        cast(*from)
    }
    #[inline(always)]
    fn store_bytes(self, to: &mut [Bytes; 4], x: i32x16) {
        *to = cast(x);
    }
    // Not in line: without an instruction for it, it is a loop, and compiled in many places.
    #[inline(never)]
    fn lookup(self, table: &Bytes, index: i32x16) -> i32x16 {
        let bytes: [u8; 64] = cast(index);
        cast(bytes.map(|b| table[b as usize % LANES]))
    }
    #[inline(never)]
    fn gather<const N: usize>(self, table: &[u32; N], index: i32x16) -> i32x16 {
        const { assert!(N.is_power_of_two()) }
        i32x16::new(index.to_array().map(|i| table[i as usize % N].cast_signed()))
    }
    #[inline(always)]
    fn dot(self, acc: i32x16, u: i32x16, x: i32x16, _wide: bool) -> i32x16 {
        let (acc, u, x): ([i32x4; 4], [i16x8; 4], [i16x8; 4]) = (cast(acc), cast(u), cast(x));
        cast([dot(acc[0], u[0], x[0]), dot(acc[1], u[1], x[1]), dot(acc[2], u[2], x[2]), dot(acc[3], u[3], x[3])])
    }
    #[inline(always)]
    fn narrow(self, x: i32x16) -> Bytes {
        x.to_array().map(|x| x as u8)
    }
    #[inline(always)]
    fn sum(self, x: Bytes) -> i32 {
        x.map(|b| i32::from(b as i8)).iter().sum()
    }
    #[inline(always)]
    fn largest(self, x: f32x16) -> f32 {
        x.to_array().iter().fold(f32::NAN, |a, &b| if a > b { a } else { b })
    }
}
