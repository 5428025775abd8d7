//! Sums in which a second counts three quarters of the next: shares and means of late that single seconds are too short for.

use std::collections::BTreeMap;

use super::sample::share;
use crate::Request;
use crate::totals::StepSums;

/// What a second counts beside the next.
const DECAY: f64 = 0.78;

/// Less than this many requests say nothing.
const ENOUGH: f64 = 4.0;

/// Of prompts more: a long one among few is most of their tokens.
const ENOUGH_PROMPTS: f64 = 6.0;

/// Tokens of an answer that says next to nothing, at most.
const EMPTY: usize = 2;

/// Tenants that are told apart.
const MOST_TENANTS: usize = 256;

/// Sums of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Decayed {
    found: f64,
    prompt: f64,
    answers: Answers,
    requests: f64,
    arrived: f64,
    /// Steps, and those that left sequences waiting although there were places.
    steps: f64,
    held_up: f64,
    tenants: BTreeMap<String, f64>,
}

/// Of answers that are complete.
#[derive(Clone, Debug, Default)]
struct Answers {
    all: f64,
    tokens: f64,
    cut: f64,
    empty: f64,
    /// Those long enough to repeat themselves, and how much they do.
    judged: f64,
    repetition: f64,
}

impl Decayed {
    /// A second is over, in which so many requests came.
    pub(super) fn second(&mut self, steps: &StepSums, arrived: f64) {
        let Decayed { found, prompt, answers, requests, arrived: came, steps: made, held_up, tenants } = self;
        let Answers { all, tokens, cut, empty, judged, repetition } = answers;
        let sums = [found, prompt, requests, came, made, held_up, all, tokens, cut, empty, judged, repetition];
        sums.into_iter().chain(tenants.values_mut()).for_each(|sum| *sum *= DECAY);
        tenants.retain(|_, sum| *sum > 0.01);
        self.arrived += arrived;
        self.found += steps.work.found as f64;
        self.prompt += (steps.work.found + steps.work.prefill_rows) as f64;
    }

    /// A step has ended; perhaps it left sequences waiting although there were places.
    pub(super) fn step(&mut self, held_up: bool) {
        self.steps += 1.0;
        self.held_up += f64::from(u8::from(held_up));
    }

    /// A request has ended.
    pub(super) fn ended(&mut self, request: &Request, tenant: Option<&str>) {
        if matches!(request.reason, "stop" | "length") {
            self.answers.all += 1.0;
            self.answers.tokens += request.generated as f64 / request.answers.max(1) as f64;
            self.answers.cut += f64::from(u8::from(request.reason == "length"));
            self.answers.empty += f64::from(u8::from(request.generated <= EMPTY * request.answers));
        }
        if let Some(share) = request.repetition.filter(|share| share.is_finite()) {
            self.answers.judged += 1.0;
            self.answers.repetition += share;
        }
        self.requests += 1.0;
        let Some(tenant) = tenant else { return };
        if let Some(sum) = self.tenants.get_mut(tenant) {
            *sum += 1.0;
        } else if self.tenants.len() < MOST_TENANTS {
            self.tenants.insert(tenant.to_owned(), 1.0);
        }
    }

    /// The share of steps that left sequences waiting although there were places.
    pub(super) fn held_up(&self) -> f64 {
        share(self.held_up, self.steps)
    }

    /// Requests that come in a second.
    pub(super) fn arrived(&self) -> f64 {
        self.arrived * (1.0 - DECAY)
    }

    /// Tokens of prompts in a second.
    pub(super) fn prompt(&self) -> f64 {
        self.prompt * (1.0 - DECAY)
    }

    /// Mean tokens of an answer.
    pub(super) fn answer(&self) -> f64 {
        self.answers.share(self.answers.tokens)
    }

    /// The share of answers that were cut.
    pub(super) fn cut(&self) -> f64 {
        self.answers.share(self.answers.cut)
    }

    /// The share of answers that say next to nothing.
    pub(super) fn empty(&self) -> f64 {
        self.answers.share(self.answers.empty)
    }

    /// How much answers repeat themselves, in the mean.
    pub(super) fn repetition(&self) -> f64 {
        enough(self.answers.judged, share(self.answers.repetition, self.answers.judged))
    }

    /// The share of prompts that was found.
    pub(super) fn hits(&self) -> f64 {
        if self.arrived >= ENOUGH_PROMPTS { share(self.found, self.prompt) } else { f64::NAN }
    }

    /// The largest share of requests that one tenant has.
    pub(super) fn tenant(&self) -> f64 {
        enough(self.requests, share(self.tenants.values().copied().fold(0.0, f64::max), self.requests))
    }
}

impl Answers {
    fn share(&self, part: f64) -> f64 {
        enough(self.all, share(part, self.all))
    }
}

fn enough(requests: f64, value: f64) -> f64 {
    if requests >= ENOUGH { value } else { f64::NAN }
}
