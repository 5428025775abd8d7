//! Vectors of 16 lanes: the operations of an instruction set, the list of instruction sets, and the one place that chooses.

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod vendor;

use std::sync::LazyLock;

pub(crate) use amx::{Amx, Sums, Unit};
pub(crate) use math::{erfc, exp, sigmoid, sum_lanes, tanh};

/// Lanes of a vector; also the rows of a weight tile.
pub(crate) const LANES: usize = 16;

/// 16 bytes: one field of a block, of 16 rows.
pub(crate) type Bytes = [u8; LANES];

/// 16 numbers on a cache line of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; LANES]);

/// An instruction set, as operations on vectors of 16 `f32` and 16 `i32`. A value of an implementing type proves that this machine
/// has it, so the methods are safe. All work lane by lane unless they say otherwise.
pub(crate) trait Simd: Copy {
    /// 16 numbers.
    type F: Copy;
    /// 16 integers.
    type I: Copy;
    /// Rows of x that the product's inner loop keeps in registers.
    const ROWS: usize;
    /// Weight tiles that it keeps beside them.
    const TILES: usize;
    /// Rows of x that the integer product's inner loop keeps in registers.
    const QUANT_ROWS: usize;
    /// Weight tiles that it keeps beside them: 1 or 2.
    const QUANT_TILES: usize;
    /// Whether [`Simd::dot`] takes wide bytes as fast as others.
    const WIDE_IS_FREE: bool;
    /// Whether [`Simd::dot_signed`] is faster than [`Simd::dot`] of wide bytes.
    const SIGNED: bool = false;
    /// Whether there are [`Simd::pairs`] and [`Simd::dot_pairs`].
    const PAIRS: bool = false;

    /// Runs a kernel as a function of its own. One large function takes the compiler more time than its parts do.
    fn apart<K: Kernel>(self, kernel: K) -> K::Output;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, to: &mut [f32; LANES], x: Self::F);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// The lesser; `b` if either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The greater; `b` if either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c, rounded once where the machine can.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The nearest integer, halves to even.
    fn round(self, x: Self::F) -> Self::I;
    fn float(self, x: Self::I) -> Self::F;
    /// The numbers with these bits.
    fn with_bits(self, x: Self::I) -> Self::F;

    fn splat_int(self, x: i32) -> Self::I;
    fn unsigned(self, from: &Bytes) -> Self::I;
    fn signed(self, from: &Bytes) -> Self::I;
    /// Half-precision numbers, low byte first.
    fn f16(self, from: &[Bytes; 2]) -> Self::F;
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn shl(self, a: Self::I, by: u32) -> Self::I;
    /// Shifts the sign in.
    fn sar(self, a: Self::I, by: u32) -> Self::I;
    /// Shifts zeros in.
    fn shr(self, a: Self::I, by: u32) -> Self::I;

    /// Prefetches the cache line `ahead` bytes after a place, which need not be valid memory.
    fn prefetch<T>(self, place: &T, ahead: usize);
    /// As [`Simd::prefetch`], into the second-level cache.
    fn prefetch_far<T>(self, place: &T, ahead: usize);
    /// 64 bytes, four in each lane.
    fn bytes(self, from: &[Bytes; 4]) -> Self::I;
    fn store_bytes(self, to: &mut [Bytes; 4], x: Self::I);
    /// Each byte b becomes table\[b\]; bytes are 0 to 15.
    fn lookup(self, table: &Bytes, index: Self::I) -> Self::I;
    /// Each lane i becomes table\[i modulo N\]; N is a power of two.
    fn gather<const N: usize>(self, table: &[u32; N], index: Self::I) -> Self::I;
    /// acc + the four products of unsigned bytes of `u` and signed bytes of `x` in each lane, exactly. `wide` says that bytes of `u`
    /// may be 128 or more. Bytes of `x` are never -128.
    fn dot(self, acc: Self::I, u: Self::I, x: Self::I, wide: bool) -> Self::I;
    /// acc + the four products of signed bytes of `w` and `x` in each lane, exactly. Bytes of `x` are never -128.
    #[inline(always)]
    fn dot_signed(self, acc: Self::I, w: Self::I, x: Self::I) -> Self::I {
        let wide = self.xor(w, self.splat_int(i32::from_le_bytes([128; 4])));
        let sum = self.dot(self.splat_int(0), self.splat_int(i32::from_le_bytes([1; 4])), x, false);
        let excess = self.xor(self.shl(sum, 7), self.splat_int(-1));
        self.add_int(self.dot(acc, wide, x, true), self.add_int(excess, self.splat_int(1)))
    }
    /// Returns x. The compiler keeps the order of the calls, and so that in which their arguments are computed.
    #[inline(always)]
    fn in_turn(self, x: Self::I) -> Self::I {
        x
    }
    /// The lanes, which are -128 to 127, as bytes.
    fn narrow(self, x: Self::I) -> Bytes;
    /// The sum of signed bytes.
    fn sum(self, x: Bytes) -> i32;
    /// The greatest lane if none is NaN; NaN if all are.
    fn largest(self, x: Self::F) -> f32;
    /// 32 numbers, those of `x` and then those of `y`, rounded to BF16: two in each lane, the first in its lower half.
    fn pairs(self, _x: Self::F, _y: Self::F) -> Self::F {
        unreachable!("only where there are pairs")
    }
    /// acc + the two products in each lane of pairs of BF16.
    fn dot_pairs(self, _acc: Self::F, _w: Self::F, _x: Self::F) -> Self::F {
        unreachable!("only where there are pairs")
    }
}

