//! Quantizers: never worse than the type's own codec on what counts, and error feedback against numpy (`cargo xtask goldens lab`).

mod support;

use lab::{Feedback, Gram, Method, Pattern, encode_weighted, encode_with_feedback, prune};
use proptest::prelude::*;
use support::{floats, uniform};
use tensor::DType;

fn writable() -> impl Iterator<Item = DType> {
    DType::all().filter(|dtype| tensor::encoder(*dtype).is_some())
}

/// The weighted squares of what is lost.
fn loss(dtype: DType, bytes: &[u8], values: &[f32], weights: &[f32]) -> f64 {
    let mut decoded = vec![0.0; values.len()];
    tensor::decode(dtype, bytes, &mut decoded).expect("whole blocks");
    let lost = values.iter().zip(&decoded).zip(weights.iter().cycle());
    lost.map(|((x, y), w)| f64::from(*w) * f64::from(x - y).powi(2)).sum()
}

/// Losses of the plain and of the weighted encoding.
fn losses(dtype: DType, values: &[f32], weights: &[f32]) -> (f64, f64) {
    let mut plain = vec![0; dtype.row_bytes(values.len()).expect("whole blocks")];
    let mut weighted = plain.clone();
    tensor::encode(dtype, values, &mut plain).expect("it can be written");
    encode_weighted(dtype, values, weights, &mut weighted).expect("it can be written");
    (loss(dtype, &plain, values, weights), loss(dtype, &weighted, values, weights))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn weighted_search_is_never_worse_than_the_codec(
        seed in any::<u64>(),
        outliers in prop::collection::vec((0usize..256, -50.0f32..50.0), 0..3),
        dead in 0usize..256,
        spread in 0.0f32..3.0,
    ) {
        let mut values = uniform(seed, 512);
        outliers.iter().for_each(|(at, x)| values[*at] = *x);
        let mut weights: Vec<f32> = uniform(seed ^ 1, 256).iter().map(|x| (x * spread).exp()).collect();
        weights[dead] = 0.0;
        for dtype in writable() {
            let (plain, weighted) = losses(dtype, &values, &weights);
            prop_assert!(weighted <= plain * (1.0 + 1e-6), "{}: {} instead of {}", dtype, weighted, plain);
        }
    }
}

#[test]
fn weighted_search_gains_what_it_should() {
    let values = uniform(3, 4096);
    // A few channels carry most of the activations, as those of real models do.
    let weights: Vec<f32> = uniform(4, 256).iter().map(|x| (4.0 * x).exp()).collect();
    for dtype in writable().filter(|dtype| dtype.layout().block_len > 1) {
        let (plain, weighted) = losses(dtype, &values, &weights);
        let least = if matches!(dtype, DType::Q8_0 | DType::Q8_ROW | DType::MXFP4) { 1.0 } else { 0.97 };
        assert!(weighted <= plain * least, "{dtype}: {weighted} instead of {plain}");
    }
}

#[test]
fn importance_that_is_no_number_is_none() {
    let values = uniform(5, 512);
    let mut weights = vec![1.0; 256];
    for broken in [f32::NAN, f32::INFINITY, -1.0] {
        weights[7] = broken;
        for dtype in writable() {
            let (plain, weighted) = losses(dtype, &values, &weights);
            assert_eq!(plain.to_bits(), weighted.to_bits(), "{dtype}, {broken}");
        }
    }
}

#[test]
fn zeros_and_constants_are_kept() {
    for dtype in writable() {
        let (_, lost) = losses(dtype, &[0.0; 256], &[1.0; 256]);
        assert_eq!(lost, 0.0, "{dtype}");
        let (plain, lost) = losses(dtype, &[0.75; 256], &[1.0; 256]);
        assert!(lost <= plain && lost.is_finite(), "{dtype}: {lost}");
    }
}

