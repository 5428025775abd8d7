//! The statistics of releases: evidence and confidence sequences that may be looked at after every value.

use pyo3::prelude::*;
use release::stats;

use crate::errors;

/// A range as Python has it.
type Range = (f64, f64);

fn range(interval: &stats::Interval) -> Range {
    (interval.low, interval.high)
}

fn inside(param: &str, value: f64) -> PyResult<f64> {
    let fits = value > 0.0 && value < 1.0;
    if fits {
        Ok(value)
    } else {
        Err(errors::invalid(param, &format!("{param} is {value}, but must be between 0 and 1")))
    }
}

fn at_least(param: &str, value: f64, least: f64) -> PyResult<f64> {
    let fits = value.is_finite() && value >= least;
    if fits {
        Ok(value)
    } else {
        Err(errors::invalid(param, &format!("{param} is {value}, but must be at least {least}")))
    }
}

/// The confidence sequence of a proportion, narrowest near `tuned` trials, wrong with a chance of at most `alpha`.
#[pyfunction]
#[pyo3(signature = (hits, trials, alpha = 0.05, tuned = 1000.0))]
pub(crate) fn proportion(hits: u64, trials: u64, alpha: f64, tuned: f64) -> PyResult<Range> {
    Ok(range(&stats::proportion(hits, trials, inside("alpha", alpha)?, at_least("tuned", tuned, 1.0)?)))
}

/// Evidence that the shares of `counts` are not those stated.
#[pyfunction]
#[pyo3(signature = (counts, shares, strength = 10_000.0))]
pub(crate) fn mismatch(counts: Vec<u64>, shares: Vec<f64>, strength: f64) -> PyResult<f64> {
    if counts.len() != shares.len() {
        return Err(errors::invalid("shares", &format!("{} counts, but {} shares", counts.len(), shares.len())));
    }
    shares.iter().try_for_each(|share| at_least("shares", *share, 0.0).map(drop))?;
    at_least("shares", shares.iter().sum(), f64::MIN_POSITIVE)?;
    Ok(stats::mismatch(&counts, &shares, at_least("strength", strength, 1e-3)?))
}

/// The count, mean and variance of values that come one by one, and an asymptotic confidence sequence of the mean.
#[pyclass(module = "whinchat._native")]
#[derive(Default)]
pub(crate) struct Moments(stats::Moments);

#[pymethods]
impl Moments {
    #[new]
    fn new() -> Moments {
        Moments::default()
    }

    fn record(&mut self, value: f64) {
        self.0.record(value);
    }

    #[getter]
    fn count(&self) -> u64 {
        self.0.count()
    }

    #[getter]
    fn mean(&self) -> f64 {
        self.0.mean()
    }

    #[getter]
    fn variance(&self) -> f64 {
        self.0.variance()
    }

    #[pyo3(signature = (alpha = 0.05, tuned = 1000.0))]
    fn interval(&self, alpha: f64, tuned: f64) -> PyResult<Range> {
        Ok(range(&self.0.interval(inside("alpha", alpha)?, at_least("tuned", tuned, 1.0)?)))
    }
}

/// The mean of values between 0 and 1: a confidence sequence that is valid from the first value on.
#[pyclass(module = "whinchat._native")]
pub(crate) struct Bounded(stats::Bounded);

#[pymethods]
impl Bounded {
    #[new]
    #[pyo3(signature = (alpha = 0.05))]
    fn new(alpha: f64) -> PyResult<Bounded> {
        Ok(Bounded(stats::Bounded::new(inside("alpha", alpha)?)))
    }

    fn record(&mut self, value: f64) {
        self.0.record(value);
    }

    #[getter]
    fn count(&self) -> u64 {
        self.0.count()
    }

    #[getter]
    fn mean(&self) -> f64 {
        self.0.mean()
    }

    fn interval(&self) -> Range {
        range(&self.0.interval())
    }
}

