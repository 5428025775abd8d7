//! Files of every weight type load and give the logits that the same numbers give in F32, on the reference interpreter.

mod support;
#[path = "support/weight_types.rs"]
mod weight_types;

use graph::Interpreter;
use tensor::DType;
use weight_types::{Recipe, check};

#[test]
fn files_of_every_weight_type_run() {
    for dtype in DType::all() {
        check(Recipe { dtype, experts: 0, factors: false }, &Interpreter, |_| false);
    }
}

#[test]
fn factors_beside_matrices_are_applied() {
    for experts in [0, 3] {
        check(Recipe { dtype: DType::NVFP4, experts, factors: true }, &Interpreter, |_| false);
    }
}
