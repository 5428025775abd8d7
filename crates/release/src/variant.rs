//! What a route chooses among.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A version of a model as it is served: its weights, its settings, and where it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variant {
    /// The name of the variant in its route.
    pub id: String,
    /// The model and its version.
    pub model: String,
    /// The type of most weights, such as `Q8_0`.
    pub weight_type: String,
    /// How many bytes the weights take.
    pub bytes: u64,
    /// What evaluations gave, by their names; higher is better.
    pub quality: BTreeMap<String, f64>,
    /// Settings of the engine that differ from the server's.
    pub settings: BTreeMap<String, String>,
    /// The devices that it is loaded on.
    pub devices: Vec<String>,
}

impl Variant {
    /// A variant of that name on these devices.
    pub fn new(id: &str, devices: &[&str]) -> Variant {
        Variant { id: id.into(), devices: devices.iter().map(ToString::to_string).collect(), ..Variant::default() }
    }
}
