//! Why a model could not be loaded or a request not answered.

/// What can go wrong, in words for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model's files cannot be used.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// The model cannot be brought onto the device.
    #[error(transparent)]
    Backend(#[from] graph::BackendError),
    /// The tokenizer cannot be made.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// The model.
        path: std::path::PathBuf,
        /// What is wrong with it.
        source: text::TokenizerError,
    },
    /// The chat template cannot be used.
    #[error(transparent)]
    Template(#[from] text::TemplateError),
    /// The model cannot be fetched from the hub.
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// The request cannot be answered; the text says what would fix it.
    #[error("{0}")]
    Request(String),
    /// The engine failed, is full or is gone.
    #[error("{0}")]
    Engine(String),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<answer::Problem> for Error {
    fn from(problem: answer::Problem) -> Error {
        use answer::Kind;
        match problem.kind {
            Kind::InvalidType | Kind::InvalidValue | Kind::Missing | Kind::Unsupported | Kind::ContextLength => {
                Error::Request(problem.message)
            }
            Kind::Busy
            | Kind::TooLateNow
            | Kind::TooLate
            | Kind::Draining
            | Kind::Failed
            | Kind::Unavailable
            | Kind::TimeLimit
            | Kind::Internal => Error::Engine(problem.message),
        }
    }
}
