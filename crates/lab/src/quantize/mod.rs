//! Quantization that knows how a model uses its weights.

mod block;
mod encode;
mod encoder;
mod feedback;
mod file;
mod fit;
mod form;
mod pack;

pub use encode::{encode_weighted, encode_with_feedback};
pub(crate) use encoder::bits;
pub use encoder::{Encoder, Rows};
pub use feedback::Feedback;
pub(crate) use feedback::TOGETHER;
pub use file::{Quantize, QuantizeOptions, Quantized, Types, Unvisited};
