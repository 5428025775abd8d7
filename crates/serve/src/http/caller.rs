//! Who asks: the key that a request shows, whether its role is enough, and whether its limits let it in.

use std::convert::Infallible;
use std::sync::Arc;

use answer::Ask;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::log::Tokens;
use super::{Settings, body};
use crate::keys::{Admission, Key, Keys, Need, Over, Role};
use crate::{Kind, Problem, wire};

/// The holder of the key that a request came with, if the server has keys. While there is a clone of it, the request has its
/// place among those of the key.
#[derive(Clone, Default)]
pub(crate) struct Caller(Option<(Arc<Key>, Option<Arc<Admission>>)>);

impl Caller {
    /// Who sent the request of which these are the extensions, or those of its answer.
    pub(crate) fn of(extensions: &Extensions) -> Caller {
        extensions.get::<Caller>().cloned().unwrap_or_default()
    }

    /// The name of the key.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.0.as_ref().map(|(key, _)| Arc::clone(&key.name))
    }

    /// The salt that stands for `salt` within what this caller has: nobody finds in the KV cache what others sent.
    pub(crate) fn salt(&self, salt: Option<&str>) -> Option<String> {
        match (self.name(), salt) {
            // A name has no slash: no salt of one is that of another.
            (Some(name), Some(salt)) => Some(format!("{name}/{salt}")),
            (Some(name), None) => Some(name.to_string()),
            (None, salt) => salt.map(str::to_owned),
        }
    }

    /// Whether what belongs to all callers is its business: it may say how long models stay in memory, and see what others keep.
    pub(crate) fn commands(&self) -> bool {
        self.0.as_ref().is_none_or(|(key, _)| key.role == Role::Admin)
    }

    /// Lets a request in that the holder of a key of this name has left behind, as if it came now; its tokens are counted in `tokens`.
    /// A server without keys asks nobody.
    ///
    /// # Errors
    /// If there is no key of the name any more, or its limits do not let it in now.
    #[cfg(feature = "batches")]
    pub(crate) fn left_behind(keys: Option<&Keys>, name: &str, tokens: &Tokens) -> Result<Caller, Problem> {
        let Some(keys) = keys else { return Ok(Caller::default()) };
        let gone = || Problem::new(Kind::UnknownKey, format!("The key {name}, whose request this is, was revoked."));
        let key = keys.named(name).ok_or_else(gone)?;
        let admission = admitted(&key, tokens)?;
        Ok(Caller(Some((key, Some(admission)))))
    }

    /// Asks on behalf of this caller.
    pub(crate) fn apply(&self, ask: &mut Ask) {
        let service = &mut ask.service;
        if let Some(name) = self.name() {
            service.tenant = Some(name.to_string());
        }
        service.cache_salt = self.salt(service.cache_salt.as_deref());
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Caller, Infallible> {
        Ok(Caller::of(&head.extensions))
    }
}

/// Lets a request pass that shows a key that is enough for it, or refuses it.
pub(super) async fn guard(mut request: Request, next: Next) -> Response {
    let settings = Settings::of(request.extensions());
    let need = Need::of(request.uri().path());
    let Some(keys) = settings.access.keys.as_ref().filter(|_| need != Need::Nothing) else {
        return next.run(request).await;
    };
    let key = match holder(keys, request.headers()) {
        Ok(key) => key,
        Err(problem) => return challenge(wire::problem(request.uri().path(), &problem)),
    };
    let caller = match admit(&key, need, &request) {
        Ok(admission) => Caller(Some((key, admission))),
        Err(problem) => return told(refuse(request, &problem).await, Caller(Some((key, None)))),
    };
    request.extensions_mut().insert(caller.clone());
    let name = Caller(caller.0.clone().map(|(key, _)| (key, None)));
    let response = next.run(request).await.map(|answer| body::with(answer, caller));
    told(response, name)
}

/// The key that these headers show: as OpenAI's and Ollama's clients do, as Anthropic's do, or as a browser does that asked its
/// user.
fn holder(keys: &Keys, headers: &HeaderMap) -> Result<Arc<Key>, Problem> {
    let mut shown = shown(headers).peekable();
    if shown.peek().is_none() {
        let message = "This server wants a key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.";
        return Err(Problem::new(Kind::NoKey, message));
    }
    shown.find_map(|key| keys.find(&key)).ok_or_else(|| {
        Problem::new(
            Kind::UnknownKey,
            "This is no key of the server, or it was revoked. whinchat key create makes one.",
        )
    })
}

/// All that may be keys.
fn shown(headers: &HeaderMap) -> impl Iterator<Item = Vec<u8>> {
    let named = headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii().to_vec());
    headers.get_all(header::AUTHORIZATION).iter().filter_map(authorized).chain(named)
}

/// The key in an `Authorization` header (RFC 9110, section 11.4): a bearer's token, or a password.
fn authorized(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.as_bytes().to_vec());
    }
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(rest).ok())??;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    // A person may write it into either field.
    Some(if password.is_empty() { user } else { password }.to_vec())
}

