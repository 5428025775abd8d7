//! How configurations were taken that were written while the server runs.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts of reloads. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Reloads(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    ended: Family<Outcome, Counter>,
    invalid: Gauge,
    waiting: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

impl Reloads {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Counts { ended, invalid, waiting } = &*self.0;
        let mut add = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(format!("whinchat_{name}"), help, gauge.clone());
        };
        add(
            "config_invalid",
            "1 while the configuration that was written last is invalid and changes nothing",
            invalid,
        );
        add("config_waiting", "Settings of the configuration that wait for a restart", waiting);
        registry.register("whinchat_config_reloads", "Configurations that were taken, by result", ended.clone());
    }

    /// A configuration was `applied`, or is `invalid`; so many of its settings wait for a restart.
    pub fn ended(&self, result: &'static str, invalid: bool, waiting: usize) {
        self.0.ended.get_or_create(&Outcome { result }).inc();
        self.0.invalid.set(invalid.into());
        self.0.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}
