//! How often faults were injected.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts of what was hit by faults on purpose, by kind. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Injected(Family<Sort, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sort {
    kind: &'static str,
}

impl Injected {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "whinchat_injected_faults",
            "Requests that a fault on purpose has hit, by kind",
            self.0.clone(),
        );
    }

    /// A fault of this kind has hit one more.
    pub fn one(&self, kind: &'static str) {
        self.0.get_or_create(&Sort { kind }).inc();
    }
}
