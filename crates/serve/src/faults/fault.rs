//! A fault: what it does, to whom, how often and how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderName;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Subject;
use super::memory::Withheld;
use crate::models::Key;

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Harm {
    /// No event of the answer comes before so much time has passed.
    Delay(Duration),
    /// The request is answered with an error, and reaches no model.
    Error { status: u16, message: Option<String>, retry_after: Option<Duration> },
    /// The executor panics in a batch with the request.
    Panic,
    /// The executor fails in a batch with the request.
    ExecutorFailure(Option<String>),
    /// The model's device is lost in a batch with the request: its engine ends.
    DeviceLoss(Option<String>),
    /// Each batch with the request takes so much longer.
    SlowExecutor(Duration),
    /// This share of the blocks of the KV cache is taken away.
    MemoryShortage(f64),
    /// Between two events of the answer there is so much time at least.
    SlowStream(Duration),
    /// The connection is closed after so many messages of the answer.
    CutStream(usize),
}

/// Whom it hits. What is not said is anybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Whom {
    /// A model, or one version of it as `name@version`: the one that answers, whatever name was asked for.
    pub(crate) model: Option<String>,
    pub(crate) path: Option<String>,
    /// The name of an API key.
    pub(crate) key: Option<String>,
    /// What the request says in its field `user`.
    pub(crate) user: Option<String>,
    pub(crate) header: Option<(HeaderName, String)>,
}

/// A fault as it is ordered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) harm: Harm,
    pub(crate) whom: Whom,
    /// Of the requests that it could hit, 0 to 1.
    pub(crate) share: f64,
    /// Chooses the requests of the share. Faults with the same one hit the same requests.
    pub(crate) salt: Option<String>,
    /// Requests that it hits at most.
    pub(crate) times: Option<u64>,
    pub(crate) lasts: Duration,
}

/// A fault that lasts.
pub(crate) struct Fault {
    pub(crate) id: String,
    pub(crate) harm: Harm,
    pub(crate) whom: Whom,
    pub(crate) share: f64,
    pub(crate) salt: String,
    pub(crate) times: Option<u64>,
    pub(crate) until: Instant,
    /// Requests, or models, that it has hit.
    hits: AtomicU64,
    /// The models whose blocks it takes away.
    pub(super) withheld: Vec<Withheld>,
    pub(super) over: std::sync::Arc<Over>,
}

/// Whether a fault has ended; who waits because of it need wait no longer then.
#[derive(Default)]
pub(super) struct Over {
    ended: Mutex<bool>,
    told: Condvar,
}

impl Harm {
    /// Its name in requests, metrics and logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Harm::Delay(_) => "delay",
            Harm::Error { .. } => "error",
            Harm::Panic => "panic",
            Harm::ExecutorFailure(_) => "executor_failure",
            Harm::DeviceLoss(_) => "device_loss",
            Harm::SlowExecutor(_) => "slow_executor",
            Harm::MemoryShortage(_) => "memory_shortage",
            Harm::SlowStream(_) => "slow_stream",
            Harm::CutStream(_) => "cut_stream",
        }
    }
}

impl Whom {
    /// Whether this model is meant.
    pub(super) fn means(&self, Key { name, version }: &Key) -> bool {
        let Some(model) = &self.model else { return true };
        model == name || model.rsplit_once('@').is_some_and(|(base, id)| base == name && id == version)
    }

    /// Whether this request to this model is meant.
    fn hits(&self, subject: &Subject, key: &Key) -> bool {
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|wanted| is == Some(wanted));
        let header = |(name, value): &(HeaderName, String)| {
            subject.head.headers.get_all(name).iter().any(|is| is.as_bytes() == value.as_bytes())
        };
        self.means(key)
            && same(&self.path, Some(&subject.head.path))
            && same(&self.key, subject.key.as_deref())
            && same(&self.user, subject.user.as_deref())
            && self.header.as_ref().is_none_or(header)
    }
}

