//! Choosing the tokens of a step, on all threads of the executor: each sequence is a task. What is chosen does not depend on
//! who chooses it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use graph::{OutputRow, Outputs};

use super::{Delivery, Drawn, Stream};
use crate::{Sampler, Scheduler, SequenceId, TokenSet};

/// What a thread needs to choose tokens; kept for its memory.
#[derive(Default)]
struct Hand {
    sampler: Sampler,
    /// What a token mask allows.
    allowed: TokenSet,
}

/// Hands that no thread uses now.
#[derive(Default)]
pub(super) struct Hands(Mutex<Vec<Hand>>);

/// A sequence of the batch and its rows of logits.
struct Job<'l> {
    id: SequenceId,
    stream: Stream,
    scored: Vec<&'l [f32]>,
    /// The row after which a token is chosen, if the batch completes the sequence.
    row: Option<OutputRow<'l>>,
    drawn: Vec<Drawn>,
}

impl Hands {
    /// Chooses a token for a sequence with one continuation.
    pub(super) fn choose(&self, stream: &mut Stream, logits: OutputRow<'_>) -> Drawn {
        let mut hand = lock(&self.0).pop().unwrap_or_default();
        let mut drawn = Vec::new();
        stream.sample(logits, &mut hand.sampler, &mut hand.allowed, &mut drawn);
        lock(&self.0).push(hand);
        drawn.pop().expect("it has one continuation")
    }
}

impl Delivery {
    /// Scores the tokens of prompts for whoever wants that, and chooses a token for each continuation of each sequence that
    /// the batch completes, in the batch's order. `logits` has a row for each such token and sequence.
    pub(crate) fn sample(&mut self, scheduler: &Scheduler, logits: Outputs<'_>, drawn: &mut Vec<Drawn>) {
        drawn.clear();
        let jobs = self.jobs(scheduler, logits.rows());
        let hands = &self.hands;
        let work = |at: usize| lock(&jobs[at]).work(hands);
        if jobs.len() < 2 || !self.spread.each(jobs.len(), &work) {
            (0..jobs.len()).for_each(work);
        }
        for job in jobs {
            let Job { id, stream, drawn: mut own, .. } = job.into_inner().unwrap_or_else(PoisonError::into_inner);
            drawn.append(&mut own);
            self.streams.insert(id, stream);
        }
    }

    /// Takes out the sequences that have rows.
    fn jobs<'l>(
        &mut self,
        scheduler: &Scheduler,
        mut rows: impl Iterator<Item = OutputRow<'l>>,
    ) -> Vec<Mutex<Job<'l>>> {
        let mut jobs = Vec::new();
        for sequence in scheduler.batch() {
            let scored = rows.by_ref().take(sequence.scored_rows().len());
            // Those are never wanted by their greatest numbers alone.
            let scored: Vec<_> = scored.filter_map(OutputRow::whole).collect();
            let row = rows.by_ref().take(usize::from(sequence.completes())).next();
            // Rows of drafts come later, if at all.
            rows.by_ref().take(sequence.drafts()).for_each(drop);
            if scored.is_empty() && row.is_none() {
                continue;
            }
            let Some(mut stream) = self.streams.remove(&sequence.id()) else { continue };
            if row.is_some() {
                stream.cached = sequence.found();
            }
            jobs.push(Mutex::new(Job { id: sequence.id(), stream, scored, row, drawn: Vec::new() }));
        }
        jobs
    }
}

impl Job<'_> {
    fn work(&mut self, hands: &Hands) {
        let mut hand = lock(&hands.0).pop().unwrap_or_default();
        let Hand { sampler, allowed } = &mut hand;
        self.scored.iter().for_each(|row| self.stream.score(row, sampler));
        if let Some(row) = self.row {
            self.stream.sample(row, sampler, allowed, &mut self.drawn);
        }
        lock(&hands.0).push(hand);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
