//! LoRA adapters of a model that is in memory.

use std::path::Path;
use std::sync::Arc;

use answer::{Adapter, OpenAdapter};
use model::ModelError;

use crate::{Device, Error, Prepared};

impl Prepared {
    /// A LoRA adapter of the model: a folder of PEFT, or a GGUF file.
    ///
    /// # Errors
    /// If it cannot be read, is for another model, or the model's device computes no adapters.
    pub fn adapter(&self, source: impl AsRef<Path>) -> Result<Adapter, Error> {
        opener(self, false)(source.as_ref()).map_err(Error::Request)
    }
}

/// What reads adapters for a model. It keeps nothing of the model: its numbers are bound again for each adapter, which takes
/// milliseconds.
pub(crate) fn opener(prepared: &Prepared, is_elsewhere: bool) -> OpenAdapter {
    let (checkpoint, context) = (Arc::clone(&prepared.checkpoint), prepared.context);
    let units = prepared.placed().iter().map(|placed| placed.unit).collect();
    let device = Some(Device::On(units)).filter(|device| *device != Device::default());
    let hands_over = prepared.hands_over();
    Box::new(move |source| {
        if is_elsewhere {
            return Err(
                "this model is computed by another service (--compute), which takes no adapters; serve it without, or \
                        merge the adapter (whinchat convert --lora)"
                    .to_owned(),
            );
        }
        if let Some(device) = &device {
            return Err(format!(
                "this model is computed by {device}, where adapters are not; use --device cpu, or merge the adapter (whinchat \
                 convert --lora)"
            ));
        }
        if hands_over {
            return Err("this model has a --draft-model that reads its hidden states, beside which there are no adapters; leave one of them \
                        out, or merge the adapter (whinchat convert --lora)"
                .to_owned());
        }
        let open = |source: &Path| -> Result<_, ModelError> {
            model::Adapter::open(source)?.bind(&checkpoint.bind(Some(context))?)
        };
        open(source).map_err(|error| error.to_string())
    })
}
