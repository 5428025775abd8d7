//! Kernels on one row: norms, activations, sums. A row's tail is padded with zeros to a whole vector.

use graph::Activation;

use crate::cpu::simd::{Kernel, LANES, Simd, erfc, exp, sigmoid, sum_lanes, tanh};

/// Sets every vector of `$x` to `$f` of it, and of the vector of `$y` at the same place if there is one. (A macro, because a closure
/// is not always inlined, and then it is compiled without the instruction set.)
macro_rules! map {
    ($s:expr, [$a:ident = $x:expr $(, $b:ident = $y:expr)?] $f:expr) => {{
        let (chunks, tail) = $x.as_chunks_mut::<LANES>();
        let n = tail.len();
        $(let (others, other_tail) = ($y.as_chunks::<LANES>().0, &$y[$y.len() - n..]);)?
        for i in 0..chunks.len() {
            let $a = $s.load(&chunks[i]);
            $(let $b = $s.load(&others[i]);)?
            let result = $f;
            $s.store(&mut chunks[i], result);
        }
        if n > 0 {
            let mut padded = [0.0; LANES];
            padded[..n].copy_from_slice(tail);
            let $a = $s.load(&padded);
            $(let $b = {
                let mut padded = [0.0; LANES];
                padded[..n].copy_from_slice(other_tail);
                $s.load(&padded)
            };)?
            let result = $f;
            $s.store(&mut padded, result);
            tail.copy_from_slice(&padded[..n]);
        }
    }};
}

/// x ← x / rms(x) · weight, span by span of the weight's length.
pub(crate) struct RmsNorm<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) eps: f32,
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for span in self.x.chunks_exact_mut(self.weight.len()) {
            let mean = sum_of_squares(s, span) / self.weight.len() as f32;
            let scale = s.splat(1.0 / (mean + self.eps).sqrt());
            map!(s, [x = span, w = self.weight] s.mul(s.mul(x, scale), w));
        }
    }
}

/// x ← x / rms(x), span by span.
pub(crate) struct UnitNorm<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) span: usize,
    pub(crate) eps: f32,
}

impl Kernel for UnitNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for span in self.x.chunks_exact_mut(self.span) {
            let mean = sum_of_squares(s, span) / self.span as f32;
            let scale = s.splat(1.0 / (mean + self.eps).sqrt());
            map!(s, [x = span] s.mul(x, scale));
        }
    }
}

#[inline(always)]
fn sum_of_squares<S: Simd>(s: S, x: &[f32]) -> f32 {
    // Four chains, joined pairwise, take the vectors in turn.
    let mut sums = [s.splat(0.0); 4];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for (i, chunk) in chunks.iter().enumerate() {
        let x = s.load(chunk);
        sums[i % 4] = s.mul_add(x, x, sums[i % 4]);
    }
    let mut padded = [0.0; LANES];
    padded[..tail.len()].copy_from_slice(tail);
    let x = s.load(&padded);
    sums[0] = s.mul_add(x, x, sums[0]);
    sum_lanes(s, s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

/// x ← (x − mean) / deviation · weight + bias, span by span; weight and bias are as long as one span or several.
pub(crate) struct LayerNorm<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) span: usize,
    pub(crate) eps: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let LayerNorm { x, weight, bias, span, eps } = self;
        for (i, x) in x.chunks_exact_mut(span).enumerate() {
            let at = i * span % weight.len();
            let mean = s.splat(sum(s, x) / span as f32);
            map!(s, [x = x] s.sub(x, mean));
            let scale = s.splat(1.0 / (sum_of_squares(s, x) / span as f32 + eps).sqrt());
            map!(s, [x = x, w = weight[at..at + span]] s.mul(s.mul(x, scale), w));
            if let Some(bias) = bias {
                map!(s, [x = x, b = bias[at..at + span]] s.add(x, b));
            }
        }
    }
}

/// The sum of x, in the order of [`sum_of_squares`].
#[inline(always)]
fn sum<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for (i, chunk) in chunks.iter().enumerate() {
        sums[i % 4] = s.add(sums[i % 4], s.load(chunk));
    }
    let mut padded = [0.0; LANES];
    padded[..tail.len()].copy_from_slice(tail);
    sums[0] = s.add(sums[0], s.load(&padded));
    sum_lanes(s, s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

/// x ← max(0, x − mean − deviations · deviation).
pub(crate) struct GaussianTopK<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) deviations: f32,
}

impl Kernel for GaussianTopK<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let GaussianTopK { x, deviations } = self;
        let len = x.len() as f32;
        let mean = s.splat(sum(s, x) / len);
        map!(s, [x = x] s.sub(x, mean));
        let least = s.splat(deviations * (sum_of_squares(s, x) / len).sqrt());
        map!(s, [x = x] relu(s, s.sub(x, least)));
    }
}

/// x ← x · weight, span by span of the weight's length.
pub(crate) struct ScaleBy<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) weight: &'a [f32],
}

impl Kernel for ScaleBy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if let &[by] = self.weight {
            return Scale { x: self.x, by }.run(s);
        }
        for span in self.x.chunks_exact_mut(self.weight.len()) {
            map!(s, [x = span, w = self.weight] s.mul(x, w));
        }
    }
}

/// x ← x · by.
pub(crate) struct Scale<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) by: f32,
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let by = s.splat(self.by);
        map!(s, [x = self.x] s.mul(x, by));
    }
}

/// x ← x + y.
pub(crate) struct Add<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) y: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map!(s, [x = self.x, y = self.y] s.add(x, y));
    }
}

/// x ← x · y.
pub(crate) struct Mul<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) y: &'a [f32],
}

impl Kernel for Mul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map!(s, [x = self.x, y = self.y] s.mul(x, y));
    }
}

