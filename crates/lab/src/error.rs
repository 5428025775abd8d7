//! Why the lab could not do what it was asked.

/// What can go wrong, in words for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model's files cannot be used.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// The tokenizer cannot be read.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// Its file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        source: text::TokenizerError,
    },
    /// The request cannot be met; the text says what would fix it.
    #[error("{0}")]
    Request(String),
}
