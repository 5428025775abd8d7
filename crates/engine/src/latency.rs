//! How long a step takes, learnt from steps: a time of its own, and a time for each row of a prompt, each row that decodes
//! and each position that attention reads.

use std::time::Duration;

use crate::Work;

/// Numbers that the time of a step is a sum of.
const TERMS: usize = 4;

/// Steps before the model says anything.
const ENOUGH: u64 = 16;

/// What an old step counts beside the next newer one: the last few hundred decide.
const FORGETTING: f64 = 0.995;

/// Uncertainty above which nothing more is forgotten: steps that are all alike teach nothing new.
const MOST_UNCERTAIN: f64 = 1e6;

/// A linear model of the time of steps, fitted by recursive least squares (Plackett 1950), relative errors counting alike.
#[derive(Clone, Debug)]
pub struct LatencyModel {
    /// In milliseconds for each of the terms.
    weights: [f64; TERMS],
    /// Of the weights, up to a factor.
    covariance: [[f64; TERMS]; TERMS],
    steps: u64,
}

impl Default for LatencyModel {
    fn default() -> LatencyModel {
        let covariance = std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1e4 } else { 0.0 }));
        LatencyModel { weights: [0.0; TERMS], covariance, steps: 0 }
    }
}

impl LatencyModel {
    /// Takes note that a step that computed `work` took `time`.
    pub fn learn(&mut self, work: Work, time: Duration) {
        let millis = time.as_secs_f64() * 1e3;
        if millis <= 0.0 || work == Work::default() {
            return;
        }
        let x = terms(work).map(|term| term / millis);
        let px: [f64; TERMS] = std::array::from_fn(|i| dot(&self.covariance[i], &x));
        let scale = FORGETTING + dot(&x, &px);
        let error = 1.0 - dot(&self.weights, &x);
        self.weights.iter_mut().zip(&px).for_each(|(weight, gain)| *weight += gain / scale * error);
        let trace: f64 = (0..TERMS).map(|i| self.covariance[i][i]).sum();
        let forgetting = if trace < MOST_UNCERTAIN { FORGETTING } else { 1.0 };
        for (row, gain) in self.covariance.iter_mut().zip(&px) {
            row.iter_mut().zip(&px).for_each(|(entry, other)| *entry = (*entry - gain * other / scale) / forgetting);
        }
        self.steps += 1;
    }

    /// How long a step that computes `work` will take; `None` as long as too few are known.
    pub fn predict(&self, work: Work) -> Option<Duration> {
        let millis = dot(&self.weights, &terms(work));
        let known = self.steps >= ENOUGH && millis.is_finite();
        known.then(|| Duration::try_from_secs_f64(millis.max(0.0) / 1e3).unwrap_or(Duration::MAX))
    }

    /// Most rows of a prompt, after `position` tokens of it and `most` at most, that a step can compute beside `work`
    /// within `goal`; `None` as long as too few steps are known.
    pub fn rows_within(&self, goal: Duration, work: Work, position: usize, most: usize) -> Option<usize> {
        self.predict(work)?;
        let (mut fits, mut too_many) = (0, most + 1);
        while too_many - fits > 1 {
            let rows = fits.midpoint(too_many);
            let more = Work { prefill_rows: work.prefill_rows + rows, ..work.reading(rows, position) };
            match self.predict(more) {
                Some(time) if time <= goal => fits = rows,
                _ => too_many = rows,
            }
        }
        Some(fits)
    }
}

/// In numbers of about the same size.
fn terms(work: Work) -> [f64; TERMS] {
    [1.0, work.prefill_rows as f64 / 64.0, work.decode_rows as f64 / 8.0, work.context as f64 / 16384.0]
}

fn dot(a: &[f64; TERMS], b: &[f64; TERMS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a machine takes: 5 ms, 0.1 ms for each row of a prompt, 0.5 ms for each that decodes, 1 ms for 10,000 positions.
    fn time(work: Work) -> Duration {
        let micros = 5_000 + 100 * work.prefill_rows + 500 * work.decode_rows + work.context / 10;
        Duration::from_micros(micros as u64)
    }

    fn work(step: usize) -> Work {
        Work {
            prefill_rows: step * 37 % 200,
            decode_rows: step * 11 % 16,
            context: step * 7919 % 60_000,
            ..Work::default()
        }
    }

    #[test]
    fn a_linear_machine_is_learnt_and_followed_when_it_changes() {
        let mut model = LatencyModel::default();
        for (slower, steps) in [(1, 60), (3, 2000)] {
            for step in 1..steps {
                model.learn(work(step), time(work(step)) * slower);
                assert_eq!(model.predict(work(step)).is_some(), slower > 1 || step >= ENOUGH as usize);
            }
            for step in 5000..5050 {
                let (predicted, true_one) = (model.predict(work(step)).unwrap(), time(work(step)) * slower);
                let off = predicted.as_secs_f64() / true_one.as_secs_f64() - 1.0;
                assert!(off.abs() < 0.01, "{:?}: {predicted:?}, not {true_one:?}", work(step));
            }
        }
    }

    #[test]
    fn rows_are_cut_to_what_the_goal_leaves() {
        let mut model = LatencyModel::default();
        let beside = Work { decode_rows: 10, context: 10_000, ..Work::default() };
        assert_eq!(model.rows_within(Duration::from_millis(20), beside, 0, 512), None);
        (1..200).for_each(|step| model.learn(work(step), time(work(step))));
        // 5 + 5 + 1 ms are taken; a row takes 0.1 ms, and 0.1 µs for each position before it.
        for (goal, position, least, most) in [(5, 0, 0, 0), (16, 0, 48, 50), (16, 1000, 23, 26), (500, 0, 512, 512)] {
            let rows = model.rows_within(Duration::from_millis(goal), beside, position, 512).unwrap();
            assert!((least..=most).contains(&rows), "{rows} rows within {goal} ms after {position}");
        }
    }

    #[test]
    fn steps_that_teach_nothing_do_no_harm() {
        let mut model = LatencyModel::default();
        (0..100_000).for_each(|_| model.learn(work(3), time(work(3))));
        model.learn(Work::default(), Duration::from_secs(1));
        model.learn(work(4), Duration::ZERO);
        let off = model.predict(work(3)).unwrap().as_secs_f64() / time(work(3)).as_secs_f64() - 1.0;
        assert!(off.abs() < 0.01, "{off}");
    }
}
