//! The near end of a service that is elsewhere: how it is asked, and what is known of how that goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::{Elsewhere, Ledger};

/// Bytes of an answer at most: the logits of a large batch.
const LARGEST: u64 = 1 << 30;

/// How long is waited for what is only told to people.
const GLANCE: Duration = Duration::from_secs(1);

/// How a service that is elsewhere is asked. Every question has an end: an answer, a refusal, or silence for longer than is waited.
#[derive(Debug)]
pub struct Link {
    ledger: Ledger,
    agent: Agent,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was refused.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        message: String,
    },
    /// Nobody has answered, or not as the service does. Whether the question was heard is not known.
    Away(String),
}

impl Link {
    /// To the service of this name (`tokenizer`) at `http://HOST:PORT`, which is waited for so long.
    ///
    /// # Errors
    /// If that is no address.
    pub fn new(name: &'static str, url: &str, patience: Duration) -> Result<Arc<Link>, String> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        if rest.is_none_or(str::is_empty) {
            return Err(format!("{url} is no address of a {name}: write http://HOST:PORT"));
        }
        let config = Agent::config_builder()
            // It is on this machine, or near.
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(patience))
            .http_status_as_error(false);
        let ledger = Ledger::new(name, url.trim_end_matches('/').to_owned());
        Ok(Arc::new(Link { ledger, agent: config.build().new_agent() }))
    }

    /// The service for people: `the tokenizer at http://127.0.0.1:8001`.
    pub fn title(&self) -> String {
        self.ledger.title()
    }

    /// Asks in JSON, and reads the answer.
    ///
    /// # Errors
    /// If there is none.
    pub fn ask<T: DeserializeOwned>(&self, path: &str, question: &impl Serialize) -> Result<T, Trouble> {
        let body = serde_json::to_vec(question).map_err(|why| Trouble::Away(why.to_string()))?;
        let mut answer = Vec::new();
        self.carry((path, "application/json"), &body, &mut answer)?;
        let read = serde_json::from_slice(&answer);
        read.map_err(|why| self.failed(format!("{path} gives what cannot be read: {why}")))
    }

    /// Sends bytes, and puts the answer in the place of `answer`.
    ///
    /// # Errors
    /// If there is none.
    pub fn carry(&self, (path, kind): (&str, &str), body: &[u8], answer: &mut Vec<u8>) -> Result<(), Trouble> {
        let began = Instant::now();
        let request = self.agent.post(format!("{}{path}", self.ledger.place())).content_type(kind);
        let outcome = match request.send(body) {
            Ok(response) => self.read(response, answer),
            Err(why) => {
                answer.clear();
                Err(self.failed(why.to_string()))
            }
        };
        self.ledger.asked_at(began, (body.len(), answer.len()), outcome.is_ok());
        outcome
    }

    fn read(&self, mut response: Response<Body>, answer: &mut Vec<u8>) -> Result<(), Trouble> {
        let status = response.status();
        let read = response.body_mut().with_config().limit(LARGEST).read_to_vec();
        *answer = read.map_err(|why| self.failed(why.to_string()))?;
        if status.is_success() {
            return Ok(());
        }
        let told: Value = serde_json::from_slice(answer).unwrap_or_default();
        let message = told["error"]["message"].as_str().map(|text| text.trim_end_matches('.').to_owned());
        let message = message.unwrap_or_else(|| format!("it answers HTTP {}", status.as_u16()));
        self.failed(message.clone());
        Err(Trouble::Refused { status: status.as_u16(), message })
    }

    /// Takes note that a question has no answer that can be used.
    pub(crate) fn failed(&self, why: String) -> Trouble {
        self.ledger.failed(why.clone());
        Trouble::Away(why)
    }

    /// The sentence for whoever waited for the answer.
    pub(crate) fn sentence(&self, trouble: &Trouble) -> String {
        match trouble {
            Trouble::Refused { message, .. } => format!("{} refuses: {message}", self.title()),
            Trouble::Away(why) => format!("{} does not answer: {why}", self.title()),
        }
    }
}

impl Elsewhere for Link {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn resident_bytes(&self) -> Option<u64> {
        let asked = self.agent.get(format!("{}/health", self.ledger.place()));
        let mut answer = asked.config().timeout_global(Some(GLANCE)).build().call().ok()?;
        let told: Value = serde_json::from_reader(answer.body_mut().with_config().limit(1 << 20).reader()).ok()?;
        told["resident_bytes"].as_u64()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_addresses_are_taken_and_nobody_at_one_is_told() {
        for wrong in ["", "127.0.0.1:1", "ftp://host", "http://"] {
            assert!(Link::new("tokenizer", wrong, Duration::from_secs(1)).is_err(), "{wrong}");
        }
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", socket.local_addr().expect("an address"));
        drop(socket);
        let link = Link::new("memory", &url, Duration::from_secs(60)).expect("an address");
        assert_eq!(link.ledger().health()["status"], "ready");
        let trouble = link.ask::<Value>("/apply", &json!({})).expect_err("nobody");
        assert!(link.sentence(&trouble).starts_with(&format!("the memory manager at {url} does not answer: ")));
        let health = link.ledger().health();
        assert_eq!((&health["status"], &health["failed"]), (&json!("unavailable"), &json!(1)));
    }

    /// Who listens and never answers is waited for as long as was said.
    #[test]
    fn silence_has_an_end() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", socket.local_addr().expect("an address"));
        let link = Link::new("scheduler", &url, Duration::from_millis(30)).expect("an address");
        assert!(matches!(link.ask::<Value>("/order", &json!({})), Err(Trouble::Away(_))));
    }
}
