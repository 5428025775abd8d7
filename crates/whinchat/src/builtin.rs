//! The model that every copy of the program carries, so that the first command works with no download.

use std::sync::Arc;

use model::Checkpoint;

use crate::Error;

/// The name of the model in this program: what stands for it wherever a model is asked for, and its id in the API.
pub const BUILTIN: &str = "whinchat-demo";

/// Opens the model in this program.
///
/// # Errors
/// If this program was built without one.
pub fn builtin() -> Result<Arc<Checkpoint>, Error> {
    Err(Error::Request(format!("this program was built without {BUILTIN}; name a model with --model")))
}
