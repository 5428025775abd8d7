//! Policies in Python: an object with `rank`, and `victim`, `chunk`, `admit` and `computed` if it likes, decides for the real scheduler.
//!
//! An exception cannot travel through a scheduler. It is kept, the policy is not asked any more (first come, first served from
//! then on), and the next call that asks the model or the simulation for something raises it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{FirstCome, Policy};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::errors;
use crate::views::{Load, Sequence};

/// What a policy raised first.
#[derive(Clone, Default)]
pub(crate) struct Broken(Arc<Mutex<Option<PyErr>>>);

impl Broken {
    /// # Errors
    /// `PolicyError`, with what was raised as its cause; what is no `Exception` (Ctrl-C) as it is.
    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        let broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cause) = &*broken else { return Ok(()) };
        let cause = cause.clone_ref(py);
        if !cause.is_instance_of::<pyo3::exceptions::PyException>(py) {
            return Err(cause);
        }
        let error = errors::raised("PolicyError", &format!("the policy raised {cause}"));
        error.set_cause(py, Some(cause));
        Err(error)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn keep(&self, error: PyErr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A policy in Python.
pub(crate) struct Chosen {
    policy: Py<PyAny>,
    /// Which of the methods it has that have defaults.
    has: Has,
    broken: Broken,
}

#[derive(Clone, Copy)]
struct Has {
    victim: bool,
    chunk: bool,
    admit: bool,
    computed: bool,
}

impl Chosen {
    /// # Errors
    /// If it has no method `rank`.
    pub(crate) fn new(py: Python<'_>, policy: Py<PyAny>, broken: &Broken) -> PyResult<Chosen> {
        let object = policy.bind(py);
        let has = |name: &str| object.hasattr(name);
        if !has("rank")? {
            let message = "a policy needs a method rank(sequence, now) that gives a number; the lowest is served first";
            return Err(errors::invalid("policy", message));
        }
        let has =
            Has { victim: has("victim")?, chunk: has("chunk")?, admit: has("admit")?, computed: has("computed")? };
        Ok(Chosen { policy, has, broken: broken.clone() })
    }

    /// What the method answers; `None` if it does not, now or any more.
    fn ask<T>(&self, ask: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>) -> Option<T> {
        if self.broken.is_broken() {
            return None;
        }
        // Where the interpreter is gone nobody decides.
        let answer = Python::try_attach(|py| ask(py, self.policy.bind(py)))?;
        answer.map_err(|error| self.broken.keep(error)).ok()
    }
}

impl Policy for Chosen {
    fn rank(&self, sequence: &engine::Sequence, now: Duration) -> u64 {
        let rank = self.ask(|py, policy| {
            let asked = (Sequence::of(sequence), now.as_secs_f64());
            ordered(policy.call_method1(intern!(py, "rank"), asked)?.extract()?)
        });
        rank.unwrap_or_else(|| FirstCome.rank(sequence, now))
    }

    fn victim(&self, holder: &engine::Sequence, needy: &engine::Sequence, now: Duration) -> bool {
        let own = self.has.victim.then(|| {
            self.ask(|py, policy| {
                let asked = (Sequence::of(holder), Sequence::of(needy), now.as_secs_f64());
                decided(py, &policy.call_method1(intern!(py, "victim"), asked)?)
            })
        });
        own.flatten().flatten().unwrap_or_else(|| FirstCome.victim(holder, needy, now))
    }

    fn chunk(&self, load: &engine::Load) -> usize {
        let own = self.has.chunk.then(|| {
            self.ask(|py, policy| {
                policy.call_method1(intern!(py, "chunk"), (Load::from(load),))?.extract::<Option<usize>>()
            })
        });
        own.flatten().flatten().unwrap_or_else(|| FirstCome.chunk(load))
    }

    fn admit(&self, sequence: &engine::Sequence, blocks: usize, load: &engine::Load) -> bool {
        let own = self.has.admit.then(|| {
            self.ask(|py, policy| {
                let asked = (Sequence::of(sequence), blocks, Load::from(load));
                decided(py, &policy.call_method1(intern!(py, "admit"), asked)?)
            })
        });
        // What never admits anybody never ends.
        let idle = load.running == 0;
        idle || own.flatten().flatten().unwrap_or_else(|| FirstCome.admit(sequence, blocks, load))
    }

    fn computed(&mut self, batch: &mut dyn Iterator<Item = &engine::Sequence>) {
        if !self.has.computed {
            return;
        }
        let batch: Vec<Sequence> = batch.map(Sequence::of).collect();
        self.ask(|py, policy| policy.call_method1(intern!(py, "computed"), (PyList::new(py, batch)?,)).map(drop));
    }
}

/// Yes or no, or None for the default.
fn decided(py: Python<'_>, answer: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
    if answer.is(py.None()) { Ok(None) } else { answer.is_truthy().map(Some) }
}

/// A number that is ordered as these are.
fn ordered(rank: f64) -> PyResult<u64> {
    if rank.is_nan() {
        return Err(pyo3::exceptions::PyValueError::new_err("rank is not a number (NaN)"));
    }
    // Adding 0 makes one of both zeros.
    let bits = (rank + 0.0).to_bits();
    Ok(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
}

/// The name of a policy, if it is given by its name.
pub(crate) fn name(policy: &Bound<'_, PyAny>) -> Option<String> {
    policy.cast::<PyString>().ok().map(ToString::to_string)
}
