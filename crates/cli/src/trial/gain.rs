//! How much better one of two is, by rounds in pairs.

use super::load::Figures;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Throughput,
    FirstToken,
    Between,
}

impl Measure {
    pub(crate) const ALL: [Measure; 3] = [Measure::Throughput, Measure::FirstToken, Measure::Between];

    /// Its name, as recommendations call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Measure::Throughput => "throughput",
            Measure::FirstToken => "first_token",
            Measure::Between => "between",
        }
    }

    fn get(self, figures: &Figures) -> f64 {
        match self {
            Measure::Throughput => figures.throughput,
            Measure::FirstToken => figures.first_token,
            Measure::Between => figures.between,
        }
    }

    /// Which share is gained if it becomes so many times as large: more tokens, or less time.
    fn gained(self, ratio: f64) -> f64 {
        if self == Measure::Throughput { ratio - 1.0 } else { 1.0 - ratio }
    }
}

/// A measure before and after, in the mean of all rounds, and which share of it is gained: 0.25 is a quarter more tokens, or a quarter less
/// time. In 95 of 100 trials the true gain is within the bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gain {
    pub(crate) of: Measure,
    pub(crate) before: f64,
    pub(crate) after: f64,
    pub(crate) share: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// What is to be said of a gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    /// It may be either.
    Unclear,
}

impl Gain {
    /// Of two rounds before and after, in pairs; `None` if there is nothing to compare.
    pub(crate) fn of(of: Measure, pairs: &[[Figures; 2]]) -> Option<Gain> {
        let values = pairs.iter().map(|pair| pair.each_ref().map(|figures| of.get(figures)));
        let values: Vec<[f64; 2]> =
            values.filter(|pair| pair.iter().all(|value| value.is_finite() && *value > 0.0)).collect();
        // Ratios, so that a slow round of both weighs no more than a fast one.
        let logs: Vec<f64> = values.iter().map(|[before, after]| (after / before).ln()).collect();
        let count = logs.len() as f64;
        let freedom = logs.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
        let mean = logs.iter().sum::<f64>() / count;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / freedom as f64;
        let off = student(freedom) * (variance / count).sqrt();
        let [one, share, other] = [mean - off, mean, mean + off].map(|log| of.gained(log.exp()));
        let [before, after] = [0, 1].map(|at| values.iter().map(|pair| pair[at]).sum::<f64>() / count);
        Some(Gain { of, before, after, share, least: one.min(other), most: one.max(other) })
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match (self.least > 0.0, self.most < 0.0) {
            (true, _) => Verdict::Better,
            (_, true) => Verdict::Worse,
            _ => Verdict::Unclear,
        }
    }
}

/// The 97.5 % quantile of Student's distribution with so many degrees of freedom, at least one: exact for one and two, else by the
/// expansion of Cornish and Fisher, within 0.3 %.
fn student(freedom: usize) -> f64 {
    const Z: f64 = 1.959_963_984_540_054;
    let n = freedom as f64;
    match freedom {
        0 | 1 => 12.706_204_736_174_7,
        2 => 4.302_652_729_911_28,
        _ => {
            let (z2, z3) = (Z * Z, Z * Z * Z);
            let first = (z3 + Z) / 4.0;
            let second = (5.0 * z2 * z3 + 16.0 * z3 + 3.0 * Z) / 96.0;
            let third = (3.0 * z2 * z2 * z3 + 19.0 * z2 * z3 + 17.0 * z3 - 15.0 * Z) / 384.0;
            let fourth =
                (79.0 * z3 * z3 * z3 + 776.0 * z2 * z2 * z3 + 1482.0 * z2 * z3 - 1920.0 * z3 - 945.0 * Z) / 92_160.0;
            Z + first / n + second / n.powi(2) + third / n.powi(3) + fourth / n.powi(4)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds with this throughput before and after, and with times that go the other way.
    fn pairs(values: &[[f64; 2]]) -> Vec<[Figures; 2]> {
        let figures = |rate: &f64| Figures { throughput: *rate, first_token: 1.0 / rate, between: f64::NAN };
        values.iter().map(|pair| [figures(&pair[0]), figures(&pair[1])]).collect()
    }

    #[test]
    fn gains_have_bounds() {
        let check = |values: &[[f64; 2]], [least, share, most]: [f64; 3], verdict: Verdict| {
            let gain = Gain::of(Measure::Throughput, &pairs(values)).expect("rounds");
            let close = |a: f64, b: f64| (a - b).abs() < 2e-3;
            assert!(close(gain.least, least) && close(gain.share, share) && close(gain.most, most), "{gain:?}");
            assert_eq!(gain.verdict(), verdict, "{gain:?}");
            let time = Gain::of(Measure::FirstToken, &pairs(values)).expect("rounds");
            // What is done so many times as often takes so much less time.
            assert!(close(time.share, 1.0 - 1.0 / (1.0 + share)) && time.verdict() == verdict, "{time:?}");
        };
        check(&[[100.0, 125.0]; 4], [0.25; 3], Verdict::Better);
        check(&[[100.0, 80.0], [1000.0, 800.0]], [-0.2; 3], Verdict::Worse);
        check(&[[100.0, 100.0], [50.0, 50.0]], [0.0; 3], Verdict::Unclear);
        // Logs of 0.1, 0.2 and 0.3: mean 0.2, standard error 0.057735, quantile 4.303.
        let logs = [0.1_f64, 0.2, 0.3].map(|log| [10.0, 10.0 * log.exp()]);
        let bounds = [0.2 - 0.248_414, 0.2, 0.2 + 0.248_414].map(|log: f64| log.exp() - 1.0);
        check(&logs, bounds, Verdict::Unclear);
    }

    #[test]
    fn nothing_is_said_of_what_was_not_measured() {
        assert_eq!(Gain::of(Measure::Between, &pairs(&[[1.0, 2.0]; 5])), None);
        assert_eq!(Gain::of(Measure::Throughput, &pairs(&[[1.0, 2.0]])), None);
        assert_eq!(Gain::of(Measure::Throughput, &pairs(&[[1.0, 2.0], [0.0, 1.0], [f64::INFINITY, 1.0]])), None);
    }

    #[test]
    fn quantiles_are_students() {
        for (freedom, wanted) in
            [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (29, 2.0452)]
        {
            let found = student(freedom);
            assert!((found / wanted - 1.0).abs() < 3e-3, "{freedom}: {found}, not {wanted}");
        }
    }
}
