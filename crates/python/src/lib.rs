//! The native half of the Python package `whinchat`: models, tokenizers, policies, simulations and statistics as Python's classes.
//! What users call is in `python/whinchat`; it checks types and puts requests into JSON, which this half reads strictly.
//!
//! Every call that computes or waits lets go of the interpreter, and looks for Ctrl-C while it waits.
//!
//! Architecture invariant: nothing is decided here. What a request means, who runs when and what a number says is the other crates'.

mod answers;
mod asked;
mod batch;
mod errors;
mod generation;
mod matrix;
mod model;
mod options;
mod policy;
mod program;
mod rules;
mod simulate;
mod statistics;
mod tokenizer;
mod views;
mod wait;

use pyo3::prelude::*;

/// What `whinchat` is made of.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::answers::{Answer, Event};
    #[pymodule_export]
    use crate::batch::{Batch, Inference};
    #[pymodule_export]
    use crate::generation::Generation;
    #[pymodule_export]
    use crate::matrix::Matrix;
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::program::main;
    #[pymodule_export]
    use crate::rules::{Usage, look_up};
    #[pymodule_export]
    use crate::simulate::{Replay, simulate};
    #[pymodule_export]
    use crate::statistics::{Bet, Bounded, Detector, Harm, Moments, Pairs, Sketch, mismatch, proportion};
    #[pymodule_export]
    use crate::tokenizer::Tokenizer;
    #[pymodule_export]
    use crate::views::{Load, Sequence};
}
