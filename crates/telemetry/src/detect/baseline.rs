//! What is usual of a signal, and when it has left that.

use std::collections::VecDeque;

/// Values that make up what is usual: ten minutes.
const KEPT: usize = 600;

/// Values before anything is said: three minutes.
const ENOUGH: usize = 180;

/// Values after which the median is taken anew.
const REFRESH: usize = 10;

/// Deviations that are not counted: chance.
const SLACK: f64 = 2.0;

/// Deviations of one second at most, so that it takes several.
const MOST: f64 = 6.0;

/// The sum of deviations that raises an alarm: three seconds at the most.
const ALARM: f64 = 12.0;

/// Quiet seconds that end it.
const QUIET: u32 = 10;

/// The median of the values of normal times, and the sum of deviations from it (CUSUM, Page 1954).
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    values: VecDeque<f32>,
    median: f64,
    /// The median of |value − median|, scaled to a standard deviation.
    spread: f64,
    /// Since the median was taken.
    fresh: usize,
    sum: f64,
    quiet: u32,
    alarmed: bool,
}

impl Default for Baseline {
    fn default() -> Baseline {
        let (values, median, spread) = (VecDeque::new(), f64::NAN, f64::NAN);
        Baseline { values, median, spread, fresh: REFRESH, sum: 0.0, quiet: 0, alarmed: false }
    }
}

impl Baseline {
    /// The value of this second; `least` is the smallest spread that means anything. Says whether there is an alarm. While there
    /// is one, values are not taken for usual.
    pub(super) fn alarm(&mut self, value: f64, least: f64) -> bool {
        if !value.is_finite() {
            // Nothing happens that could be unusual.
            self.quiet += 1;
            if self.quiet >= QUIET {
                (self.alarmed, self.sum) = (false, 0.0);
            }
            return self.alarmed;
        }
        let deviation = match self.values.len() {
            0..ENOUGH => 0.0,
            _ => (value - self.median) / self.spread.max(least),
        };
        self.sum = (self.sum + deviation.min(MOST) - SLACK).clamp(0.0, 2.0 * ALARM);
        self.quiet = if deviation < SLACK { self.quiet + 1 } else { 0 };
        self.alarmed = self.sum >= ALARM || self.alarmed && self.quiet < QUIET;
        // What is about to become an alarm must not become usual first.
        if self.calm() {
            self.take(value);
        }
        self.alarmed
    }

    /// Whether nothing speaks for an alarm.
    pub(super) fn calm(&self) -> bool {
        self.sum < ALARM / 4.0 && !self.alarmed
    }

    /// From now on this is usual: it has lasted too long to be otherwise.
    pub(super) fn accept(&mut self) {
        *self = Baseline::default();
    }

    fn take(&mut self, value: f64) {
        if self.values.len() >= KEPT {
            self.values.pop_front();
        }
        self.values.push_back(value as f32);
        self.fresh += 1;
        if self.fresh >= REFRESH {
            self.fresh = 0;
            let mut sorted: Vec<f32> = self.values.iter().copied().collect();
            self.median = f64::from(median(&mut sorted));
            sorted.iter_mut().for_each(|value| *value = (*value - self.median as f32).abs());
            self.spread = 1.4826 * f64::from(median(&mut sorted));
        }
    }
}

/// Of at least one value.
fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values around 10, then `after`: in which second of it there is an alarm, and whether there still is at its end.
    fn check(after: &[f64], expected: Option<usize>, lasts: bool) {
        let mut baseline = Baseline::default();
        for second in 0..400 {
            assert!(!baseline.alarm(10.0 + f64::from(second * 7919 % 13) / 13.0, 0.1), "second {second}");
        }
        let alarms: Vec<bool> = after.iter().map(|value| baseline.alarm(*value, 0.1)).collect();
        assert_eq!(alarms.iter().position(|alarm| *alarm), expected, "{after:?}");
        assert_eq!(alarms.last() == Some(&true), lasts, "{after:?}");
    }

    #[test]
    fn several_seconds_make_an_alarm_and_several_end_it() {
        check(&[20.0; 5], Some(2), true);
        check(&[20.0], None, false);
        check(&[20.0, 10.0, 20.0, 10.0], None, false);
        check(&[f64::NAN, 20.0, f64::NAN, 20.0, 20.0], Some(4), true);
        check(&[11.0; 200], None, false);
        check(&[[20.0; 5].as_slice(), &[10.0; 9]].concat(), Some(2), true);
        check(&[[20.0; 5].as_slice(), &[10.0; 40]].concat(), Some(2), false);
    }
}
