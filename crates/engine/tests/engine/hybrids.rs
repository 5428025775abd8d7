//! Tiny models of every architecture with recurrent layers, on the reference interpreter: going on from a state that was kept
//! gives the bits of computing anew.

#[path = "../../../model/tests/support/golden.rs"]
mod golden;

use std::sync::Arc;

use engine::Eviction;
use graph::{Backend, Interpreter};

use crate::real::{converse, engine_of};

#[test]
fn going_on_from_a_kept_state_says_what_computing_anew_does() {
    let mut checked = Vec::new();
    for name in golden::names() {
        let (model, _) = golden::load(&name);
        let graph = model.graph();
        if graph.state_len() == 0 {
            continue;
        }
        let upload = |id| Arc::new(Interpreter.upload(graph.weight(id), &model.read(id).unwrap()).unwrap());
        let [mut keeping, mut forgetting] = [Some(Eviction::Lru), None]
            .map(|prefixes| engine_of(graph, graph.weight_ids().map(upload).collect(), 24, prefixes));
        converse(&mut keeping, &mut forgetting, &name);
        checked.push(name);
    }
    for family in ["qwen35", "qwen3next", "lfm2", "nemotron_h", "mamba2", "falcon-h1", "granitehybrid"] {
        assert!(checked.iter().any(|name| name.contains(family)), "{family} is not among {checked:?}");
    }
}
