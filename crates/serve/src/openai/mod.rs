//! OpenAI's wire format: the only place where its JSON is read and written.

mod chat;
mod completion;
mod fields;
mod request;
pub(crate) mod response;

pub use request::{Endpoint, parse_request_body};
