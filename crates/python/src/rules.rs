//! Rules of eviction in Python: an object with `insert`, `remove` and `evict` decides for the real KV cache.

use std::collections::BTreeSet;
use std::fmt;

use cli::simulate::lookups::{Lookups, look_up_in};
use engine::{KvCache, Rule};
use pyo3::intern;
use pyo3::prelude::*;

use crate::errors;
use crate::options::{eviction, read};
use crate::policy::{Broken, name};
use crate::simulate::{Load, failed};
use crate::wait::on_thread;

/// What is known of the use of a block.
#[pyclass(frozen, get_all, module = "whinchat._native")]
pub(crate) struct Usage {
    /// How often it was found.
    hits: u64,
    /// When it was let go, in lookups.
    last: u64,
    /// Blocks before it.
    depth: u64,
    /// A hash of its contents.
    content: u64,
}

/// A rule in Python. What it raises is kept, and so is that it names a block which cannot be evicted; then any block goes.
struct Chosen {
    rule: Py<PyAny>,
    /// What the rule must know.
    blocks: BTreeSet<u32>,
    broken: Broken,
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chosen({} blocks)", self.blocks.len())
    }
}

impl Chosen {
    fn new(py: Python<'_>, rule: Py<PyAny>, broken: &Broken) -> PyResult<Chosen> {
        for method in ["insert", "remove", "evict"] {
            if !rule.bind(py).hasattr(method)? {
                let message = format!(
                    "a rule of eviction needs insert(block, usage), remove(block) and evict(): {method} is missing"
                );
                return Err(errors::invalid("eviction", &message));
            }
        }
        Ok(Chosen { rule, blocks: BTreeSet::new(), broken: broken.clone() })
    }

    fn ask<T>(&self, ask: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>) -> Option<T> {
        if self.broken.is_broken() {
            return None;
        }
        let answer = Python::try_attach(|py| ask(py, self.rule.bind(py)))?;
        answer.map_err(|error| self.broken.keep(error)).ok()
    }
}

impl Rule for Chosen {
    fn insert(&mut self, block: u32, usage: engine::Usage) {
        let engine::Usage { hits, last, depth, content } = usage;
        self.blocks.insert(block);
        let usage = Usage { hits, last, depth, content };
        self.ask(|py, rule| rule.call_method1(intern!(py, "insert"), (block, usage)).map(drop));
    }

    fn remove(&mut self, block: u32) {
        if self.blocks.remove(&block) {
            self.ask(|py, rule| rule.call_method1(intern!(py, "remove"), (block,)).map(drop));
        }
    }

    fn evict(&mut self) -> Option<u32> {
        let first = *self.blocks.first()?;
        let named = self.ask(|py, rule| {
            let block = rule.call_method0(intern!(py, "evict"))?.extract()?;
            if self.blocks.contains(&block) {
                return Ok(block);
            }
            let message = format!("evict gave block {block}, which cannot be evicted now");
            Err(pyo3::exceptions::PyValueError::new_err(message))
        });
        let block = named.unwrap_or(first);
        self.blocks.remove(&block);
        Some(block)
    }

    fn len(&self) -> usize {
        self.blocks.len()
    }
}

/// Looks up the prompts of a trace in the real KV cache, whole and one after the other, as if computing took no time. Gives the shares
/// that it had: of a prompt, averaged over prompts, and of all tokens.
#[pyfunction]
pub(crate) fn look_up(
    py: Python<'_>,
    load: &str,
    blocks: usize,
    block: usize,
    rule: Bound<'_, PyAny>,
) -> PyResult<(f64, f64)> {
    let load: Load = read(load)?;
    if blocks == 0 || blocks > 1 << 26 || block == 0 || block > 1 << 16 {
        return Err(errors::invalid("kv_blocks", "kv_blocks must be from 1 to 67108864, and block from 1 to 65536"));
    }
    let jobs = py.detach(|| load.jobs())?;
    let Lookups { by_request, by_token } = match name(&rule) {
        Some(name) => {
            let rule = eviction(&name)?;
            on_thread(py, "cache", move || look_up_in(&KvCache::new(blocks, block, rule), &jobs, &mut || Ok(())))?
                .map_err(failed)?
        }
        None => {
            let broken = Broken::default();
            let cache = KvCache::with_rule(blocks, block, Box::new(Chosen::new(py, rule.unbind(), &broken)?));
            let watch = &mut || Ok(py.check_signals().and_then(|()| broken.check(py))?);
            let looked = look_up_in(&cache, &jobs, watch).map_err(failed)?;
            broken.check(py)?;
            looked
        }
    };
    Ok((by_request, by_token))
}
