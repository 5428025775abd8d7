//! Operators that take each row for itself.

use tensor::Shape;

use crate::{Activation, Batch, Growth, Rope, RopeStyle};

use super::{Matrix, dot};

/// The given rows of `x`.
pub(super) fn select(x: Matrix, rows: &[u32]) -> Vec<f32> {
    rows.iter().flat_map(|&row| &x.data[row as usize * x.width..][..x.width]).copied().collect()
}

pub(super) fn linear(x: &[f32], weight: &[f32], cols: usize) -> Vec<f32> {
    x.chunks_exact(cols).flat_map(|x| weight.chunks_exact(cols).map(move |w| dot(x, w))).collect()
}

pub(super) fn add_bias(x: &[f32], bias: &[f32]) -> Vec<f32> {
    x.iter().zip(bias.iter().cycle()).map(|(x, b)| x + b).collect()
}

pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let norm = |span: &[f32]| {
        let rms = (dot(span, span) / span.len() as f32 + eps).sqrt();
        span.iter().zip(weight).map(|(x, w)| x / rms * w).collect::<Vec<_>>()
    };
    x.chunks_exact(weight.len()).flat_map(norm).collect()
}

pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, span: usize, eps: f32) -> Vec<f32> {
    let norm = |span: &[f32]| {
        let mean = span.iter().sum::<f32>() / span.len() as f32;
        let centered: Vec<f32> = span.iter().map(|x| x - mean).collect();
        let deviation = (dot(&centered, &centered) / span.len() as f32 + eps).sqrt();
        centered.into_iter().map(move |x| x / deviation)
    };
    let normed: Vec<f32> = x.chunks_exact(span).flat_map(norm).collect();
    let scaled = scale_by(&normed, weight);
    if let Some(bias) = bias { add_bias(&scaled, bias) } else { scaled }
}

/// Spans of `weight`'s length, times it.
pub(super) fn scale_by(x: &[f32], weight: &[f32]) -> Vec<f32> {
    x.iter().zip(weight.iter().cycle()).map(|(x, w)| x * w).collect()
}

/// Of each span the columns from `first` on, `width` of them.
pub(super) fn slice(x: &[f32], span: usize, first: usize, width: usize) -> Vec<f32> {
    x.chunks_exact(span).flat_map(|span| &span[first..first + width]).copied().collect()
}

/// A part of `a`, a part of `b`, and so on, `parts` of each in a row.
pub(super) fn concat(a: Matrix, b: Matrix, parts: usize) -> Vec<f32> {
    let (a, b) = (a.data.chunks_exact(a.width / parts), b.data.chunks_exact(b.width / parts));
    a.zip(b).flat_map(|(a, b)| a.iter().chain(b)).copied().collect()
}

/// Each head's columns times its matrix.
pub(super) fn head_linear(x: &[f32], weight: &[f32], shape: Shape) -> Vec<f32> {
    let heads = weight.chunks_exact(shape.rows * shape.cols).cycle();
    x.chunks_exact(shape.cols).zip(heads).flat_map(|(x, w)| linear(x, w, shape.cols)).collect()
}

pub(super) fn unit_norm(x: &[f32], span: usize, eps: f32) -> Vec<f32> {
    let norm = |span: &[f32]| {
        let rms = (dot(span, span) / span.len() as f32 + eps).sqrt();
        span.iter().map(|x| x / rms).collect::<Vec<_>>()
    };
    x.chunks_exact(span).flat_map(norm).collect()
}

/// Of each row, by how much its elements are beyond so many deviations above the mean.
pub(super) fn gaussian_top_k(x: Matrix, deviations: f32) -> Vec<f32> {
    let beyond = |row: &[f32]| {
        let mean = row.iter().sum::<f32>() / row.len() as f32;
        let centered: Vec<f32> = row.iter().map(|x| x - mean).collect();
        let least = deviations * (dot(&centered, &centered) / row.len() as f32).sqrt();
        centered.into_iter().map(move |x| relu(x - least))
    };
    x.rows().flat_map(beyond).collect()
}

/// Each number of b times a span of a's.
pub(super) fn mul(a: Matrix, b: Matrix) -> Vec<f32> {
    let spans = a.data.chunks_exact(a.width / b.width);
    spans.zip(b.data).flat_map(|(span, by)| span.iter().map(move |x| x * by)).collect()
}