impl Fault {
    pub(super) fn new(id: String, wish: Wish, now: Instant, withheld: Vec<Withheld>) -> Fault {
        let Wish { harm, whom, share, salt, times, lasts } = wish;
        let salt = salt.unwrap_or_else(|| id.clone());
        let (hits, over) = (AtomicU64::new(0), std::sync::Arc::default());
        Fault { id, harm, whom, share, salt, times, until: now + lasts, hits, withheld, over }
    }

    /// What it has hit.
    pub(crate) fn hit(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Whether it hits this request to this model; counts it then.
    pub(super) fn hits(&self, subject: &Subject, key: &Key) -> bool {
        let of_requests = !matches!(self.harm, Harm::MemoryShortage(_));
        of_requests && self.whom.hits(subject, key) && chosen(&self.salt, &subject.head.id, self.share) && self.count()
    }

    /// Counts a hit, if there may be another one.
    pub(super) fn count(&self) -> bool {
        let more = |hits: u64| self.times.is_none_or(|most| hits < most).then_some(hits + 1);
        self.hits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// It does no more harm: what it took is given back, and who waits goes on.
    pub(super) fn end(&self) {
        self.give_back();
        *self.over.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.told.notify_all();
    }
}

impl Over {
    pub(super) fn is_over(&self) -> bool {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until the fault ends.
    pub(super) fn wait(&self, time: Duration) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Whichever it was.
        let _ = self.told.wait_timeout_while(ended, time, |ended| !*ended);
    }
}

/// Whether a request belongs to a share of all: by a hash that is the same everywhere and in every version.
fn chosen(salt: &str, request: &str, share: f64) -> bool {
    let hash = Sha256::new().chain_update(salt).chain_update([0]).chain_update(request).finalize();
    let first = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // Of 2⁶⁴ numbers; a share of 1 is all of them.
    (first as f64) < share * 2_f64.powi(64) || share >= 1.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::HeaderMap;

    use super::*;
    use crate::faults::Head;

    #[test]
    fn a_share_is_the_same_requests_each_time_and_grows_by_adding_some() {
        let hit = |salt: &str, share: f64| -> Vec<usize> {
            (0..10_000).filter(|number| chosen(salt, &format!("req-{number}"), share)).collect()
        };
        for (share, low, high) in [(0.0, 0, 0), (0.01, 70, 130), (0.5, 4800, 5200), (1.0, 10_000, 10_000)] {
            let found = hit("a", share);
            assert!((low..=high).contains(&found.len()), "{share}: {}", found.len());
            assert_eq!(found, hit("a", share));
        }
        let (few, more, others) = (hit("a", 0.1), hit("a", 0.2), hit("b", 0.1));
        assert!(few.iter().all(|number| more.contains(number)) && few != others);
    }

    #[test]
    fn a_fault_hits_whom_it_names() {
        let headers = HeaderMap::from_iter([("x-test".parse().expect("a name"), "1".parse().expect("a value"))]);
        let head = Head::new("r", "/v1/chat/completions", headers);
        let subject = Subject { head: Arc::new(head), key: Some("alice".into()), user: Some("u".into()) };
        let key = Key { name: "m".to_owned(), version: "2".to_owned() };
        let check = |whom: Whom, hits: bool| assert_eq!(whom.hits(&subject, &key), hits, "{whom:?}");
        let is = |text: &str| Some(text.to_owned());
        let header = |value: &str| Some(("x-test".parse().expect("a name"), value.to_owned()));
        check(Whom::default(), true);
        for (model, hits) in [("m", true), ("m@2", true), ("m@1", false), ("n", false), ("n@2", false), ("2", false)] {
            check(Whom { model: is(model), ..Whom::default() }, hits);
        }
        for (path, hits) in [("/v1/chat/completions", true), ("/v1/chat", false)] {
            check(Whom { path: is(path), ..Whom::default() }, hits);
        }
        for (name, hits) in [("alice", true), ("u", false)] {
            check(Whom { key: is(name), ..Whom::default() }, hits);
            check(Whom { user: is(name), ..Whom::default() }, !hits);
        }
        check(Whom { header: header("1"), ..Whom::default() }, true);
        check(Whom { header: header("2"), ..Whom::default() }, false);
        check(Whom { model: is("m"), user: is("v"), ..Whom::default() }, false);
    }
}
