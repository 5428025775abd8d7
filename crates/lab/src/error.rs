//! Why the lab could not do what it was asked.

use std::path::{Path, PathBuf};

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
        path: PathBuf,
        /// What is wrong with it.
        source: text::TokenizerError,
    },
    /// The model cannot be run.
    #[error(transparent)]
    Backend(#[from] graph::BackendError),
    /// A graph to observe the model with cannot be made.
    #[error("the model's graph cannot be observed: {0}")]
    Graph(#[from] graph::GraphError),
    /// A file of the lab's own, or one it reads, cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would fix it.
        problem: String,
    },
    /// The request cannot be met; the text says what would fix it.
    #[error("{0}")]
    Request(String),
    /// Somebody stopped it. What was finished is kept.
    #[error("stopped; what was finished is kept, and the same command goes on from there")]
    Stopped,
}

impl Error {
    /// That a file is wrong.
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Error {
        Error::File { path: path.to_owned(), problem: problem.into() }
    }

    /// That a file cannot be read or written.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
        |error| Error::file(path, error.to_string())
    }
}
