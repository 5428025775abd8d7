//! The stages of a request that can stand alone: each answers over HTTP what it answers in the server's own process, with examples, its
//! state, and faults on purpose. And the other end of each: what asks one that is elsewhere.
//!
//! Beside its operations a service has `/health`, `/metrics`, `/examples`, `/openapi.json`, `/debug`, `/faults`, and at `/` a page whose
//! form runs the examples.

mod compute;
mod document;
mod faults;
mod http;
mod ledger;
mod link;
mod memory;
mod page;
mod scheduler;
mod shown;
mod tokenizer;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use compute::{ComputeService, HttpCourier};
pub use http::{Memory, Running, run_service};
pub use ledger::{Elsewhere, Ledger};
pub use link::{Link, Trouble};
pub use memory::{MemoryService, RemoteBlocks};
pub(crate) use page::page;
pub use scheduler::{RemotePolicy, SchedulerService};
pub(crate) use shown::{health, memory, metrics};
pub use tokenizer::{RemoteTokenizer, TokenizerService};

/// A stage of the pipeline that stands alone.
pub trait Service: Send + Sync + 'static {
    /// What it is called: `tokenizer`.
    fn name(&self) -> &'static str;

    /// What it does, in a sentence.
    fn about(&self) -> &'static str;

    /// What can be asked of it.
    fn operations(&self) -> &'static [Operation];

    /// Requests with the answers that they must have, in an order in which all of them do.
    fn examples(&self) -> Vec<Example>;

    /// Answers the operation with this path.
    ///
    /// # Errors
    /// Why it does not.
    fn call(&self, path: &str, body: &[u8]) -> Result<Reply, Refusal>;

    /// What it knows now, for people.
    fn state(&self) -> Value;

    /// Numbers of its state, each with a name and what it says, for `/metrics`.
    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)>;
}

/// Something that a service can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Where it is asked.
    pub path: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The shape of its body, in the notation of [`crate::openapi`]; empty if it has none.
    pub takes: &'static str,
    /// The shape of its answer.
    pub gives: &'static str,
    /// Whether it may take long: then it is not done on a thread that speaks with clients.
    pub is_heavy: bool,
}

impl Operation {
    const fn get(path: &'static str, summary: &'static str, gives: &'static str) -> Operation {
        Operation { method: "GET", path, summary, takes: "", gives, is_heavy: false }
    }

    const fn post(path: &'static str, summary: &'static str, takes: &'static str, gives: &'static str) -> Operation {
        Operation { method: "POST", path, summary, takes, gives, is_heavy: false }
    }

    const fn heavy(self) -> Operation {
        Operation { is_heavy: true, ..self }
    }
}

/// A request with the answer that it must have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// What it shows.
    pub about: String,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Where it is asked.
    pub path: &'static str,
    /// Its body; null if it has none.
    pub request: Value,
    /// The status of the answer.
    pub status: u16,
    /// The answer. Of one that is refused only the code is compared.
    pub response: Value,
}

impl Example {
    fn new(about: &str, path: &'static str, request: Value, response: Value) -> Example {
        Example { about: about.to_owned(), method: "POST", path, request, status: 200, response }
    }

    /// A request that is refused.
    fn refused(about: &str, path: &'static str, request: Value, (status, code): (u16, &str)) -> Example {
        let response = serde_json::json!({ "error": { "code": code } });
        Example { status, ..Example::new(about, path, request, response) }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// JSON.
    Json(Vec<u8>),
    /// Bytes of which only both ends know what they are.
    Bytes(Vec<u8>),
}

impl Reply {
    /// # Errors
    /// If it cannot be written as JSON.
    fn json(value: &impl Serialize) -> Result<Reply, Refusal> {
        let bytes = serde_json::to_vec(value).map_err(|why| Refusal::internal(why.to_string()))?;
        Ok(Reply::Json(bytes))
    }
}

/// Why a service does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// In a word.
    pub code: &'static str,
    /// What is wrong, and what would fix it.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into() }
    }

    /// The request is not what it should be.
    fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "invalid_value", message)
    }

    /// What the caller thinks of the state here is not so.
    fn version(message: impl Into<String>) -> Refusal {
        Refusal::new(409, "version_differs", message)
    }

    fn internal(message: impl Into<String>) -> Refusal {
        Refusal::new(500, "internal_error", message)
    }

    /// There is no such operation: its path was not to be asked.
    fn unknown(path: &str) -> Refusal {
        Refusal::new(404, "unknown_url", format!("There is no {path}."))
    }
}

/// Reads a body.
///
/// # Errors
/// If it is no JSON of that form.
fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|why| Refusal::new(400, "invalid_json", format!("The body cannot be read: {why}.")))
}
