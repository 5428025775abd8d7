//! What a key has taken, against its limits. Time is passed in.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Key, KeyLimits};
use crate::http::log::Tokens;

const MINUTE: f64 = 60.0;

/// Which limit a key is over, and when it may try again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Over {
    /// The limit in words.
    pub(crate) limit: String,
    pub(crate) retry_after: Duration,
}

/// The account of a key.
#[derive(Default)]
pub(super) struct Usage {
    requests: Bucket,
    tokens: Bucket,
    open: Vec<Open>,
    begun: u64,
    /// How long requests have taken of late.
    usual: Option<Duration>,
}

/// A request that is being answered.
struct Open {
    number: u64,
    began: Instant,
    tokens: Tokens,
    /// Those of its tokens that are in the account.
    counted: usize,
}

impl Usage {
    /// Begins a request, and gives its number.
    pub(super) fn admit(&mut self, limits: &KeyLimits, now: Instant) -> Result<u64, Over> {
        self.count();
        self.check_concurrency(limits)?;
        if let Some(limit) = limits.tokens_per_minute {
            // What a request will take is not known yet: there has to be one.
            self.tokens.check(limit, now).map_err(|wait| over(limit, "tokens in a minute", wait))?;
        }
        if let Some(limit) = limits.requests_per_minute {
            self.requests.check(limit, now).map_err(|wait| over(limit, "requests in a minute", wait))?;
            self.requests.taken += 1.0;
        }
        let number = self.begun;
        self.begun += 1;
        self.open.push(Open { number, began: now, tokens: Tokens::default(), counted: 0 });
        Ok(number)
    }

    fn check_concurrency(&self, limits: &KeyLimits) -> Result<(), Over> {
        let Some(limit) = limits.concurrency.filter(|limit| self.open.len() >= limit.get() as usize) else {
            return Ok(());
        };
        // One of them ends about so soon.
        let next = self.usual.unwrap_or(Duration::from_secs(1)) / limit.get();
        Err(over(limit, "requests at the same time", next))
    }

    fn tokens_of(&mut self, number: u64, tokens: Tokens) {
        if let Some(open) = self.open.iter_mut().find(|open| open.number == number) {
            open.tokens = tokens;
        }
    }

    /// Ends a request.
    fn end(&mut self, number: u64, now: Instant) {
        self.count();
        let Some(at) = self.open.iter().position(|open| open.number == number) else { return };
        let took = now.saturating_duration_since(self.open.swap_remove(at).began);
        self.usual = Some(self.usual.map_or(took, |usual| (usual * 3 + took) / 4));
    }

    /// Takes the tokens that open requests have had since it was last called into the account.
    fn count(&mut self) {
        for open in &mut self.open {
            let spent = open.tokens.spent();
            self.tokens.taken += spent.saturating_sub(open.counted) as f64;
            open.counted = spent;
        }
    }
}

fn over(limit: NonZeroU32, of_what: &str, retry_after: Duration) -> Over {
    Over { limit: format!("{limit} {of_what}"), retry_after }
}

/// Holds what a minute gives, and is filled at that pace. What is taken may leave it in debt.
#[derive(Default)]
struct Bucket {
    /// Taken and not yet filled again.
    taken: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// Whether it has one.
    ///
    /// # Errors
    /// How long it takes until it has.
    fn check(&mut self, limit: NonZeroU32, now: Instant) -> Result<(), Duration> {
        let limit = f64::from(limit.get());
        let since = self.filled.replace(now).map_or(0.0, |then| now.saturating_duration_since(then).as_secs_f64());
        self.taken = (self.taken - since * limit / MINUTE).max(0.0);
        let missing = self.taken + 1.0 - limit;
        // Less is an error of rounding.
        if missing < 1e-6 {
            return Ok(());
        }
        Err(Duration::try_from_secs_f64(missing * MINUTE / limit).unwrap_or(Duration::MAX))
    }
}

