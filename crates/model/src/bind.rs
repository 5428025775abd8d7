//! A checkpoint bound to a graph: which bytes are which weight.

use std::borrow::Cow;
use std::sync::Arc;

use graph::{Graph, WeightId};

use crate::{Checkpoint, ModelError, ModelSpec};

/// A model ready for a backend: its numbers, its graph, and its weights in the files.
#[derive(Debug)]
pub struct Model {}

impl Model {
    /// See [`Checkpoint::bind`].
    pub(crate) fn bind(checkpoint: &Arc<Checkpoint>, context: Option<usize>) -> Result<Model, ModelError> {
        let _ = (checkpoint, context);
        todo!()
    }

    /// Its numbers.
    pub fn spec(&self) -> &ModelSpec {
        todo!()
    }

    /// Its computation.
    pub fn graph(&self) -> &Graph {
        todo!()
    }

    /// The bytes of a weight in the form its `WeightInfo` says: straight from the map where the file has them so, else
    /// put together (experts stored one by one, fused matrices in another order).
    ///
    /// # Errors
    /// If the file's bytes cannot be brought into that form.
    pub fn read(&self, id: WeightId) -> Result<Cow<'_, [u8]>, ModelError> {
        let _ = id;
        todo!()
    }
}
