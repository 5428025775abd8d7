//! Who may use the server from a browser: the names it goes by, and the pages that may ask it.
//!
//! A browser lets every page send requests to a server on the person's own machine. It tells whose page it is (`Origin`), and
//! by which name it found the server (`Host`): a name that a stranger's page brought along and let point here is none of
//! ours. Programs send no `Origin`, and are asked for a known `Host` only where they could be a browser on this machine.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Settings;
use crate::{Keys, Kind, Problem, wire};

/// Names and pages that are allowed beside the usual: loopback names, and the address that a connection came to; and whose key
/// is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    hosts: Vec<HostPattern>,
    origins: Vec<OriginPattern>,
    /// `None`: nobody is asked for a key.
    pub(super) keys: Option<Keys>,
}

/// An allowed `Host`, whatever its port.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Name(String),
    /// Names that end with this, which begins with a dot.
    Below(String),
}

/// An allowed `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginPattern {
    Any,
    /// What sandboxed pages and local files send.
    Null,
    One {
        scheme: String,
        host: HostPattern,
        port: Option<u16>,
    },
}

/// Headers of answers that pages may read.
const EXPOSED: &str = "retry-after, x-request-id, x-whinchat-variant, x-whinchat-fallback";

/// The end of a connection on this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    Tcp(IpAddr),
    Unix,
}

/// Whether a request came by a connection that stays on this machine.
pub(crate) fn is_local(extensions: &Extensions) -> bool {
    match extensions.get::<Local>() {
        Some(Local::Tcp(ip)) => ip.is_loopback(),
        Some(Local::Unix) => true,
        None => false,
    }
}

impl Access {
    /// Of names (`name`, `*.domain`, `*`) and of origins (`https://name`, `http://name:8080`, `https://*.domain`, `null`, `*`).
    ///
    /// # Errors
    /// If one is not of these forms; the text says what is wrong with it.
    pub fn new<S: AsRef<str>>(hosts: &[S], origins: &[S]) -> Result<Access, String> {
        Ok(Access {
            hosts: hosts.iter().map(|text| HostPattern::parse(text.as_ref())).collect::<Result<_, _>>()?,
            origins: origins.iter().map(|text| OriginPattern::parse(text.as_ref())).collect::<Result<_, _>>()?,
            keys: None,
        })
    }

    /// Answers only who shows one of these keys; the page, its files and /health are there for all.
    pub fn with_keys(self, keys: Keys) -> Access {
        Access { keys: Some(keys), ..self }
    }

    /// Whether a request may pass: `Some` origin if its page must be told so by CORS.
    fn check(&self, head: &Head, local: Local) -> Result<Option<HeaderValue>, Problem> {
        let known = head.hosts.iter().all(|host| self.knows(host, local));
        let stranger = || head.hosts.iter().find(|host| !self.knows(host, local)).map_or("", |host| host.host());
        let from_here = matches!(local, Local::Tcp(ip) if ip.is_loopback());
        let Some(origin) = head.origin else {
            return if known || !from_here { Ok(None) } else { Err(foreign_host(stranger())) };
        };
        let text = origin.to_str().unwrap_or_default();
        let parsed = Origin::parse(text);
        if self.origins.iter().any(|pattern| pattern.fits(text, parsed.as_ref())) {
            return if known || !from_here { Ok(Some(origin.clone())) } else { Err(foreign_host(stranger())) };
        }
        match parsed.is_some_and(|origin| head.hosts.iter().all(|host| origin.is_at(host)) && !head.hosts.is_empty()) {
            true if known => Ok(None),
            true => Err(foreign_host(stranger())),
            false => Err(foreign_origin(text)),
        }
    }

    /// Whether the server goes by this name on this side of a connection.
    fn knows(&self, host: &Authority, local: Local) -> bool {
        let name = bare(host.host());
        let usual = match (name.parse::<IpAddr>(), local) {
            (Ok(ip), Local::Tcp(own)) if own.is_loopback() => ip.is_loopback(),
            // No one can make a browser take an address for another one.
            (Ok(_), _) => true,
            (Err(_), _) => name == "localhost" || name.ends_with(".localhost"),
        };
        usual || self.hosts.iter().any(|pattern| pattern.fits(&name))
    }
}