/// How far ahead of what is read memory is prefetched, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    /// Into the first-level cache.
    pub(crate) near: usize,
    /// Into the second-level cache, earlier: as long before as memory takes to answer.
    pub(crate) far: usize,
}

/// How far ahead to prefetch where several tiles are read side by side.
#[derive(Clone, Copy)]
pub(crate) struct AheadOf {
    ahead: Ahead,
    /// From these blocks on, what is prefetched lies in the next tiles, which are `jump` bytes further.
    near_jumps: usize,
    far_jumps: usize,
    jump: usize,
}

impl AheadOf {
    /// For tiles of `blocks` blocks of `len` bytes, with `jump` bytes of other tiles between a tile and the next to be read.
    #[inline(always)]
    pub(crate) fn new(ahead: Ahead, (blocks, len): (usize, usize), jump: usize) -> AheadOf {
        let jumps = |ahead: usize| blocks.saturating_sub(ahead / len);
        AheadOf { ahead, near_jumps: jumps(ahead.near), far_jumps: jumps(ahead.far), jump }
    }

    /// The distances at a block.
    #[inline(always)]
    pub(crate) fn at(&self, block: usize) -> Ahead {
        let jump = |from: usize| if block >= from { self.jump } else { 0 };
        Ahead { near: self.ahead.near + jump(self.near_jumps), far: self.ahead.far + jump(self.far_jumps) }
    }
}

/// Work written once for every instruction set.
pub(crate) trait Kernel {
    type Output;
    /// It and all it calls must be `#[inline(always)]`: only then is it compiled with the instruction set.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// The instruction sets this backend has kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// As [`Isa::Avx512Bf16`], and AMX for products of many rows with quantized weights.
    Amx,
    /// As [`Isa::Avx512`], and BF16 products for BF16 weights.
    Avx512Bf16,
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// NEON with DOTPROD, of ARM in 64 bits.
    Neon,
    /// Plain Rust, as the compiler vectorizes it.
    Portable,
}

impl Isa {
    /// Those that this machine has, best first; [`Isa::Portable`] is always the last.
    pub fn available() -> impl Iterator<Item = Isa> {
        [Isa::Amx, Isa::Avx512Bf16, Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable]
            .into_iter()
            .filter(|isa| isa.is_available())
    }

    /// Its name in settings, such as `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Amx => "amx",
            Isa::Avx512Bf16 => "avx512-bf16",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// The best that this machine has.
    pub fn detect() -> Isa {
        Isa::available().next().unwrap_or(Isa::Portable)
    }

    fn is_available(self) -> bool {
        Vector::exactly(self).is_some()
    }
}

/// The chosen instruction set: proves that the machine has it and runs kernels with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Vector {
    #[cfg(target_arch = "x86_64")]
    Amx(avx512::Avx512<true>, Amx),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(avx512::Avx512<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Portable(portable::Portable),
}

