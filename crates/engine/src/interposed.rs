//! What is put between an engine and its executor for one request: it may take time, fail or panic in the executor's place.

use std::fmt;
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::panics::catch;
use crate::{ExecutorError, RequestId, Scheduler};

/// Called on the engine's thread before each batch with rows of its request. If it fails or panics, the batch is not computed,
/// and its sequences end as if the executor had failed. Such a failure does not count towards
/// [`FAILURES_IN_A_ROW`](crate::FAILURES_IN_A_ROW), unless it says that the executor is broken: the executor itself is as it was.
#[derive(Clone)]
pub struct Interposed(Arc<dyn Fn() -> Result<(), ExecutorError> + Send + Sync>);

impl Interposed {
    /// Calls `before` before each batch.
    pub fn new(before: impl Fn() -> Result<(), ExecutorError> + Send + Sync + 'static) -> Interposed {
        Interposed(Arc::new(before))
    }

    /// # Errors
    /// Its own, also of a panic.
    fn call(&self) -> Result<(), ExecutorError> {
        let panicked = |message| ExecutorError::Batch(format!("the executor panicked: {message}"));
        catch(|| (self.0)()).map_err(panicked)?
    }
}

impl fmt::Debug for Interposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interposed(..)")
    }
}

/// The same one, not an equal one.
impl PartialEq for Interposed {
    fn eq(&self, other: &Interposed) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Interposed {}

/// What is interposed for requests under way. Empty, it costs a look at its length for each step.
#[derive(Debug, Default)]
pub(crate) struct Interpositions {
    all: Vec<(RequestId, Interposed)>,
    /// The last batch was not computed because of one of them.
    failed: bool,
}

impl Interpositions {
    pub(crate) fn add(&mut self, request: RequestId, interposed: Interposed) {
        self.all.push((request, interposed));
    }

    /// Calls those of the requests whose rows the batch has.
    ///
    /// # Errors
    /// That of the first one that fails.
    pub(crate) fn call(&mut self, scheduler: &Scheduler, delivery: &Delivery) -> Result<(), ExecutorError> {
        if self.all.is_empty() {
            return Ok(());
        }
        self.all.retain(|(request, _)| delivery.has(*request));
        let computed: Vec<RequestId> =
            scheduler.batch().filter_map(|sequence| delivery.request(sequence.id())).collect();
        let mut hit = self.all.iter().filter(|(request, _)| computed.contains(request));
        let outcome = hit.try_for_each(|(_, interposed)| interposed.call());
        self.failed = outcome.is_err();
        outcome
    }

    /// Whether the last batch was not computed because of one of them; asked once.
    pub(crate) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }
}
