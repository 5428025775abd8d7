//! A sketch of how values are spread: counts in buckets that grow by 2 %, so that every quantile is within 1 % of a value.
//!
//! It is the DDSketch of Masson, Rim and Lee (VLDB 2019) over whole numbers. Sketches add up, and what was added can be taken
//! away again exactly: that is how windows slide.

use crate::Quantiles;

/// Largest error of a quantile, as a share of it.
const ERROR: f64 = 0.01;

/// Buckets' ends have this ratio.
const RATIO: f64 = (1.0 + ERROR) / (1.0 - ERROR);

/// Values beyond it count as it: a day in microseconds.
const MOST: u64 = 86_400_000_000;

/// Values, by bucket. Bucket `i` holds what is above `RATIO^(i-1)` and at most `RATIO^i`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// The bucket of the first count.
    first: usize,
    counts: Vec<u32>,
    count: u64,
    sum: u64,
}

impl Sketch {
    /// Adds a value so many times. Zero counts as one.
    pub fn add(&mut self, value: u64, times: u32) {
        if times == 0 {
            return;
        }
        let value = value.clamp(1, MOST);
        let bucket = bucket(value);
        self.reach(bucket, bucket);
        let count = &mut self.counts[bucket - self.first];
        *count = count.saturating_add(times);
        self.count += u64::from(times);
        self.sum = self.sum.saturating_add(value.saturating_mul(u64::from(times)));
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Sketch) {
        let Some(last) = other.counts.len().checked_sub(1) else { return };
        self.reach(other.first, other.first + last);
        let from = other.first - self.first;
        self.counts[from..]
            .iter_mut()
            .zip(&other.counts)
            .for_each(|(count, more)| *count = count.saturating_add(*more));
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Takes the values of another away, which were added before.
    pub fn subtract(&mut self, other: &Sketch) {
        for (count, bucket) in other.counts.iter().zip(other.first..) {
            if let Some(own) = bucket.checked_sub(self.first).and_then(|at| self.counts.get_mut(at)) {
                *own = own.saturating_sub(*count);
            }
        }
        self.count = self.count.saturating_sub(other.count);
        self.sum = self.sum.saturating_sub(other.sum);
        if self.count == 0 {
            *self = Sketch::default();
        }
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The value that a share of all values does not exceed; `None` without values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        self.quantiles([share])[0]
    }

    /// Several of them, in ascending order.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [Option<f64>; N] {
        // Counts may have been cut at the most that they hold.
        let all: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let (mut found, mut at, mut below) = ([None; N], 0, 0);
        for (count, bucket) in self.counts.iter().zip(self.first..) {
            below += u64::from(*count);
            while at < N && *count > 0 && below as f64 >= (shares[at] * all as f64).max(1.0) {
                found[at] = Some(middle(bucket));
                at += 1;
            }
        }
        found
    }

    /// A summary, each value multiplied by `unit`; `None` without values.
    pub fn summary(&self, unit: f64) -> Option<Quantiles> {
        let [p50, p90, p99, max] = self.quantiles([0.5, 0.9, 0.99, 1.0]).map(|value| value.unwrap_or_default() * unit);
        let mean = self.sum as f64 / self.count.max(1) as f64 * unit;
        (self.count > 0).then_some(Quantiles { count: self.count, mean, p50, p90, p99, max })
    }

    /// Has counts for these buckets and all between.
    fn reach(&mut self, first: usize, last: usize) {
        if self.counts.is_empty() {
            self.first = first;
        }
        if first < self.first {
            let more = self.first - first;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = first;
        }
        if last >= self.first + self.counts.len() {
            self.counts.resize(last - self.first + 1, 0);
        }
    }
}

fn bucket(value: u64) -> usize {
    ((value as f64).ln() / RATIO.ln()).ceil() as usize
}

/// What is at most 1 % from everything in a bucket.
fn middle(bucket: usize) -> f64 {
    2.0 * RATIO.powi(bucket as i32) / (1.0 + RATIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of every size, the same each time.
    fn values(count: u64) -> Vec<u64> {
        (0..count).map(|i| 10u64.pow((i * 7919 % 8) as u32) * (1 + i * 104_729 % 97)).collect()
    }

    fn sketch(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value, 1));
        sketch
    }

    #[test]
    fn quantiles_are_within_one_percent() {
        for count in [1, 2, 10, 1000, 5000] {
            let mut values = values(count);
            let sketch = sketch(&values);
            values.sort_unstable();
            assert_eq!((sketch.count(), sketch.sum()), (count, values.iter().sum()));
            for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
                let rank = ((share * count as f64).ceil() as usize).max(1) - 1;
                let (found, exact) = (sketch.quantile(share).expect("values"), values[rank] as f64);
                assert!((found / exact - 1.0).abs() <= ERROR + 1e-9, "{share} of {count}: {found}, not {exact}");
            }
        }
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!(Sketch::default().summary(1.0), None);
    }

    #[test]
    fn what_was_added_can_be_taken_away() {
        let (one, two) = (values(300), values(700));
        let mut both = sketch(&one);
        both.merge(&sketch(&two[300..]));
        assert_eq!(both, sketch(&two));
        both.subtract(&sketch(&one));
        let rest = sketch(&two[300..]);
        assert_eq!((both.count(), both.sum()), (rest.count(), rest.sum()));
        assert_eq!(both.summary(1.0), rest.summary(1.0));
        both.subtract(&rest);
        assert_eq!(both, Sketch::default());
    }

    #[test]
    fn no_value_is_too_large_or_too_small() {
        let mut sketch = Sketch::default();
        sketch.add(0, 1);
        sketch.add(u64::MAX, u32::MAX);
        sketch.add(u64::MAX, u32::MAX);
        assert!(sketch.quantile(0.0).is_some_and(|least| (0.98..1.02).contains(&least)));
        assert!(sketch.quantile(1.0).is_some_and(|most| (most / MOST as f64 - 1.0).abs() < 0.02));
        assert!(sketch.counts.len() < 1300, "{}", sketch.counts.len());
    }
}
