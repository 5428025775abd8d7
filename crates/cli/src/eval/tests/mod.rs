//! Suites and what is wrong with them, judges, runs.

mod cases;
mod choices;
mod judges;
mod runs;
mod suites;

use cases::{folder, tiny, varied_cases};
use whinchat::{LoadOptions, Model};

/// The small model of tests/data, for so many sequences at once.
fn model(streams: usize) -> Model {
    let options = LoadOptions { max_sequences: Some(streams), threads: Some(2), ..LoadOptions::default() };
    Model::load_with(tiny(), &options, &|_, _, _| {}).expect("the fixture loads")
}
