//! Whose numbers they are.

use serde::Serialize;

/// An engine: which variant of which model runs on which device.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Labels {
    /// The name that clients use.
    pub model: String,
    /// Which of the model's variants; empty if it has one.
    pub variant: String,
    /// What it runs on.
    pub device: String,
}

impl Labels {
    /// A model's only variant, on the processor.
    pub fn model(name: impl Into<String>) -> Labels {
        Labels { model: name.into(), variant: String::new(), device: "cpu".to_owned() }
    }
}