fn foreign_host(name: &str) -> Problem {
    let message = format!(
        "This server does not go by the name {name:?}. If it should, start it with --allowed-hosts {name} (or '*' for any)."
    );
    Problem::new(Kind::ForeignHost, message)
}

fn foreign_origin(origin: &str) -> Problem {
    let message = format!(
        "Pages of {origin:?} may not use this server. To let them, start it with --allowed-origins {origin} (or '*' for all)."
    );
    Problem::new(Kind::ForeignOrigin, message)
}

/// A name as it is compared: in lower case, without brackets and the root's dot.
fn bare(host: &str) -> String {
    let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl HostPattern {
    fn parse(text: &str) -> Result<HostPattern, String> {
        let wrong = || format!("{text:?} is no name of a host: write NAME, *.DOMAIN or *, without a port");
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        let (below, name) = match text.strip_prefix("*.").or(text.strip_prefix('.')) {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        let name = bare(name);
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !name.is_empty();
        match below {
            _ if name.parse::<IpAddr>().is_ok() && !below => Ok(HostPattern::Name(name)),
            _ if !plain => Err(wrong()),
            true => Ok(HostPattern::Below(format!(".{name}"))),
            false => Ok(HostPattern::Name(name)),
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Name(own) => own == name,
            HostPattern::Below(domain) => name.ends_with(domain.as_str()),
        }
    }
}

/// An origin: RFC 6454, section 6.1.
struct Origin<'a> {
    scheme: &'a str,
    host: String,
    port: Option<u16>,
}

impl Origin<'_> {
    fn parse(text: &str) -> Option<Origin<'_>> {
        let (scheme, rest) = text.split_once("://")?;
        let authority: Authority = rest.parse().ok()?;
        let port = authority.port_u16().or(default_port(scheme));
        Some(Origin { scheme, host: bare(authority.host()), port })
    }

    /// Whether it is that of a page that this host serves. TLS may end before us, so the scheme is not ours to know.
    fn is_at(&self, host: &Authority) -> bool {
        self.host == bare(host.host()) && self.port == host.port_u16().or(default_port(self.scheme))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl OriginPattern {
    fn parse(text: &str) -> Result<OriginPattern, String> {
        let wrong = || format!("{text:?} is no origin: write http://HOST:PORT, https://*.DOMAIN, null or *");
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "*" => return Ok(OriginPattern::Any),
            "null" => return Ok(OriginPattern::Null),
            _ => {}
        }
        let (scheme, rest) = lower.trim_end_matches('/').split_once("://").ok_or_else(wrong)?;
        let (below, rest) = rest.strip_prefix("*.").map_or((false, rest), |domain| (true, domain));
        let authority: Authority = rest.parse().map_err(|_| wrong())?;
        let host = if below { format!("*.{}", authority.host()) } else { authority.host().to_owned() };
        let host = HostPattern::parse(&host).map_err(|_| wrong())?;
        let port = authority.port_u16().or(default_port(scheme));
        Ok(OriginPattern::One { scheme: scheme.to_owned(), host, port })
    }

    fn fits(&self, text: &str, origin: Option<&Origin>) -> bool {
        match self {
            OriginPattern::Any => true,
            OriginPattern::Null => text == "null",
            OriginPattern::One { scheme, host, port } => {
                origin.is_some_and(|o| o.scheme.eq_ignore_ascii_case(scheme) && host.fits(&o.host) && o.port == *port)
            }
        }
    }
}

/// What of a request's head matters here.
struct Head<'a> {
    hosts: Vec<Authority>,
    origin: Option<&'a HeaderValue>,
}

