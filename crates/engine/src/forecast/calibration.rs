//! How far predictions of late were off, and what follows for the next one.

use std::collections::VecDeque;

/// So many of the last ones count.
const WINDOW: usize = 256;

/// So many are needed to say anything.
const ENOUGH: usize = 20;

/// Factors before anything is known: least, likely, most.
const UNKNOWN: [f64; 3] = [0.5, 1.0, 2.0];

/// Of so many predictions one may be missed: a little fewer than one in ten.
const MISSED: f64 = 0.09;

/// How fast bounds become wider when too many are missed, and narrower when too few are.
const PACE: f64 = 0.01;

/// The actual times of late, each as a factor of the predicted one. The quantiles of what has been are those of what comes
/// (split conformal prediction, Papadopoulos et al. 2002, over a sliding window); which quantiles, is corrected by how many
/// were missed (Gibbs and Candès 2021), since times of late are not quite those that come.
#[derive(Clone, Debug)]
pub(super) struct Calibration {
    window: VecDeque<f64>,
    /// The same, in order.
    sorted: Vec<f64>,
    /// The share that is to be outside of the bounds.
    outside: f64,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration { window: VecDeque::new(), sorted: Vec::new(), outside: MISSED }
    }
}

impl Calibration {
    /// The actual time was so many times the predicted one, and within its bounds or not.
    pub(super) fn learn(&mut self, factor: f64, inside: bool) {
        let missed = if inside { 0.0 } else { 1.0 };
        self.outside = (self.outside + PACE * (MISSED - missed)).clamp(0.01, 0.2);
        if self.window.len() == WINDOW
            && let Some(oldest) = self.window.pop_front()
        {
            self.sorted.remove(self.place(oldest));
        }
        self.window.push_back(factor);
        self.sorted.insert(self.place(factor), factor);
    }

    /// By which factors to multiply a prediction: one in twenty is below the first, half are below the second, and one in
    /// twenty is above the third, about.
    pub(super) fn bounds(&self) -> [f64; 3] {
        let count = self.sorted.len();
        if count < ENOUGH {
            return UNKNOWN;
        }
        // Of `count` values and the next one each is as likely as another to be in any place.
        let at = |share: f64| ((count + 1) as f64 * share).round() as usize;
        let place = |share: f64| self.sorted[at(share).clamp(1, count) - 1];
        [place(self.outside / 2.0), place(0.5), place(1.0 - self.outside / 2.0)]
    }

    fn place(&self, factor: f64) -> usize {
        self.sorted.partition_point(|other| *other < factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_late() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.bounds(), UNKNOWN);
        for (scale, rounds) in [(1.0, 300), (3.0, 256)] {
            (0..rounds).for_each(|i| calibration.learn(scale * f64::from(i * 37 % 101) / 100.0, i % 11 != 0));
            let bounds = calibration.bounds();
            for (bound, wanted) in bounds.iter().zip([0.045, 0.5, 0.955]) {
                assert!((bound / scale - wanted).abs() < 0.03, "{bounds:?} of factors up to {scale}");
            }
            assert_eq!((calibration.window.len(), calibration.sorted.len()), (WINDOW, WINDOW));
        }
    }
}
