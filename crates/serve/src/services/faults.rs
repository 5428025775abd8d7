//! Faults of a service on purpose: for a time its answers are late, errors, wrong, or do not come at all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Refusal;

/// How long a fault lasts where nothing is said, and at most; and how many there may be.
const LASTS: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
const MOST: usize = 64;

/// What is done to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Harm {
    /// The answer comes so many milliseconds later.
    Delay { ms: u64 },
    /// The answer is an error with this status.
    Error { status: u16, message: Option<String> },
    /// The answer is JSON that says nothing.
    Wrong,
    /// The connection is closed in place of an answer.
    Cut,
}

/// A fault as it is ordered.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wish {
    #[serde(flatten)]
    harm: Harm,
    /// Whom it hits: calls of this path, or all.
    path: Option<String>,
    /// Calls that it hits at most.
    times: Option<u64>,
    /// Seconds that it lasts.
    lasts: Option<f64>,
}

/// A fault that lasts.
#[derive(Clone, Debug)]
struct Fault {
    id: u64,
    harm: Harm,
    path: Option<String>,
    times: Option<u64>,
    until: Instant,
    hits: u64,
}

/// The faults of a service.
#[derive(Debug)]
pub(super) struct Faults {
    /// Whether there may be any.
    are_allowed: bool,
    state: Mutex<(u64, Vec<Fault>)>,
}

/// Each kind, what orders it, what a caller sees, and what it should do.
const KINDS: [(&str, &str, &str, &str); 4] = [
    (
        "delay",
        r#"{ "kind": "delay", "ms": 250, "path": null, "times": 3, "lasts": 60 }"#,
        "The answer comes so much later.",
        "Wait, but not longer than its own patience (--service-timeout); then take the service for lost, as whinchat serve does.",
    ),
    (
        "error",
        r#"{ "kind": "error", "status": 503, "message": "the disk is full", "times": 1 }"#,
        "An error of this status, with the code injected_fault.",
        "End what depends on the answer with a clear error, and ask again for the next request. 409 means: the state is not what you think; begin a new session.",
    ),
    (
        "wrong",
        r#"{ "kind": "wrong", "times": 1 }"#,
        "An answer of status 200 that is an empty object.",
        "Check each answer before using it; one that lacks what was asked for is as good as none.",
    ),
    (
        "cut",
        r#"{ "kind": "cut", "times": 1 }"#,
        "The connection is closed and no answer comes.",
        "Do not ask the same again where the state may have changed: begin a new session.",
    ),
];

impl Faults {
    /// None yet; whether there may be any.
    pub(super) fn new(are_allowed: bool) -> Faults {
        Faults { are_allowed, state: Mutex::default() }
    }

    /// What befalls a call of this path now.
    pub(super) fn strike(&self, path: &str) -> Option<Harm> {
        if !self.are_allowed {
            return None;
        }
        let now = Instant::now();
        let hits = |fault: &&mut Fault| {
            let again = fault.times.is_none_or(|most| fault.hits < most);
            again && fault.until > now && fault.path.as_deref().is_none_or(|only| only == path)
        };
        let mut state = self.lock();
        let fault = state.1.iter_mut().find(hits)?;
        fault.hits += 1;
        Some(fault.harm.clone())
    }

    /// Injects a fault from now on.
    ///
    /// # Errors
    /// If none may be injected, or not this one.
    pub(super) fn inject(&self, wish: Wish) -> Result<Value, Refusal> {
        if !self.are_allowed {
            let message = "This service injects no faults: start it with --allow-faults.";
            return Err(Refusal::new(403, "faults_not_allowed", message));
        }
        let Wish { harm, path, times, lasts } = wish;
        if let Harm::Error { status, .. } = &harm
            && !(400..600).contains(status)
        {
            return Err(Refusal::invalid(format!("status: {status} is no error; write 400 to 599.")));
        }
        let lasts = lasts.map_or(Some(LASTS), |seconds| Duration::try_from_secs_f64(seconds).ok());
        let lasts = lasts.filter(|lasts| *lasts <= LONGEST && !lasts.is_zero());
        let lasts = lasts.ok_or_else(|| Refusal::invalid("lasts: write seconds, more than 0 and at most 3600."))?;
        let mut state = self.lock();
        let (numbered, all) = &mut *state;
        let now = Instant::now();
        all.retain(|fault| fault.until > now);
        if all.len() >= MOST {
            return Err(Refusal::invalid(format!("{MOST} faults last already; DELETE /faults ends them.")));
        }
        *numbered += 1;
        let fault = Fault { id: *numbered, harm, path, times, until: now + lasts, hits: 0 };
        let told = fault.told(now);
        all.push(fault);
        Ok(told)
    }

