//! What algorithms count of their own: a policy's, an executor's or a tier's counters and histograms, of each model.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::families::Of;

/// What the algorithms of all models show now. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Algorithms(Arc<Mutex<BTreeMap<String, Vec<Own>>>>);

/// What an algorithm shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Own {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// What it measures.
    pub help: String,
    /// What it shows now.
    #[serde(flatten)]
    pub value: OwnValue,
}

/// A value that an algorithm shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OwnValue {
    /// What was counted.
    Counter {
        /// How many.
        count: u64,
    },
    /// A number that goes up and down.
    Gauge {
        /// The number.
        value: f64,
    },
    /// How values are spread.
    Histogram {
        /// Upper bound of each bucket (null: none) and how many values were in it.
        buckets: Vec<(Option<f64>, u64)>,
        /// The sum of all values.
        sum: f64,
    },
}

impl Algorithms {
    /// Models, and what their algorithms show now, in place of what they showed before.
    pub fn show(&self, all: impl IntoIterator<Item = (String, Vec<Own>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all.into_iter().collect();
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }
}

/// What their names in metrics begin with.
const PREFIX: &str = "whinchat_algorithm_";

impl Collector for Algorithms {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut families: BTreeMap<&str, Vec<(&str, &Own)>> = BTreeMap::new();
        for (model, own) in all.iter().flat_map(|(model, all)| all.iter().map(move |own| (model, own))) {
            families.entry(&own.name).or_default().push((model, own));
        }
        for (name, members) in families {
            let Some((_, first)) = members.first() else { continue };
            let kind = first.value.metric_type();
            let name = format!("{PREFIX}{name}");
            let mut family = encoder.encode_descriptor(&name, &first.help, None, kind)?;
            // A name is of one kind; who uses it for another one is not shown.
            for (model, own) in members.iter().filter(|(_, own)| own.value.kind() == first.value.kind()) {
                let labels = Of { model_name: (*model).to_owned() };
                own.value.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl OwnValue {
    fn kind(&self) -> u8 {
        match self {
            OwnValue::Counter { .. } => 0,
            OwnValue::Gauge { .. } => 1,
            OwnValue::Histogram { .. } => 2,
        }
    }

    fn metric_type(&self) -> MetricType {
        match self {
            OwnValue::Counter { .. } => MetricType::Counter,
            OwnValue::Gauge { .. } => MetricType::Gauge,
            OwnValue::Histogram { .. } => MetricType::Histogram,
        }
    }

    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        match self {
            OwnValue::Counter { count } => encoder.encode_counter::<NoLabelSet, u64, u64>(count, None),
            OwnValue::Gauge { value } => encoder.encode_gauge(value),
            OwnValue::Histogram { buckets, sum } => {
                let total = buckets.iter().map(|(_, count)| count).sum();
                // The largest number is written as infinity.
                let buckets: Vec<(f64, u64)> =
                    buckets.iter().map(|(bound, count)| (bound.unwrap_or(f64::MAX), *count)).collect();
                encoder.encode_histogram::<NoLabelSet>(*sum, total, &buckets, None)
            }
        }
    }
}