#[test]
fn error_feedback_is_that_of_numpy() {
    let (inputs, weights, scales, expected) =
        (floats("gptq-inputs.f32"), floats("gptq-weights.f32"), floats("gptq-scales.f32"), floats("gptq-expected.f32"));
    let mut gram = Gram::new(64, 64);
    inputs.chunks(7 * 64).for_each(|rows| gram.add(rows));
    let feedback = Feedback::new(&gram).expect("numbers");
    for ((row, scale), expected) in weights.chunks(64).zip(scales).zip(expected.chunks(64)) {
        let mut got = row.to_vec();
        feedback.quantize(&mut got, 64, |_, _| {}, |_, x| (x / scale).round_ties_even().clamp(-8.0, 7.0) * scale);
        let difference = graph::testing::difference(&got, expected);
        assert!(difference < 1e-5, "{difference}: {got:?} instead of {expected:?}");
    }
}

/// Inputs whose neighbours are alike.
fn correlated(seed: u64, rows: usize, cols: usize) -> Vec<f32> {
    let mut inputs = uniform(seed, rows * cols);
    for i in 1..inputs.len() {
        inputs[i] = 0.9 * inputs[i - 1] + 0.3 * inputs[i];
    }
    inputs
}

#[test]
fn products_lose_less_with_error_feedback() {
    let (cols, rows) = (512, 8);
    let inputs = correlated(6, 600, cols);
    let mut gram = Gram::new(cols, 256);
    gram.add(&inputs);
    let feedback = Feedback::new(&gram).expect("numbers");
    let values = uniform(7, rows * cols);
    let importance: Vec<f32> =
        (0..cols).map(|c| inputs.iter().skip(c).step_by(cols).map(|x| x * x).sum::<f32>()).collect();
    for dtype in [DType::Q4_0, DType::Q4_K, DType::Q3_K, DType::IQ4_NL, DType::IQ4_XS, DType::Q4_1] {
        let size = dtype.row_bytes(cols).expect("whole blocks");
        let (mut plain, mut fed) = (vec![0; rows * size], vec![0; rows * size]);
        encode_weighted(dtype, &values, &importance, &mut plain).expect("it can be written");
        encode_with_feedback(dtype, &values, &importance, &feedback, &mut fed).expect("it can be written");
        let lost = |bytes: &[u8]| {
            let mut decoded = vec![0.0; rows * cols];
            tensor::decode(dtype, bytes, &mut decoded).expect("whole blocks");
            values.chunks(cols).zip(decoded.chunks(cols)).map(|(a, b)| feedback.loss(a, b)).sum::<f64>()
        };
        assert!(lost(&fed) < 0.8 * lost(&plain), "{dtype}: {} instead of {}", lost(&fed), lost(&plain));
    }
}

/// Rows that were pruned so have their zeros afterwards, and what is left loses little more than in Q4_0.
#[test]
fn two_of_four_stay() {
    let (cols, dtype) = (256, DType::Q4_2OF4);
    let mut gram = Gram::new(cols, cols);
    gram.add(&correlated(8, 300, cols));
    let feedback = Feedback::new(&gram).expect("numbers");
    let (mut row, importance) = (uniform(9, cols), vec![1.0; cols]);
    let zeros = prune(&mut row, Method::Magnitude, Pattern::Groups { zeros: 2, of: 4 }).expect("it fits");
    let decoded = |dtype: DType, bytes: &[u8]| {
        let mut decoded = vec![0.0; cols];
        tensor::decode(dtype, bytes, &mut decoded).expect("whole blocks");
        decoded
    };
    let lost = |got: &[f32]| row.iter().zip(got).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let mut sparse = vec![0; dtype.row_bytes(cols).expect("whole blocks")];
    let mut dense = vec![0; DType::Q4_0.row_bytes(cols).expect("whole blocks")];
    encode_weighted(DType::Q4_0, &row, &importance, &mut dense).expect("it can be written");
    encode_weighted(dtype, &row, &importance, &mut sparse).expect("it can be written");
    let got = decoded(dtype, &sparse);
    assert!(got.iter().zip(&zeros).all(|(x, zero)| !zero || *x == 0.0), "{got:?}");
    assert!(lost(&got) < 1.3 * lost(&decoded(DType::Q4_0, &dense)), "{}", lost(&got));
    encode_with_feedback(dtype, &row, &importance, &feedback, &mut sparse).expect("it can be written");
    let fed = decoded(dtype, &sparse);
    assert!(feedback.loss(&row, &fed) < 0.9 * feedback.loss(&row, &got), "error feedback gains something");
    assert!(fed.chunks(4).all(|four| four.iter().filter(|x| **x != 0.0).count() <= 2), "{fed:?}");
}
