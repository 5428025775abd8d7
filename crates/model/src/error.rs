//! Why a model cannot be loaded, in words for the person who has the file.

use std::path::{Path, PathBuf};

/// Every variant names the file, what is wrong in it and what would fix it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is damaged, truncated, hostile or not what it claims to be.
    #[error("{}: {field}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The field, key, tensor or offset at fault.
        field: String,
        /// What is wrong with it and what would fix it.
        problem: String,
    },
    /// The file is sound but asks for something Whinchat does not have.
    #[error("{}: {field}: {problem}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field at fault.
        field: String,
        /// What is not supported and what is.
        problem: String,
    },
}

impl ModelError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> ModelError {
        ModelError::Io { path: path.to_owned(), source }
    }

    pub(crate) fn invalid(path: &Path, field: impl Into<String>, problem: impl Into<String>) -> ModelError {
        let problem = with_remedy(problem.into(), "the file is damaged or was made wrongly, take another copy");
        ModelError::Invalid { path: path.to_owned(), field: field.into(), problem }
    }

    pub(crate) fn unsupported(path: &Path, field: impl Into<String>, problem: impl Into<String>) -> ModelError {
        let problem = with_remedy(problem.into(), "take another file of the model, or another model");
        ModelError::Unsupported { path: path.to_owned(), field: field.into(), problem }
    }
}

/// A problem tells its own remedy after a semicolon; one without gets the general one.
fn with_remedy(problem: String, general: &str) -> String {
    if problem.contains("; ") { problem } else { format!("{problem}; {general}") }
}
