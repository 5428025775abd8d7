//! Functions of vectors that every instruction set computes alike.

use std::array::from_fn;

use super::{LANES, Simd};

/// e^x, within 3e-7 of it; 0 below about -87.7, infinite above about 88.3.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // ln 2 in two parts, so that n · ln 2 is exact enough to subtract.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // 1/n! from the highest: on |r| ≤ ln 2 / 2 the series is exact to 5e-9 after eight terms.
    const TERMS: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // In this order of operands NaN stays NaN.
    let x = s.max(s.splat(-88.0), s.min(s.splat(89.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let exponent = s.float(n);
    let r = s.mul_add(exponent, s.splat(-LN2_HIGH), x);
    let r = s.mul_add(exponent, s.splat(-LN2_LOW), r);
    let mut sum = s.splat(TERMS[0]);
    for term in &TERMS[1..] {
        sum = s.mul_add(sum, r, s.splat(*term));
    }
    s.mul(sum, s.with_bits(s.shl(s.add_int(n, s.splat_int(127)), 23)))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// The hyperbolic tangent, within 2e-7 of 1.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(s.splat(1.0), exp(s, s.add(x, x)))))
}

/// The complementary error function of x ≥ 0, within 5e-7 of it where it is above 1e-20: t · e^(P(t) − x²) with t = 1 / (1 + x/2), where P
/// is fitted by Chebyshev's polynomials to the logarithm of what is left.
#[inline(always)]
pub(crate) fn erfc<S: Simd>(s: S, x: S::F) -> S::F {
    // From the highest power.
    const TERMS: [f32; 10] = [
        0.159_103_13,
        -0.757_416_9,
        1.335_334_4,
        -0.931_416_45,
        0.111_748_44,
        -0.099_208_16,
        0.068_157_904,
        0.379_770_64,
        0.999_412_24,
        -1.265_485_3,
    ];
    let one = s.splat(1.0);
    let t = s.div(one, s.mul_add(x, s.splat(0.5), one));
    let mut sum = s.splat(TERMS[0]);
    for term in &TERMS[1..] {
        sum = s.mul_add(sum, t, s.splat(*term));
    }
    s.mul(t, exp(s, s.sub(sum, s.mul(x, x))))
}

/// The sum of the lanes, as a tree.
#[inline(always)]
pub(crate) fn sum_lanes<S: Simd>(s: S, x: S::F) -> f32 {
    let mut lanes = [0.0; LANES];
    s.store(&mut lanes, x);
    let eight: [f32; 8] = from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; 4] = from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
