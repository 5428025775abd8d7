//! Many requests at once, whole, as they end.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use answer::{Cancel, InferRequest};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::answers::Answer;
use crate::asked::Asked;
use crate::errors;
use crate::model::Inner;
use crate::options::read;

/// How often somebody who waits looks for signals.
const GLANCE: Duration = Duration::from_millis(50);

/// What becomes of many requests, as each ends. Forgetting it cancels those under way.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Batch {
    ended: Mutex<Receiver<(usize, answer::Inference)>>,
    cancel: Cancel,
    model: Arc<Inner>,
}

impl Batch {
    /// Begins them on a thread of its own, which ends when the last one has.
    ///
    /// # Errors
    /// If one of them is wrong, before any is begun.
    pub(crate) fn start(model: Arc<Inner>, asked: &[String]) -> PyResult<Batch> {
        let requests = asked.iter().map(|asked| {
            let mut asked: Asked = read(asked)?;
            let metadata = std::mem::take(&mut asked.metadata);
            Ok(InferRequest { ask: model.ask(asked)?, metadata })
        });
        let requests: Vec<InferRequest> = requests.collect::<PyResult<_>>()?;
        let (sender, ended) = channel();
        let (cancel, inner) = (Cancel::new(), Arc::clone(&model));
        let cancelled = cancel.clone();
        let work = move || {
            for inference in inner.loaded().blocking().infer_batch(requests, &cancelled) {
                // Who asked may be gone; then the others are cancelled.
                if sender.send(inference).is_err() {
                    cancelled.cancel();
                }
            }
        };
        let thread = std::thread::Builder::new().name("batch".to_owned()).spawn(work);
        thread.map_err(|error| errors::raised("FileError", &format!("starting a thread: {error}")))?;
        Ok(Batch { ended: Mutex::new(ended), cancel, model })
    }
}

#[pymethods]
impl Batch {
    fn __iter__(this: Py<Batch>) -> Py<Batch> {
        this
    }

    /// Waits for the next that ends.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Inference>> {
        let mut ended = self.ended.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        loop {
            let ended = &mut *ended;
            let next = py.detach(move || ended.recv_timeout(GLANCE));
            match next {
                Ok((place, inference)) => return Ok(Some(Inference { place, inference })),
                Err(RecvTimeoutError::Disconnected) => return self.model.check_policy(py).map(|()| None),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(interrupted) = py.check_signals() {
                        self.cancel.cancel();
                        return Err(interrupted);
                    }
                }
            }
        }
    }

    /// Cancels those that have not ended; they come with what there is of them.
    fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What became of a request.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Inference {
    /// Its place among the requests.
    #[pyo3(get)]
    place: usize,
    inference: answer::Inference,
}

#[pymethods]
impl Inference {
    /// `success`, `cancelled`, `timed_out` or `failed`.
    #[getter]
    fn status(&self) -> &'static str {
        match &self.inference {
            answer::Inference::Success(_) => "success",
            answer::Inference::Cancelled(_) => "cancelled",
            answer::Inference::TimedOut(..) => "timed_out",
            answer::Inference::Failed(..) => "failed",
        }
    }

    /// Why it has not succeeded.
    #[getter]
    fn error(&self) -> Option<PyErr> {
        match &self.inference {
            answer::Inference::Success(_) | answer::Inference::Cancelled(_) => None,
            answer::Inference::TimedOut(_, problem) | answer::Inference::Failed(_, problem) => {
                Some(errors::of_problem(problem))
            }
        }
    }

    /// The answers, as far as they came.
    #[getter]
    fn answers(&self) -> Vec<Answer> {
        self.inference.inferred().answers.iter().cloned().map(Answer).collect()
    }

    #[getter]
    fn prompt_tokens(&self) -> usize {
        self.inference.inferred().prompt_tokens
    }

    #[getter]
    fn cached_tokens(&self) -> usize {
        self.inference.inferred().cached_tokens
    }

    #[getter]
    fn generated_tokens(&self) -> usize {
        self.inference.inferred().generated_tokens
    }

    /// Seconds to the first token.
    #[getter]
    fn first_token(&self) -> Option<f64> {
        self.inference.inferred().first_token.map(|time| time.as_secs_f64())
    }

    /// Seconds to the end.
    #[getter]
    fn took(&self) -> f64 {
        self.inference.inferred().took.as_secs_f64()
    }

    #[getter]
    fn metadata(&self) -> std::collections::BTreeMap<String, String> {
        self.inference.inferred().metadata.clone()
    }
}
