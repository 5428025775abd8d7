//! How long a step takes: a time of its own, and a time for each row and each position that is read.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use engine::Work;

/// The time of a step is the sum of these. In nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Of a step.
    pub step: f64,
    /// Of a row of a prompt.
    pub prefill: f64,
    /// Of a row that decodes.
    pub decode: f64,
    /// Of a position that attention reads.
    pub context: f64,
}

impl Cost {
    /// Of a step that computes this.
    pub fn of(&self, work: Work) -> Duration {
        let rows = self.prefill * work.prefill_rows as f64 + self.decode * work.decode_rows as f64;
        Duration::from_nanos((self.step + rows + self.context * work.context as f64).max(1.0) as u64)
    }

    /// What a fitted model says of single steps, laid out as a sum.
    pub fn fitted(model: &engine::LatencyModel) -> Option<Cost> {
        let time = |prefill_rows, decode_rows, context| {
            let time = model.predict(Work { prefill_rows, decode_rows, context, ..Work::default() })?;
            Some(time.as_nanos() as f64)
        };
        const MANY: usize = 1 << 20;
        let step = time(0, 0, 0)?;
        let each = |time: Option<f64>| Some((time? - step).max(0.0) / MANY as f64);
        Some(Cost {
            step,
            prefill: each(time(MANY, 0, 0))?,
            decode: each(time(0, MANY, 0))?,
            context: each(time(0, 0, MANY))?,
        })
    }
}

impl Display for Cost {
    /// As it is read.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Cost { step, prefill, decode, context } = self;
        write!(f, "{:.1},{:.2},{:.2},{:.3}", step / 1e3, prefill / 1e3, decode / 1e3, context)
    }
}

/// Four numbers with commas between: microseconds of a step, of a row of a prompt, of a row that decodes, and of a thousand
/// positions that are read.
impl FromStr for Cost {
    type Err = String;

    fn from_str(text: &str) -> Result<Cost, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
        let numbers: Option<Vec<f64>> = text.split(',').map(number).collect();
        let Some(&[step, prefill, decode, context]) = numbers.as_deref() else {
            return Err("four numbers, at least 0, with commas between: STEP,PREFILL,DECODE,CONTEXT".to_owned());
        };
        Ok(Cost { step: step * 1e3, prefill: prefill * 1e3, decode: decode * 1e3, context })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_sums() {
        let cost: Cost = "5000,100,500,2".parse().expect("a cost");
        let time = cost.of(Work { prefill_rows: 10, decode_rows: 4, context: 3000, ..Work::default() });
        assert_eq!(time, Duration::from_micros(5000 + 1000 + 2000 + 6));
        for wrong in ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1,2,3,-4", "1,2,3,NaN", "1,2,3,inf"] {
            assert!(wrong.parse::<Cost>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fitted_model_gives_its_costs_back() {
        let cost: Cost = "5000,100,500,2".parse().expect("a cost");
        let mut model = engine::LatencyModel::default();
        assert_eq!(Cost::fitted(&model), None);
        for step in 1..400 {
            let work = Work {
                prefill_rows: step * 37 % 200,
                decode_rows: step * 11 % 16,
                context: step * 7919 % 60_000,
                ..Work::default()
            };
            model.learn(work, cost.of(work));
        }
        let fitted = Cost::fitted(&model).expect("enough steps");
        for (got, wanted) in [(fitted.step, 5e6), (fitted.prefill, 1e5), (fitted.decode, 5e5), (fitted.context, 2.0)] {
            assert!((got / wanted - 1.0).abs() < 0.02, "{got}, not {wanted}");
        }
    }
}