/// Evidence that the mean of values between 0 and 1 is above (or below) a bound.
#[pyclass(module = "whinchat._native")]
pub(crate) struct Bet(stats::Bet);

#[pymethods]
impl Bet {
    #[new]
    #[pyo3(signature = (bound, side = "above"))]
    fn new(bound: f64, side: &str) -> PyResult<Bet> {
        let side = crate::options::named("side", side, [("above", stats::Side::Above), ("below", stats::Side::Below)])?;
        Ok(Bet(stats::Bet::new(inside("bound", bound)?, side)))
    }

    fn record(&mut self, value: f64) {
        self.0.record(value);
    }

    #[getter]
    fn evidence(&self) -> f64 {
        self.0.evidence()
    }
}

/// Pairs of answers of which one is better: evidence that one side wins more often.
#[pyclass(module = "whinchat._native")]
#[derive(Default)]
pub(crate) struct Pairs(stats::Pairs);

#[pymethods]
impl Pairs {
    #[new]
    fn new() -> Pairs {
        Pairs::default()
    }

    fn record(&mut self, candidate: f64, stable: f64) {
        self.0.record(candidate, stable);
    }

    /// Evidence that the candidate wins less often.
    #[getter]
    fn harm(&self) -> f64 {
        self.0.harm()
    }

    /// Evidence that it wins more often.
    #[getter]
    fn gain(&self) -> f64 {
        self.0.gain()
    }
}

/// Values above 0 in narrow buckets, and confidence sequences of their quantiles.
#[pyclass(module = "whinchat._native")]
#[derive(Default)]
pub(crate) struct Sketch(stats::Sketch);

#[pymethods]
impl Sketch {
    #[new]
    fn new() -> Sketch {
        Sketch::default()
    }

    fn record(&mut self, value: f64) {
        self.0.record(value);
    }

    #[getter]
    fn count(&self) -> u64 {
        self.0.count()
    }

    fn quantile(&self, p: f64) -> PyResult<Option<f64>> {
        Ok(self.0.quantile(inside("p", p)?))
    }

    #[pyo3(signature = (p, alpha = 0.05, tuned = 1000.0))]
    fn interval(&self, p: f64, alpha: f64, tuned: f64) -> PyResult<Range> {
        Ok(range(&self.0.interval(inside("p", p)?, inside("alpha", alpha)?, at_least("tuned", tuned, 1.0)?)))
    }
}

/// Evidence that a candidate has more than its share of events: of failures, or of values above what `base` of all exceed.
#[pyclass(module = "whinchat._native")]
pub(crate) struct Harm(stats::Harm);

#[pymethods]
impl Harm {
    #[new]
    #[pyo3(signature = (base = None))]
    fn new(base: Option<f64>) -> PyResult<Harm> {
        Ok(Harm(match base {
            Some(base) => stats::Harm::exceedances(inside("base", base)?),
            None => stats::Harm::failures(),
        }))
    }

    /// A request of the candidate or not, with the event or not, while the candidate had this share of traffic.
    fn record(&mut self, candidate: bool, event: bool, share: f64) -> PyResult<()> {
        self.0.record(candidate, event, inside("share", share)?);
        Ok(())
    }

    #[getter]
    fn evidence(&self) -> f64 {
        self.0.evidence()
    }
}

/// Watches how often an event happens, against a rate; false alarms are at least `patience` observations apart on average.
#[pyclass(module = "whinchat._native")]
pub(crate) struct Detector(stats::Detector);

#[pymethods]
impl Detector {
    #[new]
    fn new(rate: f64, patience: f64) -> PyResult<Detector> {
        Ok(Detector(stats::Detector::new(inside("rate", rate)?, at_least("patience", patience, 1.0)?)))
    }

    /// True while the alarm is on.
    fn record(&mut self, event: bool) -> bool {
        self.0.record(event)
    }

    #[getter]
    fn level(&self) -> f64 {
        self.0.level()
    }
}