/// x ← x + y · by.
pub(crate) struct AddScaled<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) y: &'a [f32],
    pub(crate) by: f32,
}

impl Kernel for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let by = s.splat(self.by);
        map!(s, [x = self.x, y = self.y] s.mul_add(y, by, x));
    }
}

/// x ← cap · tanh(x / cap).
pub(crate) struct SoftCap<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) cap: f32,
}

impl Kernel for SoftCap<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cap = s.splat(self.cap);
        map!(s, [x = self.x] s.mul(cap, tanh(s, s.div(x, cap))));
    }
}

/// x ← activation(x).
pub(crate) struct Activate<'a> {
    pub(crate) act: Activation,
    pub(crate) x: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.act {
            Activation::Silu => map!(s, [x = self.x] s.mul(x, sigmoid(s, x))),
            Activation::Sigmoid => map!(s, [x = self.x] sigmoid(s, x)),
            Activation::GeluTanh => map!(s, [x = self.x] gelu_tanh(s, x)),
            Activation::GeluErf => map!(s, [x = self.x] gelu_erf(s, x)),
            Activation::Relu => map!(s, [x = self.x] relu(s, x)),
            Activation::SquaredRelu => map!(s, [x = self.x] squared_relu(s, x)),
            Activation::Xielu { square, exponential, linear } => {
                map!(s, [x = self.x] xielu(s, x, [square, exponential, linear]));
            }
            Activation::Softplus => self.x.iter_mut().for_each(|x| *x = softplus(*x)),
            Activation::ClampedSilu { .. } => unreachable!("a graph gates it"),
        }
    }
}

/// gate ← activation(gate) · up.
pub(crate) struct Glu<'a> {
    pub(crate) act: Activation,
    pub(crate) gate: &'a mut [f32],
    pub(crate) up: &'a [f32],
}

impl Kernel for Glu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.act {
            Activation::Silu => map!(s, [g = self.gate, u = self.up] s.mul(s.mul(g, sigmoid(s, g)), u)),
            Activation::Sigmoid => map!(s, [g = self.gate, u = self.up] s.mul(sigmoid(s, g), u)),
            Activation::GeluTanh => map!(s, [g = self.gate, u = self.up] s.mul(gelu_tanh(s, g), u)),
            Activation::GeluErf => map!(s, [g = self.gate, u = self.up] s.mul(gelu_erf(s, g), u)),
            Activation::Relu => map!(s, [g = self.gate, u = self.up] s.mul(relu(s, g), u)),
            Activation::SquaredRelu => map!(s, [g = self.gate, u = self.up] s.mul(squared_relu(s, g), u)),
            Activation::Xielu { square, exponential, linear } => {
                map!(s, [g = self.gate, u = self.up] s.mul(xielu(s, g, [square, exponential, linear]), u));
            }
            Activation::Softplus => self.gate.iter_mut().zip(self.up).for_each(|(g, u)| *g = softplus(*g) * u),
            Activation::ClampedSilu { alpha, limit } => map!(s, [g = self.gate, u = self.up] {
                let (limit, lowest) = (s.splat(limit), s.splat(-limit));
                // In this order of operands NaN stays NaN.
                let (g, u) = (s.min(limit, g), s.max(lowest, s.min(limit, u)));
                let gate = s.mul(g, sigmoid(s, s.mul(g, s.splat(alpha))));
                s.mul(gate, s.add(u, s.splat(1.0)))
            }),
        }
    }
}

/// x above 0; in this order of operands NaN stays NaN.
#[inline(always)]
fn relu<S: Simd>(s: S, x: S::F) -> S::F {
    s.max(s.splat(0.0), x)
}

/// Both sides of 0 at once: above it the exponential's part is e^0 − 1 − 0, below it the square's is 0.
#[inline(always)]
fn xielu<S: Simd>(s: S, x: S::F, [square, exponential, linear]: [f32; 3]) -> S::F {
    let zero = s.splat(0.0);
    let (above, below) = (s.max(zero, x), s.min(zero, x));
    let curve = s.sub(s.sub(exp(s, below), s.splat(1.0)), below);
    let curve = s.mul(s.splat(exponential), curve);
    let rest = s.mul(s.mul(s.splat(square), above), above);
    s.add(s.mul(s.splat(linear), x), s.add(rest, curve))
}

/// x² above 0; NaN stays NaN, as it is multiplied with itself.
#[inline(always)]
fn squared_relu<S: Simd>(s: S, x: S::F) -> S::F {
    s.mul(s.max(x, s.splat(0.0)), x)
}

/// ln(1 + e^x), one by one: a few numbers of a row. Far above 0 it is x, and e^x would be infinite.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// x/2 · (1 + tanh y) is x · sigmoid(2 y), which loses nothing where tanh is near -1.
#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    const TWICE_SQRT_2_OVER_PI: f32 = std::f32::consts::SQRT_2 * std::f32::consts::FRAC_2_SQRT_PI;
    let cubic = s.mul(s.mul(s.mul(x, x), x), s.splat(0.044715));
    s.mul(x, sigmoid(s, s.mul(s.add(x, cubic), s.splat(TWICE_SQRT_2_OVER_PI))))
}

/// x/2 · (1 + erf(x / √2)), which is the larger of x and 0 less |x|/2 · erfc(|x| / √2).
#[inline(always)]
fn gelu_erf<S: Simd>(s: S, x: S::F) -> S::F {
    // In these orders of operands NaN stays NaN.
    let (above, size) = (s.max(s.splat(0.0), x), s.max(s.sub(s.splat(0.0), x), x));
    let tail = erfc(s, s.mul(size, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
    s.sub(above, s.mul(s.mul(size, s.splat(0.5)), tail))
}
