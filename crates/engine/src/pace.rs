//! How fast continuations end, and so how soon others can take their places.

use std::time::Duration;

use crate::StepReport;

/// What is this old counts for a third.
const MEMORY: Duration = Duration::from_secs(20);

/// Ends before the pace says anything.
const ENOUGH: f64 = 3.0;

/// Continuations that ended and the time that steps took, old ones counting less and less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    ended: f64,
    seconds: f64,
}

impl Pace {
    /// Takes note of a step. Time without steps says nothing of how fast they are.
    pub(crate) fn learn(&mut self, report: &StepReport) {
        let took = report.ended.saturating_sub(report.started).as_secs_f64();
        let kept = (-took / MEMORY.as_secs_f64()).exp();
        self.ended = self.ended * kept + (report.finished + report.cancelled) as f64;
        self.seconds = self.seconds * kept + took;
    }

    /// How long it takes until so many continuations have ended; `None` as long as too few are known.
    pub(crate) fn until(&self, ends: usize) -> Option<Duration> {
        let known = self.ended >= ENOUGH && self.seconds > 0.0;
        known.then(|| Duration::try_from_secs_f64(ends as f64 * self.seconds / self.ended).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_late() {
        let mut pace = Pace::default();
        assert_eq!(pace.until(1), None);
        // Every tenth step of 50 ms ends one: two in a second; then every step ends one.
        for (steps, every, wanted) in [(10_000, 10, 0.5), (10_000, 1, 0.05)] {
            for step in 0..steps {
                let started = Duration::from_secs(step);
                let (ended, finished) = (started + Duration::from_millis(50), usize::from(step % every == 0));
                pace.learn(&StepReport { started, ended, finished, ..StepReport::default() });
            }
            for ends in [1, 7] {
                let got = pace.until(ends).expect("enough ended").as_secs_f64();
                assert!((got / (wanted * ends as f64) - 1.0).abs() < 0.05, "{got} s for {ends}");
            }
        }
    }
}
