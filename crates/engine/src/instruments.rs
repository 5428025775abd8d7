//! Counters and histograms that an algorithm has of its own: a policy, an executor or a tier makes them when its engine starts, and
//! whoever watches the engine reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The instruments of an engine. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Instruments(Arc<Mutex<Vec<Instrument>>>);

#[derive(Debug)]
struct Instrument {
    name: String,
    help: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Count(Count),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// Something that is counted. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicU64>);

/// A number that goes up and down. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// How values are spread over buckets. Clones are of the same.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// Upper bounds, ascending; values above the last are counted too.
    bounds: Vec<f64>,
    counts: Vec<AtomicU64>,
    /// The bits of the sum.
    sum: AtomicU64,
}

/// What an instrument shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// What it measures.
    pub help: String,
    /// What it shows now.
    pub value: Value,
}

/// A value that an instrument shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// What was counted.
    Count(u64),
    /// The number now.
    Gauge(f64),
    /// For each bucket its upper bound and how many values were in it; the last bound is infinite.
    Histogram {
        /// The buckets.
        buckets: Vec<(f64, u64)>,
        /// The sum of all values.
        sum: f64,
    },
}

/// Instruments of an engine at most: a mistake must not fill the memory.
const MOST: usize = 256;

impl Instruments {
    /// A counter. One of the same name is the same counter. A name may have lower-case letters, digits and `_`; other letters become `_`.
    pub fn count(&self, name: &str, help: &str) -> Count {
        match self.get_or_add(name, help, || Kind::Count(Count::default())) {
            Kind::Count(count) => count,
            // One that nobody reads: two parts want one name for two things.
            _ => Count::default(),
        }
    }

    /// A number that goes up and down.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        match self.get_or_add(name, help, || Kind::Gauge(Gauge::default())) {
            Kind::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// A histogram with buckets up to these bounds, in ascending order; what is not finite or out of order is left out.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        match self.get_or_add(name, help, || Kind::Histogram(Histogram::new(bounds))) {
            Kind::Histogram(spread) => spread,
            _ => Histogram::new(bounds),
        }
    }

    /// What all of them show, in the order in which they were made.
    pub fn read(&self) -> Vec<Reading> {
        self.lock().iter().map(Instrument::read).collect()
    }

    fn get_or_add(&self, name: &str, help: &str, make: impl FnOnce() -> Kind) -> Kind {
        let name = plain(name);
        let mut all = self.lock();
        if let Some(known) = all.iter().find(|known| known.name == name) {
            return known.kind.clone();
        }
        let kind = make();
        if all.len() < MOST {
            all.push(Instrument { name, help: help.to_owned(), kind: kind.clone() });
        }
        kind
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Instrument>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instrument {
    fn read(&self) -> Reading {
        let value = match &self.kind {
            Kind::Count(count) => Value::Count(count.get()),
            Kind::Gauge(gauge) => Value::Gauge(gauge.get()),
            Kind::Histogram(spread) => spread.read(),
        };
        Reading { name: self.name.clone(), help: self.help.clone(), value }
    }
}

impl Count {
    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// The number is this now.
    pub fn set(&self, number: f64) {
        self.0.store(number.to_bits(), Relaxed);
    }

    /// The number.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

impl Histogram {
    fn new(given: &[f64]) -> Histogram {
        let mut bounds: Vec<f64> = vec![];
        for bound in given.iter().filter(|bound| bound.is_finite()) {
            if bounds.last().is_none_or(|last| last < bound) {
                bounds.push(*bound);
            }
        }
        bounds.push(f64::INFINITY);
        let counts = bounds.iter().map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// One more value; what is not finite is left out.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let Buckets { bounds, counts, sum } = &*self.0;
        let bucket = bounds.partition_point(|bound| *bound < value);
        counts[bucket].fetch_add(1, Relaxed);
        let add = |bits: u64| Some((f64::from_bits(bits) + value).to_bits());
        // It cannot fail: there is always a next sum.
        let _ = sum.fetch_update(Relaxed, Relaxed, add);
    }

    fn read(&self) -> Value {
        let Buckets { bounds, counts, sum } = &*self.0;
        let counts = counts.iter().map(|count| count.load(Relaxed));
        Value::Histogram {
            buckets: bounds.iter().copied().zip(counts).collect(),
            sum: f64::from_bits(sum.load(Relaxed)),
        }
    }
}

/// A name as metrics may have it.
fn plain(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '_' };
    let name: String = name.chars().take(100).map(|c| letter(c.to_ascii_lowercase())).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_show_what_they_were_told() {
        let all = Instruments::default();
        let (hits, wait) =
            (all.count("hits", "Hits."), all.histogram("wait_seconds", "Waits.", &[0.1, 1.0, 0.5, f64::NAN]));
        hits.add(2);
        all.clone().count("hits", "again").add(3);
        for value in [0.05, 0.1, 0.3, 7.0, f64::NAN, f64::INFINITY] {
            wait.observe(value);
        }
        all.gauge("Depth of-queue", "Depth.").set(1.5);
        let shown: Vec<(String, Value)> = all.read().into_iter().map(|reading| (reading.name, reading.value)).collect();
        let buckets = vec![(0.1, 2), (1.0, 1), (f64::INFINITY, 1)];
        assert_eq!(shown[0], ("hits".into(), Value::Count(5)));
        assert_eq!(shown[1], ("wait_seconds".into(), Value::Histogram { buckets, sum: 7.45 }));
        assert_eq!(shown[2], ("depth_of_queue".into(), Value::Gauge(1.5)));
    }

    #[test]
    fn a_name_is_one_thing_and_there_are_not_too_many() {
        let all = Instruments::default();
        all.count("a", "").add(1);
        all.gauge("a", "").set(7.0);
        for number in 0..2 * MOST {
            all.count(&format!("n{number}"), "").add(1);
        }
        assert_eq!((all.read().len(), &all.read()[0].value), (MOST, &Value::Count(1)));
    }
}