/// Takes a request in. Only those that compute are counted.
fn admit(key: &Arc<Key>, need: Need, request: &Request) -> Result<Option<Arc<Admission>>, Problem> {
    if !key.role.may(need) {
        let (name, role) = (&key.name, key.role.name());
        let needed = need.roles();
        let message = format!("The key {name} has the role {role}; {} is for {needed}.", request.uri().path());
        return Err(Problem::new(Kind::Role, message));
    }
    if need != Need::Use || request.method() != Method::POST {
        return Ok(None);
    }
    admitted(key, request.extensions().get::<Tokens>().unwrap_or(&Tokens::default())).map(Some)
}

/// Takes one in that computes, and counts its tokens.
fn admitted(key: &Arc<Key>, tokens: &Tokens) -> Result<Arc<Admission>, Problem> {
    // tokio's clock, which tests pause.
    let admission = key.admit(tokio::time::Instant::now().into_std()).map_err(|over| limited(&key.name, over))?;
    admission.count_in(tokens);
    Ok(Arc::new(admission))
}

fn limited(name: &str, Over { limit, retry_after }: Over) -> Problem {
    let message = format!("The key {name} has at most {limit}, and has taken them. Try again later.");
    Problem { retry_after: Some(retry_after), ..Problem::new(Kind::KeyLimit, message) }
}

/// Refuses a request of somebody who has a key. Its body is read first: else the connection would be reset under the answer.
async fn refuse(request: Request, problem: &Problem) -> Response {
    let (head, content) = request.into_parts();
    let _ = body::read(&head, content).await;
    wire::problem(head.uri.path(), problem)
}

/// Says how a key is shown. A browser asks its user for a password then, and shows it from there on.
fn challenge(mut response: Response) -> Response {
    for way in ["Bearer realm=\"whinchat\"", "Basic realm=\"whinchat\", charset=\"UTF-8\""] {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(way));
    }
    response
}

/// The answer, which says whose it is to who logs it.
fn told(mut response: Response, caller: Caller) -> Response {
    response.extensions_mut().insert(caller);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyFile;

    #[test]
    fn keys_are_shown_in_several_ways() {
        let check = |headers: &[(&'static str, &str)], wanted: &[&str]| {
            let pairs =
                headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            let found: Vec<_> = shown(&pairs.collect()).collect();
            assert_eq!(found, wanted.iter().map(|key| key.as_bytes()).collect::<Vec<_>>(), "{headers:?}");
        };
        check(&[], &[]);
        check(&[("authorization", "Bearer wc-1")], &["wc-1"]);
        check(&[("authorization", "bearer   wc-1 ")], &["wc-1"]);
        check(&[("x-api-key", " wc-1")], &["wc-1"]);
        check(&[("x-api-key", "wc-1"), ("authorization", "Bearer wc-2")], &["wc-2", "wc-1"]);
        // a:wc-1, wc-1: and wc-1
        check(&[("authorization", "Basic YTp3Yy0x")], &["wc-1"]);
        check(&[("authorization", "Basic d2MtMTo=")], &["wc-1"]);
        check(&[("authorization", "Basic d2MtMQ==")], &[]);
        for nothing in ["wc-1", "Bearer", "Digest wc-1", "Basic ?", ""] {
            check(&[("authorization", nothing)], &[]);
        }
    }

    #[cfg(feature = "batches")]
    #[test]
    fn what_was_left_behind_comes_in_as_its_key_may() {
        let mut file = KeyFile::default();
        let limits = crate::KeyLimits { concurrency: std::num::NonZeroU32::new(1), ..Default::default() };
        file.create("few", (Role::User, limits), [1; 32], 0).expect("a name");
        let (keys, tokens) = (Keys::new(&file), Tokens::default());
        let comes = |keys: Option<&Keys>, name| Caller::left_behind(keys, name, &tokens);
        let first = comes(Some(&keys), "few").expect("it has a place");
        assert_eq!(first.name().as_deref(), Some("few"));
        let over = comes(Some(&keys), "few").err().expect("that one has it");
        assert!(over.kind == Kind::KeyLimit && over.retry_after.is_some(), "{over}");
        drop(first);
        assert!(comes(Some(&keys), "few").is_ok());
        assert!(comes(None, "few").is_ok_and(|caller| caller.name().is_none()));
        keys.replace(&KeyFile::default());
        assert!(comes(Some(&keys), "few").is_err_and(|problem| problem.kind == Kind::UnknownKey));
    }

    #[test]
    fn salts_of_two_callers_never_meet() {
        let mut file = KeyFile::default();
        let mut caller = |name: &str, byte| {
            let key = file.create(name, Default::default(), [byte; 32], 0).expect("a name");
            Caller(Keys::new(&file).find(key.as_bytes()).map(|key| (key, None)))
        };
        let callers = [caller("a", 1), caller("b", 2), caller("a.b", 3)];
        let salts = [None, Some(""), Some("a"), Some("b"), Some("/b"), Some("b/b")];
        let all = callers.iter().flat_map(|caller| salts.map(|salt| caller.salt(salt).expect("a caller's")));
        assert_eq!(all.collect::<std::collections::BTreeSet<_>>().len(), callers.len() * salts.len());
        let nobody = Caller::default();
        assert_eq!((nobody.salt(None), nobody.salt(Some("a/b"))), (None, Some("a/b".to_owned())));
    }
}