/// A request that a key's limits let in; its place is free again when this is dropped.
pub(crate) struct Admission {
    key: Arc<Key>,
    number: u64,
}

impl Admission {
    pub(super) fn new(key: Arc<Key>, number: u64) -> Admission {
        Admission { key, number }
    }

    /// Where the request's tokens are counted.
    pub(crate) fn count_in(&self, tokens: &Tokens) {
        self.key.usage().tokens_of(self.number, tokens.clone());
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        // tokio's clock, which tests pause.
        self.key.usage().end(self.number, tokio::time::Instant::now().into_std());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens at a second.
    enum Act {
        /// A request begins, and takes so many tokens before anything else happens.
        Begin(usize),
        /// The request with this number ends.
        End(u64),
    }
    use Act::{Begin, End};

    fn limits(requests: u32, tokens: u32, concurrency: u32) -> KeyLimits {
        let [requests_per_minute, tokens_per_minute, concurrency] =
            [requests, tokens, concurrency].map(NonZeroU32::new);
        KeyLimits { requests_per_minute, tokens_per_minute, concurrency }
    }

    /// Of requests that begin at these seconds these are refused: the place in `acts`, the limit, and the seconds to wait.
    #[track_caller]
    fn check(limits: &KeyLimits, acts: &[(u64, Act)], refused: &[(usize, &str, u64)]) {
        let (start, mut usage, mut found) = (Instant::now(), Usage::default(), Vec::new());
        for (at, (second, act)) in acts.iter().enumerate() {
            let now = start + Duration::from_secs(*second);
            match act {
                Begin(tokens) => match usage.admit(limits, now) {
                    Ok(number) => {
                        let counted = Tokens::default();
                        counted.read(*tokens);
                        usage.tokens_of(number, counted);
                    }
                    Err(over) => found.push((at, over.limit, over.retry_after.as_secs_f64().ceil() as u64)),
                },
                End(number) => usage.end(*number, now),
            }
        }
        let found: Vec<_> = found.iter().map(|(at, limit, wait)| (*at, limit.as_str(), *wait)).collect();
        assert_eq!(found, refused);
    }

    #[test]
    fn without_limits_nothing_is_refused() {
        let acts: Vec<_> = (0..100).map(|_| (0, Begin(1_000_000))).collect();
        check(&limits(0, 0, 0), &acts, &[]);
    }

    #[test]
    fn requests_come_at_their_pace() {
        // A minute's at once, then one every 20 seconds.
        let acts = [0, 0, 0, 1, 10, 20, 20, 41, 200, 200, 200, 200].map(|second| (second, Begin(0)));
        let words = "3 requests in a minute";
        check(&limits(3, 0, 0), &acts, &[(3, words, 19), (4, words, 10), (6, words, 20), (11, words, 20)]);
    }

    #[test]
    fn tokens_are_paid_when_they_are_known() {
        let words = "60 tokens in a minute";
        // 59 leave one: the next request is taken, and its 100 are a debt of 99.
        check(
            &limits(0, 60, 0),
            &[(0, Begin(59)), (0, Begin(100)), (0, Begin(0)), (99, Begin(0)), (100, Begin(0))],
            &[(2, words, 100), (3, words, 1)],
        );
        // What ends is counted once.
        check(
            &limits(0, 60, 0),
            &[(0, Begin(50)), (1, End(0)), (1, Begin(0)), (1, End(1)), (2, Begin(10)), (2, Begin(0))],
            &[],
        );
    }

    #[test]
    fn places_are_given_back() {
        let words = "2 requests at the same time";
        let acts = [
            (0, Begin(0)),
            (0, Begin(0)),
            (0, Begin(0)),
            (40, End(0)),
            (40, Begin(0)),
            (40, Begin(0)),
            (40, End(0)),
            (40, Begin(0)),
        ];
        // Before any has ended a second is a guess; then half of the 40 seconds that one took.
        check(&limits(0, 0, 2), &acts, &[(2, words, 1), (5, words, 20), (7, words, 20)]);
    }
}
