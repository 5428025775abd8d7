//! For which sequences a draft model drafts, and how many tokens: as many as are expected to make the step choose most tokens a second, by
//! how long steps and drafts take, which is learnt.
//!
//! A sequence that the model has not read is read once drafting would have saved as much time as reading it takes: whatever its answer's
//! length, this costs at most twice what the best choice would have (the ski rental problem, Karlin et al. 1988). One for which drafting
//! does not pay is tried again when a small share of the steps' time has added up to what that takes.

use super::{Drafter, FEW, Text};
use crate::{LatencyModel, Work};

/// A trial may take one part in so many of the time of steps.
const TRIALS: f64 = 64.0;

/// Tokens that are drafted for a trial.
const TRIED: usize = 2;

/// The texts that promise most are drafted for: how many, and so many tokens of each at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Plan {
    texts: usize,
    tokens: usize,
    /// Seconds that this saves.
    saves: f64,
}

/// What a step takes without drafts.
struct Step<'l> {
    work: Work,
    target: &'l LatencyModel,
    seconds: f64,
}

impl Step<'_> {
    /// Seconds that it takes with so many rows more.
    fn with_rows(&self, rows: usize) -> f64 {
        let Work { decode_rows, draft_rows, context, .. } = self.work;
        let context = context + rows * (context / decode_rows.max(1));
        let work = Work { decode_rows: decode_rows + rows, draft_rows: draft_rows + rows, context, ..self.work };
        seconds(self.target, work)
    }

    /// Tokens that it chooses.
    fn tokens(&self) -> f64 {
        self.work.decode_rows.max(1) as f64
    }
}

impl Drafter {
    /// Closes the texts that are not drafted for beside what a step computes, and says how many tokens of the others. As long as nothing
    /// is known of how long something takes, all are tried.
    pub(super) fn choose(&self, texts: &mut [Text<'_>], (work, target): (Work, &LatencyModel)) {
        let step = target.predict(work).map(|time| Step { work, target, seconds: time.as_secs_f64() });
        match step {
            Some(step) if self.latency.predict(work).is_some() => self.choose_by(texts, &step),
            _ => texts.iter_mut().for_each(|text| text.limit(TRIED)),
        }
    }

    fn choose_by(&self, texts: &mut [Text<'_>], step: &Step<'_>) {
        // Equals stay in the order of arrival.
        texts.sort_by(|a, b| b.yields().total_cmp(&a.yields()));
        let all = self.best(texts, step);
        for (at, text) in texts.iter_mut().enumerate() {
            let saves = if at < all.texts { all.saves / all.texts as f64 } else { 0.0 };
            text.reading.credit += saves.max(step.seconds / TRIALS / step.tokens());
        }
        texts.sort_by_key(|text| !self.is_due(text));
        let due = texts.iter().take_while(|text| self.is_due(text)).count();
        let plan = self.best(&texts[..due], step);
        for (at, text) in texts.iter_mut().enumerate() {
            if at < plan.texts {
                text.limit(plan.tokens);
            } else if text.reading.credit >= self.cost(text.unread(), TRIED, text.len()) {
                text.limit(TRIED);
            } else {
                text.close();
            }
        }
    }

    /// Whether a text is read, or has saved up for that.
    fn is_due(&self, text: &Text<'_>) -> bool {
        let behind = text.unread();
        behind <= FEW || text.reading.credit >= self.cost(behind, 0, text.len())
    }

    /// Seconds that it takes to read so many tokens and to draft so many after them, at a position.
    fn cost(&self, unread: usize, drafted: usize, position: usize) -> f64 {
        let prefill_rows = if unread > FEW { unread } else { 0 };
        let reading = Work { prefill_rows, ..Work::default() }.reading(prefill_rows, position - prefill_rows);
        let read = if prefill_rows > 0 { seconds(&self.latency, reading) } else { 0.0 };
        read + drafted as f64 * self.a_token(1, position)
    }

    /// Seconds that it takes to draft a token of each of so many texts.
    fn a_token(&self, texts: usize, position: usize) -> f64 {
        seconds(&self.latency, Work { decode_rows: texts, context: texts * position, ..Work::default() })
    }

    /// The plan with most tokens a second.
    fn best(&self, texts: &[Text<'_>], step: &Step<'_>) -> Plan {
        let (tokens, took) = (step.tokens(), step.seconds);
        let (mut best, mut rate) = (Plan::default(), tokens / took.max(f64::MIN_POSITIVE));
        let position = texts.iter().map(Text::len).max().unwrap_or_default();
        for each in 1..=texts.iter().map(Text::most).max().unwrap_or_default() {
            let mut more = 0.0;
            for (count, text) in (1..).zip(texts) {
                more += text.gain(each);
                let extra = step.with_rows(count * each) - took + each as f64 * self.a_token(count, position);
                let with = (tokens + more) / (took + extra).max(f64::MIN_POSITIVE);
                if with > rate {
                    rate = with;
                    best = Plan { texts: count, tokens: each, saves: more * took / tokens - extra };
                }
            }
        }
        best
    }
}

/// Seconds that it takes; 0 as long as nothing is known.
fn seconds(latency: &LatencyModel, work: Work) -> f64 {
    latency.predict(work).unwrap_or_default().as_secs_f64()
}
