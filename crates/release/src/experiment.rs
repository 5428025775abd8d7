//! Experiments (A/B): several variants side by side, until it is clear which is better.

use crate::stats::{Interval, Moments, Sketch, mismatch, proportion};
use serde::{Deserialize, Serialize};

/// What a metric says of all requests of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// How often something happens: values above 0.5 count.
    Proportion,
    /// The mean.
    Mean,
    /// A quantile of values above 0, such as 0.99.
    Quantile(f64),
}

/// A metric and what it decides. The first of an experiment decides who wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Its name.
    pub name: String,
    /// What it says.
    pub kind: Kind,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// By how much it may become worse, in its own unit; beyond that the experiment ends. Without it, by anything.
    #[serde(default)]
    pub guard: Option<f64>,
    /// Differences up to this are none, in its own unit.
    #[serde(default)]
    pub negligible: f64,
}

/// An experiment. The first arm is what there is already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The share of units of each arm; they need not add up.
    pub shares: Vec<f64>,
    /// What is judged.
    pub metrics: Vec<Judged>,
    /// The chance at most that any interval is wrong at any time: it is split over all metrics and arms.
    pub budget: f64,
    /// After so many units it ends in any case.
    pub max_units: u64,
}

/// Why an experiment cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("experiment: {0}")]
pub struct BadSetup(String);

/// How an arm differs from the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// The arm, from 1.
    pub arm: usize,
    /// The place of the metric.
    pub metric: usize,
    /// By how much it is better, in the metric's unit; negative: worse. Always valid.
    pub better: Interval,
}

/// How an experiment ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// An arm is better than the first by the first metric, and worse by no guarded one.
    Better {
        /// The arm.
        arm: usize,
        /// The numbers.
        why: String,
    },
    /// An arm is worse by a guarded metric.
    Harmed {
        /// The arm.
        arm: usize,
        /// The numbers.
        why: String,
    },
    /// No arm differs from the first by more than is negligible.
    Same,
    /// It had all its units, and nothing is clear.
    Undecided,
    /// Units were assigned in other shares than stated: nothing that was measured can be trusted.
    Invalid {
        /// The numbers.
        why: String,
    },
}

/// An experiment that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    setup: Setup,
    units: Vec<u64>,
    /// For each arm, for each metric.
    seen: Vec<Vec<Seen>>,
    ruling: Option<Ruling>,
}

/// The values of one metric of one arm, as its kind needs them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Seen {
    Proportion { hits: u64, trials: u64 },
    Mean(Moments),
    Quantile(f64, Sketch),
}

impl Experiment {
    /// An experiment without units yet.
    ///
    /// # Errors
    /// If it cannot be run: fewer than two arms, no metrics, or numbers that make no sense.
    pub fn new(setup: Setup) -> Result<Experiment, BadSetup> {
        let sane = setup.shares.iter().all(|s| *s > 0.0 && s.is_finite());
        if setup.shares.len() < 2 || !sane {
            return Err(BadSetup(format!("it needs at least 2 shares above 0, not {:?}", setup.shares)));
        }
        let quantiles = setup.metrics.iter().all(|m| !matches!(m.kind, Kind::Quantile(p) if !(p > 0.0 && p < 1.0)));
        let small = setup.metrics.iter().all(|m| m.negligible >= 0.0 && m.guard.is_none_or(|g| g >= 0.0));
        if setup.metrics.is_empty() || !quantiles || !small {
            return Err(BadSetup("it needs metrics, with quantiles between 0 and 1 and guards from 0 up".into()));
        }
        if !(setup.budget > 0.0 && setup.budget < 0.5) {
            return Err(BadSetup(format!("its budget is a chance between 0 and 0.5, not {}", setup.budget)));
        }
        let row: Vec<Seen> = setup.metrics.iter().map(|m| Seen::new(m.kind)).collect();
        let arms = setup.shares.len();
        Ok(Experiment { setup, units: vec![0; arms], seen: vec![row; arms], ruling: None })
    }