pub(super) fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

pub(super) fn soft_cap(cap: f32, x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| cap * (x / cap).tanh()).collect()
}

/// Rounded to 8 bits, so many columns together.
pub(super) fn quantize(x: &[f32], span: usize) -> Vec<f32> {
    let round = |block: &[f32]| {
        let scale = block.iter().fold(0.0, |max: f32, x| max.max(x.abs())) / 127.0;
        let rounded = |x: f32| if scale == 0.0 { 0.0 } else { (x / scale).round_ties_even() * scale };
        block.iter().map(|&x| rounded(x)).collect::<Vec<_>>()
    };
    x.chunks_exact(span).flat_map(round).collect()
}

pub(super) fn activate(act: Activation, x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| gated(act, x, 1.0)).collect()
}

pub(super) fn glu(act: Activation, gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(&gate, &up)| gated(act, gate, up)).collect()
}

fn gated(act: Activation, gate: f32, up: f32) -> f32 {
    match act {
        Activation::Silu => gate * sigmoid(gate) * up,
        Activation::Sigmoid => sigmoid(gate) * up,
        Activation::GeluTanh => {
            let inner = (2.0 / std::f32::consts::PI).sqrt() * (gate + 0.044715 * gate * gate * gate);
            0.5 * gate * (1.0 + inner.tanh()) * up
        }
        Activation::GeluErf => 0.5 * gate * (1.0 + erf(gate * std::f32::consts::FRAC_1_SQRT_2)) * up,
        Activation::Relu => relu(gate) * up,
        Activation::SquaredRelu => gate.max(0.0) * gate * up,
        Activation::Xielu { square, linear, .. } if gate > 0.0 => gate * (square * gate + linear) * up,
        Activation::Xielu { exponential, linear, .. } => (exponential * (gate.exp_m1() - gate) + linear * gate) * up,
        // Far above 0 it is the gate, and e^gate would be infinite.
        Activation::Softplus => (gate.max(0.0) + (-gate.abs()).exp().ln_1p()) * up,
        Activation::ClampedSilu { alpha, limit } => {
            let (gate, up) = (gate.min(limit), up.max(-limit).min(limit));
            gate * sigmoid(alpha * gate) * (up + 1.0)
        }
    }
}

/// Unlike `max`, keeps NaN.
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The error function, by the series whose terms are all positive, so that nothing cancels: Abramowitz and Stegun 7.1.6.
fn erf(x: f32) -> f32 {
    let x = f64::from(x);
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { f32::NAN } else { x.signum() as f32 };
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    (std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum) as f32
}

pub(super) fn rope(rope: &Rope, x: Matrix, batch: &Batch) -> Vec<f32> {
    let mut out = x.data.to_vec();
    for (row, position) in out.chunks_exact_mut(x.width).zip(positions(batch)) {
        for head in row.chunks_exact_mut(rope.head_dim) {
            rotate(rope, head, position as f32);
        }
    }
    out
}

fn rotate(rope: &Rope, head: &mut [f32], position: f32) {
    for (i, freq) in rope.freqs.iter().enumerate() {
        let (a, b) = match rope.style {
            RopeStyle::Halves => (i, i + rope.freqs.len()),
            RopeStyle::Pairs => (2 * i, 2 * i + 1),
        };
        let (sin, cos) = (position * freq).sin_cos();
        let (sin, cos) = (sin * rope.magnitude, cos * rope.magnitude);
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
    }
}

pub(super) fn grow(growth: Growth, x: Matrix, batch: &Batch) -> Vec<f32> {
    let grown = |(row, position): (&[f32], usize)| row.iter().map(|x| x * growth.at(position)).collect::<Vec<_>>();
    x.rows().zip(positions(batch)).flat_map(grown).collect()
}

/// The position of every row.
fn positions(batch: &Batch) -> impl Iterator<Item = usize> {
    batch.spans.iter().flat_map(|span| span.position..span.position + span.rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_tables() {
        // Abramowitz and Stegun, table 7.1.
        for (x, wanted) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (7.0, 1.0)] {
            assert!((erf(x) - wanted).abs() < 1e-7, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f32::NAN).is_nan());
    }
}
