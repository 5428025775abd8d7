//! What a release is: all that has to be known of it to go on after a restart, besides its journal.

use release::{Baseline, Beginning, Variant, Verdict};
use serde::{Deserialize, Serialize};

use crate::LoadOrder;
use crate::models::Key;

/// A release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) id: String,
    /// What people call it.
    pub(crate) name: String,
    /// The name that clients use.
    pub(crate) route: String,
    /// What the route is described to mean, whatever releases have made of it.
    pub(crate) base: String,
    pub(crate) stable: Variant,
    pub(crate) candidate: Variant,
    /// A copy of the stable variant, as cold as the candidate.
    #[serde(default)]
    pub(crate) twin: Option<Variant>,
    /// How both are loaded again, if that is known.
    pub(crate) orders: Vec<(String, Order)>,
    /// Whether the candidate was in memory before.
    pub(crate) was_loaded: bool,
    pub(crate) beginning: Beginning,
    #[serde(default)]
    pub(crate) end: Option<End>,
    /// How the variant did that stayed.
    #[serde(default)]
    pub(crate) baseline: Option<Baseline>,
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    /// In microseconds since 1970.
    pub(crate) at: u64,
    pub(crate) verdict: Verdict,
    pub(crate) why: String,
}

/// How a model is loaded, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) context: Option<usize>,
    #[serde(default)]
    pub(crate) kv_tokens: Option<usize>,
    #[serde(default)]
    pub(crate) max_sequences: Option<usize>,
    #[serde(default)]
    pub(crate) draft_model: Option<String>,
}

impl About {
    /// Whether its candidate has taken the place of the stable variant.
    pub(crate) fn is_promoted(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.verdict == Verdict::Promoted)
    }
}

impl Order {
    pub(super) fn of(order: &LoadOrder) -> Order {
        let LoadOrder { source, context, kv_tokens, max_sequences, draft_model, .. } = order.clone();
        Order { source, context, kv_tokens, max_sequences, draft_model }
    }

    /// As the order of this model.
    pub(super) fn for_model(&self, key: &Key) -> LoadOrder {
        let Order { source, context, kv_tokens, max_sequences, draft_model } = self.clone();
        let (name, version) = (Some(key.name.clone()), Some(key.version.clone()));
        LoadOrder { source, name, version, context, kv_tokens, max_sequences, draft_model, ..LoadOrder::default() }
    }
}

/// A version of a model as it is written.
pub(super) fn written(key: &Key) -> String {
    format!("{}@{}", key.name, key.version)
}

/// The version of a model that is written so.
pub(super) fn read(model: &str) -> Option<Key> {
    let (name, version) = model.rsplit_once('@')?;
    Some(Key { name: name.to_owned(), version: version.to_owned() })
}