impl<'a> Head<'a> {
    /// # Errors
    /// If it names a host that cannot be one.
    fn of(request: &'a Request) -> Result<Head<'a>, Problem> {
        let named = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
        let named = named.filter(|host| !host.is_empty()).map(Authority::try_from);
        let hosts = request.uri().authority().cloned().map(Ok).into_iter().chain(named);
        let wrong =
            |_| Problem::of(Kind::Ask(answer::Kind::InvalidValue), "host", "The Host header is no host's name.");
        let hosts = hosts.collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Head { hosts, origin: request.headers().get(header::ORIGIN) })
    }
}

/// Lets a request pass or refuses it; answers what browsers ask before a page's request (CORS, Fetch standard, section 3.2).
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let settings = Settings::of(request.extensions());
    let local = request.extensions().get::<Local>().copied().unwrap_or(Local::Unix);
    let allowed = Head::of(&request).and_then(|head| settings.access.check(&head, local));
    let origin = match allowed {
        Ok(None) => return next.run(request).await,
        Ok(Some(origin)) => origin,
        Err(problem) => {
            tracing::warn!("refused: {problem}");
            return wire::problem(request.uri().path(), &problem);
        }
    };
    let asks_first =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match asks_first {
        true => consent(request.headers()),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

/// Allows what is asked for: no header and no method does more here than the page may do anyhow.
fn consent(asked: &HeaderMap) -> Response {
    const PRIVATE_ASKED: HeaderName = HeaderName::from_static("access-control-request-private-network");
    const PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");
    let pairs = [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        (PRIVATE_ASKED, PRIVATE),
    ];
    let mut response = (StatusCode::NO_CONTENT, [(header::ACCESS_CONTROL_MAX_AGE, "600")]).into_response();
    for (asks, allows) in pairs {
        if let Some(value) = asked.get(asks) {
            response.headers_mut().insert(allows, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a request with these headers (none if empty) that comes to this address.
    fn outcome(access: &Access, local: &str, host: &str, origin: &str) -> &'static str {
        let origin = (!origin.is_empty()).then(|| HeaderValue::from_str(origin).expect("a value"));
        let hosts = (!host.is_empty()).then(|| host.parse().expect("a host")).into_iter().collect();
        let local = local.parse().map_or(Local::Unix, Local::Tcp);
        match access.check(&Head { hosts, origin: origin.as_ref() }, local) {
            Ok(None) => "passes",
            Ok(Some(told)) => {
                assert_eq!(Some(told), origin);
                "passes, is told"
            }
            Err(Problem { kind: Kind::ForeignHost, .. }) => "host",
            Err(Problem { kind: Kind::ForeignOrigin, .. }) => "origin",
            Err(problem) => panic!("{problem}"),
        }
    }

    #[rustfmt::skip]
    #[test]
    fn names_and_pages() {
        let here = |hosts: &[&str], origins: &[&str]| Access::new(hosts, origins).expect("they can be read");
        let check = |access: &Access, local: &str, host: &str, origin: &str, wanted: &str| {
            assert_eq!(outcome(access, local, host, origin), wanted, "{host} asked by {origin:?} at {local}");
        };

        let usual = here(&[], &[]);
        for name in ["localhost", "localhost:8000", "LocalHost.", "a.localhost:1", "127.0.0.1:8000", "127.8.8.8", "[::1]:8000", ""] {
            check(&usual, "127.0.0.1", name, "", "passes");
        }
        for name in ["evil.example", "evil.example:8000", "localhost.evil.example", "notlocalhost", "10.1.2.3", "0.0.0.0:8000"] {
            check(&usual, "127.0.0.1", name, "", "host");
            check(&usual, "::1", name, "", "host");
        }
        check(&usual, "127.0.0.1", "localhost:8000", "http://localhost:8000", "passes");
        check(&usual, "127.0.0.1", "localhost",      "http://localhost",      "passes");
        check(&usual, "127.0.0.1", "localhost:443",  "https://localhost",     "passes");
        check(&usual, "::1",       "[::1]:8000",     "http://[::1]:8000",     "passes");
        check(&usual, "127.0.0.1", "localhost:8000", "http://localhost:3000", "origin");
        check(&usual, "127.0.0.1", "localhost:8000", "http://127.0.0.1:8000", "origin");
        check(&usual, "127.0.0.1", "localhost:8000", "https://evil.example",  "origin");
        check(&usual, "127.0.0.1", "localhost:8000", "null",                  "origin");
        check(&usual, "127.0.0.1", "localhost:8000", "nonsense",              "origin");
        check(&usual, "127.0.0.1", "",               "http://localhost",      "origin");
        // A stranger's name that was made to point here.
        check(&usual, "127.0.0.1", "evil.example:8000", "http://evil.example:8000", "host");
        // From elsewhere programs come by whatever name, pages only by one that is known, or an address.
        for local in ["10.1.2.3", "unix"] {
            check(&usual, local, "gpu-box:8000",  "",                     "passes");
            check(&usual, local, "10.1.2.3:8000", "http://10.1.2.3:8000", "passes");
            check(&usual, local, "gpu-box:8000",  "http://gpu-box:8000",  "host");
            check(&usual, local, "gpu-box:8000",  "http://evil.example",  "origin");
        }

        let names = here(&["gpu-box", "*.example.com", "10.9.9.9"], &[]);
        check(&names, "127.0.0.1", "gpu-box:8000",    "",                       "passes");
        check(&names, "127.0.0.1", "GPU-BOX",         "http://gpu-box",         "passes");
        check(&names, "127.0.0.1", "a.b.example.com", "https://a.b.example.com", "passes");
        check(&names, "127.0.0.1", "10.9.9.9",        "",                       "passes");
        check(&names, "127.0.0.1", "example.com",     "",                       "host");
        check(&names, "127.0.0.1", "notexample.com",  "",                       "host");
        check(&names, "10.1.2.3",  "gpu-box",         "http://gpu-box",         "passes");
        check(&names, "127.0.0.1", "gpu-box",         "http://evil.example",    "origin");
        let any = here(&["*"], &[]);
        check(&any, "127.0.0.1", "evil.example", "http://evil.example",  "passes");
        check(&any, "127.0.0.1", "evil.example", "http://other.example", "origin");

        let pages = here(&[], &["http://localhost:3000/", "HTTPS://*.example.com", "null", "app://obsidian.md"]);
        check(&pages, "127.0.0.1", "localhost", "http://localhost:3000",      "passes, is told");
        check(&pages, "127.0.0.1", "localhost", "https://a.example.com",      "passes, is told");
        check(&pages, "127.0.0.1", "localhost", "https://a.example.com:443",  "passes, is told");
        check(&pages, "127.0.0.1", "localhost", "app://obsidian.md",          "passes, is told");
        check(&pages, "127.0.0.1", "localhost", "null",                       "passes, is told");
        check(&pages, "127.0.0.1", "localhost", "http://localhost",           "passes");
        check(&pages, "127.0.0.1", "localhost", "http://a.example.com",       "origin");
        check(&pages, "127.0.0.1", "localhost", "https://example.com",        "origin");
        check(&pages, "127.0.0.1", "localhost", "https://a.example.com:8443", "origin");
        check(&pages, "127.0.0.1", "evil.example", "http://localhost:3000",   "host");
        check(&pages, "10.1.2.3",  "gpu-box",   "http://localhost:3000",      "passes, is told");
        let all = here(&[], &["*"]);
        check(&all, "127.0.0.1", "localhost", "https://evil.example", "passes, is told");
        check(&all, "127.0.0.1", "localhost", "null",                 "passes, is told");
        check(&all, "127.0.0.1", "evil.example", "http://evil.example", "host");
    }

    #[test]
    fn what_is_no_name_or_origin_is_refused() {
        for host in ["", "http://a", "a:80", "a b", "*.", "a/b", "*a"] {
            assert!(Access::new(&[host], &[]).is_err_and(|why| why.contains(&format!("{host:?}"))), "{host:?}");
        }
        for origin in ["", "a.example", "http://", "http://a b", "//a"] {
            assert!(Access::new(&[], &[origin]).is_err_and(|why| why.contains(&format!("{origin:?}"))), "{origin:?}");
        }
    }
}
