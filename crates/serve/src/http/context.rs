//! What a request is called, here and elsewhere: its name, and its place in a trace (W3C Trace Context, level 2).

use std::hash::{BuildHasher, Hasher};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use telemetry::Trace;

use super::log::unique;

/// Letters of a name that a client gives at most.
const LONGEST: usize = 128;

/// A request's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The client's `x-request-id`, or one that no other request has.
    pub(crate) id: String,
    /// The trace that it is part of.
    pub(crate) trace: u128,
    /// The client's span, if it has one.
    pub(crate) parent: Option<u64>,
    /// This request's span.
    pub(crate) span: u64,
    /// Whether the client keeps the trace; so does who has not said.
    pub(crate) sampled: bool,
}

impl Context {
    /// What a request's headers say of it; the rest is made up.
    pub(crate) fn of(headers: &HeaderMap) -> Context {
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(parent);
        let id = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let id = id.filter(|id| (1..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
        let made_up = || u128::from(chance()) << 64 | u128::from(chance());
        Context {
            id: id.map_or_else(|| unique("req"), str::to_owned),
            trace: parent.map_or_else(made_up, |(trace, ..)| trace),
            parent: parent.map(|(_, parent, _)| parent),
            span: chance(),
            sampled: parent.is_none_or(|(.., sampled)| sampled),
        }
    }

    /// Its place in the trace, of a request to this path.
    pub(crate) fn trace(&self, path: &str) -> Trace {
        let operation = match path {
            _ if path.contains("embed") => "embeddings",
            _ if path.ends_with("/completions") && !path.contains("chat") || path.ends_with("/generate") => {
                "text_completion"
            }
            _ => "chat",
        };
        let Context { trace, span, parent, sampled, .. } = *self;
        Trace { trace, span, parent, sampled, operation }
    }

    /// Tells the client: `x-request-id` and `traceresponse`.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let flags = u8::from(self.sampled);
        let response = format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span);
        for (name, value) in [("x-request-id", &self.id), ("traceresponse", &response)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// The trace, the span and whether it is sampled, of a `traceparent`. Versions to come begin as this one does.
fn parent(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.trim().split('-');
    let mut part = |length: usize| {
        let part = parts.next()?;
        let hex = part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        hex.then_some(part)
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
    let valid = version != "ff" && trace != 0 && span != 0 && (version != "00" || parts.next().is_none());
    valid.then_some((trace, span, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}

/// A number that is not zero.
fn chance() -> u64 {
    std::hash::RandomState::new().build_hasher().finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_are_read() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let known = Some((0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331, true));
        for (text, expected) in [
            (format!("00-{trace}-{span}-01"), known),
            (format!("00-{trace}-{span}-00"), known.map(|(trace, span, _)| (trace, span, false))),
            (format!("cc-{trace}-{span}-01-what-comes-later"), known),
            (format!("00-{trace}-{span}-01-more"), None),
            (format!("ff-{trace}-{span}-01"), None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{span}-01", trace.to_uppercase()), None),
            (format!("00-{trace}-{span}"), None),
            (format!("00-{trace}-{span}-+1"), None),
            (String::new(), None),
        ] {
            assert_eq!(parent(&text), expected, "{text}");
        }
    }

    #[test]
    fn clients_may_name_their_requests() {
        let name = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_str(given).expect("a header"));
            Context::of(&headers).id == given
        };
        assert!(name("mine-1") && name(&"x".repeat(LONGEST)));
        assert!(!name("") && !name("two words") && !name(&"x".repeat(LONGEST + 1)));
    }

    #[test]
    fn answers_say_where_they_belong() {
        let mut headers = HeaderMap::new();
        let context = Context { id: "r".to_owned(), trace: 1, parent: None, span: 2, sampled: true };
        context.tell(&mut headers);
        let told = "00-00000000000000000000000000000001-0000000000000002-01";
        assert_eq!(
            (&headers["x-request-id"], &headers["traceresponse"]),
            (&"r".parse().unwrap(), &told.parse().unwrap())
        );
        let (one, other) = (Context::of(&headers), Context::of(&HeaderMap::new()));
        assert!(one.trace != other.trace && one.span != other.span && other.sampled);
    }
}
