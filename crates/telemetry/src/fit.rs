//! A linear model that is fitted as values come: recursive least squares (Plackett 1950), relative errors counting alike.

/// Uncertainty above which nothing is forgotten: values that are all alike teach nothing new.
const MOST_UNCERTAIN: f64 = 1e6;

/// A sum of `N` terms, each with a weight that is learnt.
#[derive(Clone, Debug)]
pub(crate) struct Fit<const N: usize> {
    weights: [f64; N],
    /// Of the weights, up to a factor.
    covariance: [[f64; N]; N],
    /// What an old value counts beside the next newer one.
    forgetting: f64,
    learnt: u64,
}

impl<const N: usize> Fit<N> {
    /// Knows nothing yet.
    pub(crate) fn new(forgetting: f64) -> Fit<N> {
        let covariance = std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1e4 } else { 0.0 }));
        Fit { weights: [0.0; N], covariance, forgetting, learnt: 0 }
    }

    /// With these terms the value was `value`, which is above zero.
    pub(crate) fn learn(&mut self, terms: [f64; N], value: f64) {
        if !(value > 0.0 && value.is_finite()) {
            return;
        }
        let x = terms.map(|term| term / value);
        let px: [f64; N] = std::array::from_fn(|i| dot(&self.covariance[i], &x));
        let trace: f64 = (0..N).map(|i| self.covariance[i][i]).sum();
        let forgetting = if trace < MOST_UNCERTAIN { self.forgetting } else { 1.0 };
        let scale = forgetting + dot(&x, &px);
        let error = 1.0 - dot(&self.weights, &x);
        self.weights.iter_mut().zip(&px).for_each(|(weight, gain)| *weight += gain / scale * error);
        for (row, gain) in self.covariance.iter_mut().zip(&px) {
            row.iter_mut().zip(&px).for_each(|(entry, other)| *entry = (*entry - gain * other / scale) / forgetting);
        }
        self.learnt += 1;
    }

    /// What the value will be with these terms; `None` as long as too few are known.
    pub(crate) fn predict(&self, terms: [f64; N]) -> Option<f64> {
        let value = dot(&self.weights, &terms);
        (self.learnt >= 8 * N as u64 && value.is_finite() && value > 0.0).then_some(value)
    }
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_machine_is_learnt() {
        let mut fit = Fit::<3>::new(0.999);
        let terms = |step: u64| [1.0, (step * 37 % 20) as f64, (step * 11 % 16) as f64];
        let value = |[a, b, c]: [f64; 3]| 5.0 * a + 0.5 * b + 2.0 * c;
        for step in 0..500 {
            assert_eq!(fit.predict(terms(1)).is_some(), step >= 24, "after {step}");
            fit.learn(terms(step), value(terms(step)));
            fit.learn(terms(step), f64::NAN);
            fit.learn(terms(step), 0.0);
        }
        for step in 1000..1020 {
            let (found, wanted) = (fit.predict(terms(step)).expect("enough"), value(terms(step)));
            assert!((found / wanted - 1.0).abs() < 1e-3, "{found}, not {wanted}");
        }
        (0..100_000).for_each(|_| fit.learn(terms(3), value(terms(3))));
        assert!(fit.predict(terms(3)).is_some_and(|found| (found / value(terms(3)) - 1.0).abs() < 1e-3));
    }
}
