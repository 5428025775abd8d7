//! Kernels that are tried on a share of the steps of a model that serves. Steps of the same shape are compared in pairs, one with each;
//! the test may be looked at after every pair (a sign test as an e-process).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use kernels::{Choice, StepTime, Tuning};
use release::stats::Pairs;
use serde_json::{Value, json};
use serve::TrialAsk;

/// How often steps are looked at.
const AGAIN: Duration = Duration::from_millis(50);

/// Positions that are alike.
const ALIKE: usize = 64;

/// A trial, under way or over.
pub(super) struct Trial {
    tuning: Tuning,
    candidate: Choice,
    ask: TrialAsk,
    seen: Mutex<Seen>,
    /// It is another one's turn: the program is not told that this one has ended.
    forgotten: AtomicBool,
    /// Its thread ends with it.
    _alive: Sender<()>,
}

/// What came of it so far.
#[derive(Default)]
struct Seen {
    state: Outcome,
    pairs: Pairs,
    /// Steps that wait for one of their shape with the other kernels.
    waiting: HashMap<Key, (bool, Vec<Duration>)>,
}

/// Rows, outputs and about how many positions.
type Key = (usize, usize, usize);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Outcome {
    #[default]
    Running,
    /// The kernels are faster, and used from now on.
    Taken,
    /// They are slower.
    Refused,
    /// It was ended before that was clear.
    Ended,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Taken => "taken",
            Outcome::Refused => "refused",
            Outcome::Ended => "ended",
        }
    }
}

impl Trial {
    /// Tries kernels from now on.
    pub(super) fn start(tuning: Tuning, candidate: Choice, ask: TrialAsk) -> Arc<Trial> {
        tuning.try_out(candidate.clone(), ask.share, 0);
        let (alive, gone) = channel();
        let (seen, forgotten) = (Mutex::default(), AtomicBool::new(false));
        let trial = Arc::new(Trial { tuning, candidate, ask, seen, forgotten, _alive: alive });
        let watched = Arc::downgrade(&trial);
        // Without a thread it is looked at whenever somebody asks.
        let _ = thread::Builder::new().name("kernel trial".to_owned()).spawn(move || watch(&watched, &gone));
        trial
    }

    /// Ends it, if it runs.
    pub(super) fn end(&self) {
        let mut seen = self.seen();
        if seen.state == Outcome::Running {
            seen.state = Outcome::Ended;
            self.tuning.end_trial();
        }
    }

    /// Another one takes its place.
    pub(super) fn forget(&self) {
        self.forgotten.store(true, Relaxed);
    }

    /// How it stands.
    pub(super) fn json(&self, model: &str) -> Value {
        self.look();
        let seen = self.seen();
        let (faster, slower) = (seen.pairs.candidate, seen.pairs.stable);
        json!({
            "object": "kernels.trial", "model": model, "state": seen.state.name(), "kernels": self.ask.kernels,
            "share": self.ask.share, "alpha": self.ask.alpha, "pairs": faster + slower, "faster": faster, "slower": slower,
            "evidence": { "faster": seen.pairs.gain(), "slower": seen.pairs.harm(), "needed": 1.0 / self.ask.alpha },
        })
    }

    /// Looks at the steps since the last time, and decides if it is clear; says whether it goes on.
    fn look(&self) -> bool {
        if self.forgotten.load(Relaxed) {
            return false;
        }
        let mut seen = self.seen();
        if seen.state != Outcome::Running {
            return false;
        }
        self.tuning.take_steps().iter().for_each(|step| seen.record(step));
        let needed = 1.0 / self.ask.alpha;
        if seen.pairs.gain() >= needed {
            seen.state = Outcome::Taken;
            self.tuning.choose(self.candidate.clone());
        } else if seen.pairs.harm() >= needed {
            seen.state = Outcome::Refused;
        }
        if seen.state != Outcome::Running {
            self.tuning.end_trial();
            tracing::info!(
                kernels = self.ask.kernels.join(" "),
                outcome = seen.state.name(),
                "a trial of kernels has ended"
            );
        }
        seen.state == Outcome::Running
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is none.
pub(super) fn none(model: &str) -> Value {
    json!({
        "object": "kernels.trial", "model": model, "state": "none", "kernels": [], "share": 0, "alpha": 0,
        "pairs": 0, "faster": 0, "slower": 0, "evidence": null,
    })
}

fn watch(trial: &Weak<Trial>, gone: &Receiver<()>) {
    while gone.recv_timeout(AGAIN) == Err(RecvTimeoutError::Timeout) {
        if !trial.upgrade().is_some_and(|trial| trial.look()) {
            return;
        }
    }
}

impl Seen {
    /// Pairs a step with the oldest of its shape that had the other kernels.
    fn record(&mut self, step: &StepTime) {
        let key = (step.rows, step.outputs, step.context / ALIKE);
        let (waits, times) = self.waiting.entry(key).or_insert((step.candidate, vec![]));
        if *waits == step.candidate || times.is_empty() {
            *waits = step.candidate;
            times.push(step.took);
            return;
        }
        let other = times.remove(0);
        let (candidate, stable) = if step.candidate { (step.took, other) } else { (other, step.took) };
        // The less time, the better.
        self.pairs.record(-candidate.as_secs_f64(), -stable.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(candidate: bool, rows: usize, micros: u64) -> StepTime {
        StepTime { candidate, rows, outputs: 1, context: 100, took: Duration::from_micros(micros) }
    }

    #[test]
    fn steps_of_the_same_shape_are_compared_in_pairs() {
        let mut seen = Seen::default();
        for (candidate, rows, micros) in
            [(false, 1, 10), (false, 1, 20), (true, 8, 5), (true, 1, 9), (true, 1, 30), (true, 1, 1), (false, 1, 2)]
        {
            seen.record(&step(candidate, rows, micros));
        }
        // 9 against 10, 30 against 20, 1 against 2; the step of 8 rows waits.
        assert_eq!(seen.pairs, Pairs { candidate: 2, stable: 1 });
    }

    #[test]
    fn what_is_faster_is_found_and_what_is_not_is_not() {
        let evidence = |candidate: u64, stable: u64| {
            let mut seen = Seen::default();
            for _ in 0..40 {
                seen.record(&step(true, 1, candidate));
                seen.record(&step(false, 1, stable));
            }
            (seen.pairs.gain() >= 100.0, seen.pairs.harm() >= 100.0)
        };
        assert_eq!(
            (evidence(9, 10), evidence(10, 9), evidence(10, 10)),
            ((true, false), (false, true), (false, false))
        );
    }
}