    /// Ends all.
    pub(super) fn heal(&self) -> Value {
        json!({ "ended": std::mem::take(&mut self.lock().1).len() })
    }

    /// Those that last, and what there can be.
    pub(super) fn told(&self) -> Value {
        let kinds = KINDS.map(|(kind, order, seen, due)| {
            let request: Value = serde_json::from_str(order).unwrap_or_default();
            json!({ "kind": kind, "request": request, "what_the_caller_sees": seen, "what_the_caller_should_do": due })
        });
        json!({ "allowed": self.are_allowed, "faults": self.lasting(), "kinds": kinds })
    }

    pub(super) fn lasting(&self) -> Vec<Value> {
        let now = Instant::now();
        self.lock().1.iter().filter(|fault| fault.until > now).map(|fault| fault.told(now)).collect()
    }

    /// A panic while it is held leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Fault>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    fn told(&self, now: Instant) -> Value {
        let Fault { id, harm, path, times, until, hits } = self;
        let ends_in = until.saturating_duration_since(now).as_secs_f64();
        let mut told = json!({ "id": id, "path": path, "times": times, "ends_in": ends_in, "hits": hits });
        if let (Value::Object(told), Ok(Value::Object(harm))) = (&mut told, serde_json::to_value(harm)) {
            told.extend(harm);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Wish {
        serde_json::from_str(text).expect(text)
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_hits_whom_it_names_as_often_as_it_says_and_as_long() {
        let faults = Faults::new(true);
        faults.inject(wish(r#"{ "kind": "delay", "ms": 5, "path": "/encode", "times": 2 }"#)).expect("it may be");
        assert_eq!(faults.strike("/decode"), None);
        for _ in 0..2 {
            assert_eq!(faults.strike("/encode"), Some(Harm::Delay { ms: 5 }));
        }
        assert_eq!(faults.strike("/encode"), None);
        faults.inject(wish(r#"{ "kind": "cut", "lasts": 1.5 }"#)).expect("it may be");
        assert_eq!(faults.strike("/decode"), Some(Harm::Cut));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(faults.strike("/decode"), None);
    }

    #[test]
    fn what_cannot_be_is_refused_and_nothing_is_injected_where_it_may_not() {
        let check = |allowed: bool, text: &str, code: &str| {
            let faults = Faults::new(allowed);
            assert_eq!(faults.inject(wish(text)).expect_err(text).code, code, "{text}");
            assert!(faults.lasting().is_empty());
        };
        check(false, r#"{ "kind": "cut" }"#, "faults_not_allowed");
        check(true, r#"{ "kind": "error", "status": 200 }"#, "invalid_value");
        for lasts in ["0", "-1", "1e9", "1e300"] {
            check(true, &format!(r#"{{ "kind": "wrong", "lasts": {lasts} }}"#), "invalid_value");
        }
    }

    #[test]
    fn the_examples_of_all_kinds_can_be_ordered() {
        let faults = Faults::new(true);
        for (kind, order, ..) in KINDS {
            let told = faults.inject(wish(order)).expect(order);
            assert_eq!(told["kind"], kind);
        }
        assert_eq!((faults.lasting().len(), faults.heal()), (KINDS.len(), json!({ "ended": KINDS.len() })));
    }
}
