//! Who asks: what a request says of itself before it runs.

use std::sync::Arc;

use answer::{Ask, Input, PromptText};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use release::{Policy, Request, Sticky};

use super::{Pass, wrong};
use crate::http::{Caller, request_id};
use crate::{App, Problem};

/// Letters of a session's and a pool's name at most.
const LONGEST: usize = 256;

/// How much of a prompt says that two begin alike, in bytes.
const PREFIX: usize = 1024;

/// Tokens that an answer is expected to have if it may have more.
const USUAL: u64 = 256;

/// What a request says of who sent it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    /// The name of the request, as its answer says it.
    pub(crate) id: String,
    pub(crate) session: String,
    pub(crate) pool: String,
    pub(crate) key: String,
    /// Whom the client asks for.
    pub(crate) user: String,
    /// Bytes of its body.
    pub(crate) bytes: usize,
}

impl Asker {
    pub(crate) fn of(head: &Parts) -> Asker {
        let key = Caller::of(&head.extensions).name().map(|name| name.to_string());
        Asker {
            id: request_id(&head.extensions),
            session: text(&head.headers, "x-session-id"),
            pool: text(&head.headers, "x-device-pool"),
            key: key.unwrap_or_default(),
            ..Asker::default()
        }
    }

    fn request<'a>(&'a self, ask: &'a Ask, prefix: &'a str) -> Request<'a> {
        let answer = ask.ending.max_tokens.map_or(USUAL, |most| USUAL.min(most as u64));
        Request {
            id: &self.id,
            session: &self.session,
            user: &self.user,
            key: &self.key,
            tenant: ask.service.tenant.as_deref().unwrap_or_default(),
            prefix,
            pool: &self.pool,
            // A token has about four bytes.
            tokens: self.bytes as u64 / 4 + answer * ask.n as u64,
        }
    }
}

/// A header's text; none of it if it is too long to be a name.
fn text(headers: &HeaderMap, name: &str) -> String {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if text.len() <= LONGEST { text.to_owned() } else { String::new() }
}

impl App {
    /// Who answers a request that names a route; none if it names none.
    ///
    /// # Errors
    /// If the route has nobody who may.
    pub(crate) fn select(&self, name: Option<&str>, asker: &Asker, ask: &Ask) -> Result<Option<Pass>, Problem> {
        let Some(named) = self.route(name) else { return Ok(None) };
        let by_prefix = matches!(named.route().policy(), Policy::Affinity { by: Sticky::Prefix, .. });
        let prefix = if by_prefix { prefix(&ask.input) } else { String::new() };
        let mut route = named.route();
        let choice = route.select(&asker.request(ask, &prefix)).map_err(wrong)?;
        let stage = named.stage();
        drop(route);
        Ok(Some(Pass::new(Arc::clone(&named), (choice, stage))))
    }
}

/// How a prompt begins.
fn prefix(input: &Input) -> String {
    let text = match input {
        Input::Chat(chat) => {
            let messages = chat.messages.as_array().map(Vec::as_slice).unwrap_or_default();
            let mut text = String::new();
            for message in messages {
                text += &message.to_string();
                if text.len() >= PREFIX {
                    break;
                }
            }
            text
        }
        Input::Prompts { items, .. } => match items.first() {
            Some(PromptText::Text(text)) => text.clone(),
            Some(PromptText::Tokens(tokens)) => format!("{:?}", &tokens[..tokens.len().min(PREFIX / 4)]),
            None => String::new(),
        },
    };
    let end = (0..=PREFIX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    text[..end].to_owned()
}