impl Vector {
    /// Chooses `isa`, or the best there is if this machine lacks it.
    pub(crate) fn new(isa: Isa) -> Vector {
        Vector::exactly(isa).or_else(|| Vector::exactly(Isa::detect())).unwrap_or(Vector::Portable(portable::Portable))
    }

    fn exactly(isa: Isa) -> Option<Vector> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => avx512::Avx512::detect().zip(Amx::detect()).map(|(s, amx)| Vector::Amx(s, amx)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => avx512::Avx512::detect().map(Vector::Avx512Bf16),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::Avx512::detect().map(Vector::Avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::Avx2::detect().map(Vector::Avx2),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::Neon::detect().map(Vector::Neon),
            Isa::Portable => Some(Vector::Portable(portable::Portable)),
            _ => None,
        }
    }

    pub(crate) fn isa(self) -> Isa {
        match self {
            #[cfg(target_arch = "x86_64")]
            Vector::Amx(..) => Isa::Amx,
            #[cfg(target_arch = "x86_64")]
            Vector::Avx512Bf16(_) => Isa::Avx512Bf16,
            #[cfg(target_arch = "x86_64")]
            Vector::Avx512(_) => Isa::Avx512,
            #[cfg(target_arch = "x86_64")]
            Vector::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "aarch64")]
            Vector::Neon(_) => Isa::Neon,
            Vector::Portable(_) => Isa::Portable,
        }
    }

    /// Runs a kernel compiled for the chosen instruction set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Vector::Amx(s, _) | Vector::Avx512Bf16(s) => s.without_bf16().run(kernel),
            #[cfg(target_arch = "x86_64")]
            Vector::Avx512(s) => s.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Vector::Avx2(s) => s.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Vector::Neon(s) => s.run(kernel),
            Vector::Portable(s) => kernel.run(s),
        }
    }

    /// Whether there are instructions for pairs of BF16.
    pub(crate) fn has_pairs(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Vector::Amx(..) | Vector::Avx512Bf16(_) => true,
            _ => false,
        }
    }

    /// As [`Vector::run`], for a kernel that works on pairs.
    ///
    /// # Panics
    /// Unless [`Vector::has_pairs`].
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    pub(crate) fn run_pairs<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Vector::Amx(s, _) | Vector::Avx512Bf16(s) => s.run(kernel),
            _ => unreachable!("only where there are pairs"),
        }
    }

    /// How far ahead memory is prefetched, by measurement. Intel's first-level cache has few lines in flight, so they must be used
    /// soon. AMD's prefetches from as far ahead as the second level does.
    pub(crate) fn ahead(self) -> Ahead {
        static AHEAD: LazyLock<Ahead> = LazyLock::new(|| match vendor::is_amd() {
            true => Ahead { near: 4096, far: 8192 },
            false => Ahead { near: 512, far: 4096 },
        });
        *AHEAD
    }

    /// Whether widening and unpacking weights takes no time beside the products, by measurement. AMD's processors have execution units
    /// of their own for it; Intel's ports for vectors of this length do both.
    pub(crate) fn unpacks_beside(self) -> bool {
        static BESIDE: LazyLock<bool> = LazyLock::new(vendor::is_amd);
        *BESIDE
    }

    /// The matrix unit, if there is one.
    pub(crate) fn amx(self) -> Option<Amx> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Vector::Amx(_, amx) => Some(amx),
            _ => None,
        }
    }

    /// Tiles in the registers of the float product's inner loop.
    pub(crate) fn tiles(self) -> usize {
        struct Tiles;
        impl Kernel for Tiles {
            type Output = usize;
            fn run<S: Simd>(self, _: S) -> usize {
                S::TILES
            }
        }
        self.run(Tiles)
    }

    /// Rows and tiles in the registers of the integer product's inner loop.
    pub(crate) fn quants(self) -> (usize, usize) {
        struct Quants;
        impl Kernel for Quants {
            type Output = (usize, usize);
            fn run<S: Simd>(self, _: S) -> (usize, usize) {
                (S::QUANT_ROWS, S::QUANT_TILES)
            }
        }
        self.run(Quants)
    }
}
