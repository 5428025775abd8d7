//! Requests of the last hour one by one: the latest, to be found by name, and the slowest.

use std::collections::VecDeque;
use std::time::Duration;

use crate::totals::micros;
use crate::{Flow, Span, Stage, Trace};

/// Requests that are kept.
const LATEST: usize = 1024;

/// Slow ones that are kept longer.
const SLOWEST: usize = 20;

/// How long slow ones are kept.
const HOUR: Duration = Duration::from_secs(3600);

/// Requests that have ended, and answers that were sent before their request was told to have ended.
#[derive(Default)]
pub(crate) struct Requests {
    latest: VecDeque<Kept>,
    slowest: Vec<Kept>,
    early: VecDeque<Sent>,
    /// Those whose answer has gone out, for who wants them all.
    finished: Option<VecDeque<Flow>>,
}

/// A request by its number.
#[derive(Clone)]
struct Kept {
    id: u64,
    came: Duration,
    flow: Flow,
}

/// An answer whose last byte has gone out.
#[derive(Clone)]
struct Sent {
    id: u64,
    name: String,
    trace: Trace,
    time: Duration,
}

impl Requests {
    /// A request that came at the time `came` has ended.
    pub(crate) fn ended(&mut self, id: u64, came: Duration, flow: Flow) {
        let mut kept = Kept { id, came, flow };
        if let Some(at) = self.early.iter().position(|sent| sent.id == id) {
            self.early.remove(at).iter().for_each(|sent| kept.sent(sent));
            self.finish(&kept);
        }
        self.slow(&kept);
        push(&mut self.latest, kept);
    }

    /// The last byte of the answer to a request went out, under the name that its client was given.
    pub(crate) fn sent(&mut self, id: u64, (name, trace): (&str, Trace), time: Duration) {
        let sent = Sent { id, name: name.to_owned(), trace, time };
        self.slowest.iter_mut().filter(|kept| kept.id == id).for_each(|kept| kept.sent(&sent));
        let Some(kept) = self.latest.iter_mut().rfind(|kept| kept.id == id) else {
            return push(&mut self.early, sent);
        };
        kept.sent(&sent);
        let kept = kept.clone();
        self.finish(&kept);
    }

    /// From now on those whose answer has gone out are kept until they are taken.
    pub(crate) fn keep_finished(&mut self) {
        self.finished.get_or_insert_default();
    }

    /// Those whose answer has gone out since they were last taken.
    pub(crate) fn take_finished(&mut self) -> Vec<Flow> {
        self.finished.as_mut().map(|finished| finished.drain(..).collect()).unwrap_or_default()
    }

    fn finish(&mut self, kept: &Kept) {
        self.finished.iter_mut().for_each(|finished| push(finished, kept.flow.clone()));
    }

    /// The request of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Flow> {
        let all = self.latest.iter().rev().chain(&self.slowest);
        all.map(|kept| &kept.flow).find(|flow| flow.id == name)
    }

    /// The slowest of the hour before `now`, slowest first.
    pub(crate) fn slowest(&mut self, now: Duration) -> Vec<Flow> {
        self.slowest.retain(|kept| kept.came + HOUR > now);
        self.slowest.iter().map(|kept| kept.flow.clone()).collect()
    }

    fn slow(&mut self, kept: &Kept) {
        self.slowest.retain(|slow| slow.came + HOUR > kept.came);
        let at = self.slowest.partition_point(|slow| slow.flow.total_us >= kept.flow.total_us);
        if at < SLOWEST {
            self.slowest.insert(at, kept.clone());
            self.slowest.truncate(SLOWEST);
        }
    }
}

impl Kept {
    fn sent(&mut self, sent: &Sent) {
        let (end_us, start_us) = (micros(sent.time.saturating_sub(self.came)), self.flow.total_us);
        self.flow.id.clone_from(&sent.name);
        self.flow.trace = Some(sent.trace);
        if end_us > start_us {
            self.flow.spans.push(Span { stage: Stage::Sent, start_us, end_us, tokens: 0 });
        }
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() >= LATEST {
        list.pop_front();
    }
    list.push_back(item);
}
