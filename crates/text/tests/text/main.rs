//! The crate from outside: vectors, oracles, goldens, hostile input.

mod chat;
mod common;
mod constraints;
mod converted;
mod dialects;
mod gguf_small;
mod gguf_vectors;
mod grammar;
mod hostile;
mod json_oracle;
mod schema_suite;
mod small;
mod templates;
mod tokenizer_files;
