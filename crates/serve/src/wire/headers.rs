//! Headers of a request that say how it is served among others, whatever the dialect. A field of the body has the last word.

use std::time::Duration;

use answer::{Ask, Kind, Priority, Problem};
use axum::http::HeaderMap;

use super::fields::urgency;

/// What the headers say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Urgency {
    priority: Option<Priority>,
    time_limit: Option<Duration>,
}

impl Urgency {
    /// Reads `X-Priority` and `X-Request-Timeout-Ms`.
    ///
    /// # Errors
    /// If one of them is there and has no meaning.
    pub(super) fn of(headers: &HeaderMap) -> Result<Urgency, Problem> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
        let priority = text("x-priority").map(|word| urgency("X-Priority", word)).transpose()?;
        let time_limit = text("x-request-timeout-ms").map(|millis| {
            let limit = millis.parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis);
            let message =
                format!("X-Request-Timeout-Ms must be a number of milliseconds from 1 on, but it is `{millis}`.");
            limit.ok_or_else(|| Problem::of(Kind::InvalidValue, "X-Request-Timeout-Ms", message))
        });
        Ok(Urgency { priority, time_limit: time_limit.transpose()? })
    }

    /// Adds it to a request that says nothing of it.
    pub(super) fn apply(self, ask: &mut Ask) {
        let service = &mut ask.service;
        if service.priority == Priority::Normal {
            service.priority = self.priority.unwrap_or_default();
        }
        service.time_limit = service.time_limit.or(self.time_limit);
    }
}

/// Letters of a stream's key at most.
const LONGEST_KEY: usize = 256;

/// Reads `X-Stream-Key`: whoever comes again with it finds the stream that it names, where streams are kept.
///
/// # Errors
/// If it is no text, or too long.
pub(super) fn stream_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("x-stream-key") else { return Ok(None) };
    let message = format!("X-Stream-Key must be a text of 1 to {LONGEST_KEY} ASCII letters.");
    let key = key.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::of(Kind::InvalidValue, "X-Stream-Key", message))
}
