//! A generation under way: waited for, or polled by an event loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use answer::{Kind, Problem, Tally};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::answers::{Answer, Event};
use crate::errors;
use crate::model::Inner;
use crate::wait::wait;

/// The answers to a request, as they are made. Forgetting it cancels what is still running.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Generation {
    state: Mutex<State>,
    tally: Arc<Tally>,
    /// Somebody has cancelled it, maybe while another thread waits for its next event.
    cancelled: AtomicBool,
    model: Arc<Inner>,
}

struct State {
    /// `None` once it is cancelled.
    running: Option<answer::Generation>,
    answers: Vec<answer::Answer>,
}

/// What came next: an event, nothing more, or why.
type Next = Option<Result<answer::Event, Problem>>;

impl State {
    fn poll(&mut self, cx: &mut Context<'_>, cancelled: &AtomicBool) -> Poll<Next> {
        if cancelled.load(Ordering::Relaxed) && self.running.take().is_some() {
            return Poll::Ready(Some(Err(Problem::new(Kind::Draining, "The generation was cancelled."))));
        }
        let Some(running) = &mut self.running else { return Poll::Ready(None) };
        let next = std::task::ready!(running.poll_next(cx));
        match &next {
            Some(Ok(event)) => self.answers[event.choice()].add(event.clone()),
            Some(Err(_)) | None => self.running = None,
        }
        Poll::Ready(next)
    }
}

impl Generation {
    pub(crate) fn new(running: answer::Generation, model: Arc<Inner>) -> Generation {
        let (tally, answers) = (Arc::clone(running.tally()), vec![answer::Answer::default(); running.choices()]);
        let state = Mutex::new(State { running: Some(running), answers });
        Generation { state, tally, cancelled: AtomicBool::new(false), model }
    }

    fn lock<'a>(&'a self, py: Python<'_>) -> MutexGuard<'a, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next event.
    fn next(&self, py: Python<'_>) -> PyResult<Option<answer::Event>> {
        let mut state = self.lock(py);
        let state: &mut State = &mut state;
        match wait(py, |cx| state.poll(cx, &self.cancelled)) {
            Ok(next) => self.told(py, next),
            Err(interrupted) => {
                state.running = None;
                Err(interrupted)
            }
        }
    }

    /// An event, or the exception that stands for its absence.
    fn told(&self, py: Python<'_>, next: Next) -> PyResult<Option<answer::Event>> {
        match next {
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(problem)) => self.model.check_policy(py).and(Err(errors::of_problem(&problem))),
            None => self.model.check_policy(py).map(|()| None),
        }
    }
}

/// The text of the first answer that an event adds.
fn text(event: answer::Event) -> Option<String> {
    match event {
        answer::Event::Text { choice: 0, text, .. } if !text.is_empty() => Some(text),
        _ => None,
    }
}

#[pymethods]
impl Generation {
    /// Waits for the next event; None when all answers have ended.
    fn next_event(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        Ok(self.next(py)?.map(Event))
    }

    /// Waits for more text of the first answer; None when all answers have ended.
    fn next_text(&self, py: Python<'_>) -> PyResult<Option<String>> {
        while let Some(event) = self.next(py)? {
            if let Some(text) = text(event) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Waits until all answers have ended.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        while self.next(py)?.is_some() {}
        Ok(())
    }

    /// The next event, if there is one: (True, event), or (True, None) at the end. Else (False, None), and `wake` is called, on another
    /// thread, when it is worth asking again.
    fn poll_event(&self, py: Python<'_>, wake: Py<PyAny>) -> PyResult<(bool, Option<Event>)> {
        let waker = Waker::from(Arc::new(Callback(Mutex::new(Some(wake)))));
        let polled = self.lock(py).poll(&mut Context::from_waker(&waker), &self.cancelled);
        match polled {
            Poll::Ready(next) => Ok((true, self.told(py, next)?.map(Event))),
            Poll::Pending => Ok((false, None)),
        }
    }

    /// Ends all answers that are not complete.
    fn cancel(&self, py: Python<'_>) {
        self.cancelled.store(true, Ordering::Relaxed);
        // Who waits for an event looks here soon; then nobody reads the engine's queue any more.
        let running = self.lock(py).running.take();
        py.detach(|| drop(running));
    }

    /// The answers as far as they came.
    fn answers(&self, py: Python<'_>) -> Vec<Answer> {
        self.lock(py).answers.iter().cloned().map(Answer).collect()
    }

    #[getter]
    fn prompt_tokens(&self) -> usize {
        self.tally.prompt()
    }

    #[getter]
    fn cached_tokens(&self) -> usize {
        self.tally.cached()
    }

    #[getter]
    fn generated_tokens(&self) -> usize {
        self.tally.generated()
    }

    /// Seconds since it was asked.
    #[getter]
    fn elapsed(&self) -> f64 {
        self.tally.elapsed().as_secs_f64()
    }

    /// Seconds from there to the first token.
    #[getter]
    fn first_token(&self) -> Option<f64> {
        self.tally.first_token().map(|time| time.as_secs_f64())
    }
}

/// Calls a function of Python once.
struct Callback(Mutex<Option<Py<PyAny>>>);

impl Wake for Callback {
    fn wake(self: Arc<Callback>) {
        let function = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Without a thread nobody is woken; whoever polls asks again in time.
        function.map(|function| callers().map(|callers| callers.send(function)));
    }
}

/// A thread that calls functions of Python, so that an engine never waits for the interpreter.
fn callers() -> Option<&'static Sender<Py<PyAny>>> {
    static CALLERS: OnceLock<Option<Sender<Py<PyAny>>>> = OnceLock::new();
    let start = || {
        let (sender, functions) = channel::<Py<PyAny>>();
        let call = move || {
            for function in functions {
                // An event loop that is closed has nobody to wake.
                let called = Python::try_attach(|py| drop(function.call0(py)));
                if called.is_none() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("waker".to_owned()).spawn(call).ok().map(|_| sender)
    };
    CALLERS.get_or_init(start).as_ref()
}
