//! Pruning against numpy (`cargo xtask goldens lab`), and recovery, which never loses more.

mod support;

use lab::{Feedback, Gram, Method, Pattern, prune, recover};
use support::{floats, uniform};

const COLS: usize = 64;

fn feedback(inputs: &[f32]) -> Feedback {
    let mut gram = Gram::new(COLS, COLS);
    gram.add(inputs);
    Feedback::new(&gram).expect("numbers")
}

fn squares(inputs: &[f32]) -> Vec<f32> {
    let mean =
        |c: usize| inputs.iter().skip(c).step_by(COLS).map(|x| x * x).sum::<f32>() / (inputs.len() / COLS) as f32;
    (0..COLS).map(mean).collect()
}

#[test]
fn masks_are_those_of_numpy() {
    let (inputs, weights) = (floats("gptq-inputs.f32"), floats("gptq-weights.f32"));
    let (feedback, squares) = (feedback(&inputs), squares(&inputs));
    let check = |name: &str, method: Method<'_>, pattern: Pattern| {
        let expected = floats(&format!("pruned-{name}.f32"));
        for (row, expected) in weights.chunks(COLS).zip(expected.chunks(COLS)) {
            let mut got = row.to_vec();
            let zeros = prune(&mut got, method, pattern).expect("it fits");
            let mask: Vec<bool> = expected.iter().map(|x| *x == 0.0).collect();
            assert_eq!(zeros, mask, "{name}");
            assert!(graph::testing::difference(&got, expected) < 1e-5, "{name}: {got:?} instead of {expected:?}");
        }
    };
    for (name, pattern) in [("free", Pattern::Free(0.5)), ("2-4", Pattern::Groups { zeros: 2, of: 4 })] {
        check(&format!("magnitude-{name}"), Method::Magnitude, pattern);
        check(&format!("wanda-{name}"), Method::Wanda(&squares), pattern);
        check(&format!("sparsegpt-{name}"), Method::SparseGpt(&feedback), pattern);
    }
}

#[test]
fn patterns_are_kept_to() {
    let check = |text: &str, sparsity: f64, count: usize| {
        let pattern = Pattern::parse(text, sparsity).expect("a pattern");
        let mut row = uniform(9, COLS);
        let zeros = prune(&mut row, Method::Magnitude, pattern).expect("it fits");
        assert_eq!(zeros.iter().filter(|zero| **zero).count(), count, "{text}");
        assert!(row.iter().zip(&zeros).all(|(x, zero)| (*x == 0.0) == *zero), "{text}");
        zeros
    };
    check("free", 0.5, 32);
    check("free", 0.3, 19);
    assert!(check("4:8", 0.7, 32).chunks(8).all(|group| group.iter().filter(|zero| **zero).count() == 4));
    assert!(check("1:4", 0.7, 16).chunks(4).all(|group| group.iter().filter(|zero| **zero).count() == 1));
    assert!(check("block16", 0.5, 32).chunks(16).all(|block| block.iter().all(|zero| *zero == block[0])));
    for (text, sparsity) in
        [("4:4", 0.5), ("0:4", 0.5), ("free", 0.0), ("free", 1.0), ("free", f64::NAN), ("diagonal", 0.5)]
    {
        assert!(Pattern::parse(text, sparsity).is_err(), "{text} {sparsity}");
    }
}

#[test]
fn recovery_loses_less_with_each_step() {
    let (inputs, weights) = (floats("gptq-inputs.f32"), floats("gptq-weights.f32"));
    let (feedback, squares) = (feedback(&inputs), squares(&inputs));
    // As many as are worked on together, and others.
    let weights = weights.repeat(2);
    for count in [1, 8, 11] {
        let rows = &weights[..count * COLS];
        let mut pruned = rows.to_vec();
        let mask = |row: &mut [f32]| prune(row, Method::Wanda(&squares), Pattern::Free(0.5)).expect("it fits");
        let zeros: Vec<bool> = pruned.chunks_mut(COLS).flat_map(mask).collect();
        let losses = recover(&mut pruned, rows, &zeros, &feedback, 40);
        let last = losses[losses.len() - 1];
        assert!(losses.len() > 5 && losses.windows(2).all(|pair| pair[1] <= pair[0]), "{count}: {losses:?}");
        assert!(last < 0.75 * losses[0], "{count}: {losses:?}");
        assert!(pruned.iter().zip(&zeros).all(|(x, zero)| !zero || *x == 0.0), "what is zero stays so");
        let lost: Vec<f64> = rows.chunks(COLS).zip(pruned.chunks(COLS)).map(|(a, b)| feedback.loss(a, b)).collect();
        assert!((lost.iter().sum::<f64>() - last).abs() < 1e-5 * losses[0], "{count}: {lost:?}, {last}");
    }
}

#[test]
fn what_is_not_known_of_the_inputs_is_an_error() {
    let error = prune(&mut [1.0; 8], Method::Wanda(&[1.0; 4]), Pattern::Free(0.5)).expect_err("too few").to_string();
    assert!(error.contains("8 columns") && error.contains("calibrate"), "{error}");
    let inputs = floats("gptq-inputs.f32");
    assert!(prune(&mut [1.0; 8], Method::SparseGpt(&feedback(&inputs)), Pattern::Free(0.5)).is_err());
}