    /// A unit met an arm; one value for each metric, in order, `None` where there is none.
    ///
    /// A unit counts once, at its first request: a value may sum up all that the unit did.
    pub fn record(&mut self, arm: usize, values: &[Option<f64>]) {
        let Some(row) = self.seen.get_mut(arm) else { return };
        self.units[arm] += 1;
        for (seen, value) in row.iter_mut().zip(values) {
            if let Some(x) = value.filter(|x| x.is_finite()) {
                seen.record(x);
            }
        }
    }

    /// How all arms differ from the first, by all metrics.
    pub fn effects(&self) -> Vec<Effect> {
        let comparisons = self.setup.metrics.len() * (self.units.len() - 1);
        let alpha = self.setup.budget / comparisons as f64 / 2.0;
        let of = |arm: usize, metric: usize| self.seen[arm][metric].interval(alpha);
        let pairs = (1..self.units.len()).flat_map(|arm| (0..self.setup.metrics.len()).map(move |m| (arm, m)));
        let effect = |(arm, metric): (usize, usize)| {
            let (own, first) = (of(arm, metric), of(0, metric));
            let more = self.setup.metrics[metric].higher_is_better;
            Effect { arm, metric, better: if more { own.minus(&first) } else { first.minus(&own) } }
        };
        pairs.map(effect).collect()
    }

    /// Looks whether something is clear, as often as one likes. Once it is, it stays so.
    pub fn look(&mut self) -> Option<&Ruling> {
        if self.ruling.is_none() {
            self.ruling = self.mismatch().or_else(|| self.rule());
        }
        self.ruling.as_ref()
    }

    fn mismatch(&self) -> Option<Ruling> {
        let broken =
            self.units.iter().sum::<u64>() >= 100 && mismatch(&self.units, &self.setup.shares, 1000.0) >= 1000.0;
        let why = || format!("units met the arms as {:?}, stated were shares of {:?}", self.units, self.setup.shares);
        broken.then(|| Ruling::Invalid { why: why() })
    }

    fn rule(&self) -> Option<Ruling> {
        let effects = self.effects();
        let guarded = |e: &&Effect| self.setup.metrics[e.metric].guard.is_some_and(|g| e.better.high < -g);
        if let Some(effect) = effects.iter().find(guarded) {
            return Some(Ruling::Harmed { arm: effect.arm, why: self.sentence(effect, "worse") });
        }
        let first = || effects.iter().filter(|e| e.metric == 0);
        let best = first().filter(|e| e.better.low > 0.0).max_by(|a, b| a.better.low.total_cmp(&b.better.low));
        if let Some(effect) = best {
            return Some(Ruling::Better { arm: effect.arm, why: self.sentence(effect, "better") });
        }
        let small = self.setup.metrics[0].negligible;
        if first().all(|e| e.better.low >= -small && e.better.high <= small) {
            return Some(Ruling::Same);
        }
        (self.units.iter().sum::<u64>() >= self.setup.max_units).then_some(Ruling::Undecided)
    }

    fn sentence(&self, effect: &Effect, how: &str) -> String {
        let Interval { low, high } = effect.better;
        let (low, high) = if how == "worse" { (-high, -low) } else { (low, high) };
        let name = &self.setup.metrics[effect.metric].name;
        format!("{name}: arm {} is {how} by {low:.4} to {high:.4} after {:?} units", effect.arm, self.units)
    }
}

impl Seen {
    fn new(kind: Kind) -> Seen {
        match kind {
            Kind::Proportion => Seen::Proportion { hits: 0, trials: 0 },
            Kind::Mean => Seen::Mean(Moments::default()),
            Kind::Quantile(p) => Seen::Quantile(p, Sketch::default()),
        }
    }

    fn record(&mut self, x: f64) {
        match self {
            Seen::Proportion { hits, trials } => {
                *hits += u64::from(x > 0.5);
                *trials += 1;
            }
            Seen::Mean(moments) => moments.record(x),
            Seen::Quantile(_, sketch) => sketch.record(x),
        }
    }

    fn interval(&self, alpha: f64) -> Interval {
        match self {
            Seen::Proportion { hits, trials } => proportion(*hits, *trials, alpha, 1000.0),
            Seen::Mean(moments) => moments.interval(alpha, 1000.0),
            Seen::Quantile(p, sketch) => sketch.interval(*p, alpha, 100.0),
        }
    }
}
