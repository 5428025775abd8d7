//! Sums in which a second counts three quarters of the next: shares and means of late that single seconds are too short for.

use std::collections::BTreeMap;

use super::sample::share;
use crate::Request;
use crate::totals::StepSums;

/// What a second counts beside the next.
const DECAY: f64 = 0.78;

/// Less than this many requests say nothing.
const ENOUGH: f64 = 4.0;

/// Tenants that are told apart.
const MOST_TENANTS: usize = 256;

/// Sums of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Decayed {
    found: f64,
    prompt: f64,
    answers: f64,
    answer_tokens: f64,
    cut: f64,
    requests: f64,
    arrived: f64,
    tenants: BTreeMap<String, f64>,
}

impl Decayed {
    /// A second is over, in which so many requests came.
    pub(super) fn second(&mut self, steps: &StepSums, arrived: f64) {
        let Decayed { found, prompt, answers, answer_tokens, cut, requests, arrived: came, tenants } = self;
        let sums = [found, prompt, answers, answer_tokens, cut, requests, came];
        sums.into_iter().chain(tenants.values_mut()).for_each(|sum| *sum *= DECAY);
        tenants.retain(|_, sum| *sum > 0.01);
        self.arrived += arrived;
        self.found += steps.work.found as f64;
        self.prompt += (steps.work.found + steps.work.prefill_rows) as f64;
    }

    /// A request has ended.
    pub(super) fn ended(&mut self, request: &Request, tenant: Option<&str>) {
        if matches!(request.reason, "stop" | "length") {
            self.answers += 1.0;
            self.answer_tokens += request.generated as f64 / request.answers.max(1) as f64;
            self.cut += f64::from(u8::from(request.reason == "length"));
        }
        self.requests += 1.0;
        let Some(tenant) = tenant else { return };
        if let Some(sum) = self.tenants.get_mut(tenant) {
            *sum += 1.0;
        } else if self.tenants.len() < MOST_TENANTS {
            self.tenants.insert(tenant.to_owned(), 1.0);
        }
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
        enough(self.answers, share(self.answer_tokens, self.answers))
    }

    /// The share of answers that were cut.
    pub(super) fn cut(&self) -> f64 {
        enough(self.answers, share(self.cut, self.answers))
    }

    /// The share of prompts that was found.
    pub(super) fn hits(&self) -> f64 {
        enough(self.arrived, share(self.found, self.prompt))
    }

    /// The largest share of requests that one tenant has.
    pub(super) fn tenant(&self) -> f64 {
        enough(self.requests, share(self.tenants.values().copied().fold(0.0, f64::max), self.requests))
    }
}

fn enough(requests: f64, value: f64) -> f64 {
    if requests >= ENOUGH { value } else { f64::NAN }
}
