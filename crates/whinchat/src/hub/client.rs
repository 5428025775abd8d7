//! Asking the hub: with time limits, and again where that may help.

use std::time::Duration;

use ureq::http::{HeaderMap, header};

use super::{Hub, HubError};
use crate::Progress;

/// How often something is tried before giving up.
const TRIES: u32 = 5;

/// Asks one hub.
pub(super) struct Client<'a> {
    pub(super) hub: &'a Hub,
    pub(super) progress: Progress<'a>,
    agent: ureq::Agent,
}

/// Why an answer did not come, or not whole.
pub(super) enum Trouble {
    /// The line broke, or nothing came.
    Line(String),
    /// The server does not want to now.
    Busy { status: u16, after: Option<Duration> },
    /// Trying again will not help.
    Lasting(HubError),
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub, progress: Progress<'a>) -> Result<Client<'a>, HubError> {
        check_proxy(|name| std::env::var_os(name).and_then(|value| value.into_string().ok()))?;
        let agent = ureq::Agent::config_builder()
            .user_agent(concat!("whinchat/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(hub.patience.stall))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Client { hub, agent, progress })
    }

    /// Asks for `url` from byte `from` on; `what` is named in errors.
    pub(super) fn get(&self, what: &str, url: &str, from: u64) -> Result<ureq::http::Response<ureq::Body>, Trouble> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.hub.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let response = request.call().map_err(|e| Trouble::Line(line_text(&e, self.hub.patience.stall)))?;
        let (id, endpoint) = (what.to_owned(), self.hub.endpoint.clone());
        match response.status().as_u16() {
            200 | 206 => Ok(response),
            status @ (401 | 403 | 404 | 410) => Err(Trouble::Lasting(HubError::Refused { id, endpoint, status })),
            status @ (408 | 429 | 500..) => Err(Trouble::Busy { status, after: retry_after(response.headers()) }),
            status => {
                let why = format!("HTTP {status} for {url}");
                Err(Trouble::Lasting(HubError::Answer { id, why }))
            }
        }
    }

    /// Does something until it works, or trying again does not help. `attempt` says in its error whether it got further.
    pub(super) fn insist<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, (Trouble, bool)>,
    ) -> Result<T, HubError> {
        let mut failures = 0;
        loop {
            let (trouble, further) = match attempt() {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            failures = if further { 1 } else { failures + 1 };
            let pause = Duration::from_secs(1 << (failures - 1));
            let pause = match &trouble {
                Trouble::Busy { after: Some(after), .. } => *after,
                Trouble::Busy { .. } | Trouble::Line(_) => pause,
                Trouble::Lasting(_) => Duration::MAX,
            };
            if failures >= TRIES || pause > self.hub.patience.longest_wait {
                return Err(self.failed(what, trouble));
            }
            (self.progress)(&format!("{}: again in {} s", short(&trouble), pause.as_secs()), 0, 0);
            (self.hub.patience.wait)(pause);
        }
    }

    pub(super) fn failed(&self, what: &str, trouble: Trouble) -> HubError {
        let (id, endpoint) = (what.to_owned(), self.hub.endpoint.clone());
        match trouble {
            Trouble::Line(why) => HubError::Unreachable { id, endpoint, why },
            Trouble::Busy { status, after } => HubError::Busy { id, endpoint, status, after },
            Trouble::Lasting(error) => error,
        }
    }
}

fn short(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Busy { status, .. } => format!("the hub is busy (HTTP {status})"),
        Trouble::Line(_) | Trouble::Lasting(_) => "the line broke".into(),
    }
}

/// What went wrong on the line, in words.
pub(super) fn line_text(error: &(dyn std::error::Error + 'static), stall: Duration) -> String {
    let timeout = |error: &ureq::Error| matches!(error, ureq::Error::Timeout(ureq::Timeout::PerRead));
    let stalled = match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(timeout),
        None => error.downcast_ref().is_some_and(timeout),
    };
    if stalled { format!("nothing came for {} s", stall.as_secs_f64()) } else { error.to_string() }
}

/// RFC 9110, section 10.2.3: seconds, or a date, which is compared with the server's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (then, now) = (httpdate::parse_http_date(after).ok()?, httpdate::parse_http_date(text(header::DATE)?).ok()?);
    Some(then.duration_since(now).unwrap_or_default())
}

/// Where ureq looks for a proxy. What it does not understand there it passes over in silence.
const PROXIES: [&str; 6] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

fn check_proxy(value: impl Fn(&str) -> Option<String>) -> Result<(), HubError> {
    let set = |variable| value(variable).filter(|value| !value.is_empty()).map(|value| (variable, value));
    match PROXIES.into_iter().find_map(set) {
        Some((variable, value)) if ureq::Proxy::new(&value).is_err() => Err(HubError::Proxy { variable }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_cannot_be_used_is_not_passed_over() {
        let check = |variable: &str, value: &str, works: bool| {
            let checked = check_proxy(|name| (name == variable).then(|| value.to_owned()));
            assert_eq!(checked.is_ok(), works, "{variable}={value}: {checked:?}");
        };
        for works in ["http://proxy:3128", "proxy:3128", "socks5h://user:secret@proxy", "socks4://[::1]:1080", ""] {
            check("ALL_PROXY", works, true);
        }
        check("https_proxy", "ftp://proxy:21", false);
        check("HTTPS_PROXY", "http://", false);
        check("UNRELATED", "ftp://proxy", true);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let check = |after: &str, wanted: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::DATE, "Fri, 31 Dec 1999 23:59:50 GMT".parse().expect("a value"));
            headers.insert(header::RETRY_AFTER, after.parse().expect("a value"));
            assert_eq!(retry_after(&headers), wanted.map(Duration::from_secs), "{after}");
        };
        check("7", Some(7));
        check("Fri, 31 Dec 1999 23:59:59 GMT", Some(9));
        check("Fri, 31 Dec 1999 23:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
