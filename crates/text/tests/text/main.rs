//! The crate from outside: vectors, oracles, goldens, hostile input.

mod common;
mod converted;
mod dialects;
mod gguf_small;
mod gguf_vectors;
mod grammar;
mod hostile;
mod json_oracle;
mod small;
mod templates;
