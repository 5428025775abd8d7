//! What the server does, apart from HTTP: a request understood ([`Ask`]) becomes a [`Generation`], a stream of events.

mod ask;
mod channel;
mod choice;
mod generation;
mod pipeline;
mod prepare;
mod problem;

pub use ask::{Ask, Chat, Delivery, Ending, Input, PromptText, Sampling};
pub use channel::{TokenReceiver, token_channel};
pub(crate) use generation::{Event, Generation, Reason, Tally};
pub(crate) use pipeline::{Piece, TokenLogprob, TokenText};
pub(crate) use prepare::begin;
pub use problem::{Kind, Problem};
