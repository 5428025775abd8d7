//! How long answers are: some reach their limit, others end by themselves.

/// Answers after which an old one counts for a third.
const MEMORY: f64 = 128.0;

/// What ended answers say of those that run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Answers {
    ended: f64,
    /// The share that reached its limit.
    whole: f64,
    /// Tokens of the others, on average.
    length: f64,
    /// What these averages are over.
    short: f64,
}

impl Answers {
    /// An answer has ended with so many tokens, at its limit or before.
    pub(crate) fn learn(&mut self, tokens: usize, whole: bool) {
        self.ended = (self.ended + 1.0).min(MEMORY);
        self.whole += (f64::from(u8::from(whole)) - self.whole) / self.ended;
        if !whole {
            self.short = (self.short + 1.0).min(MEMORY);
            self.length += (tokens as f64 - self.length) / self.short;
        }
    }

    /// Tokens that an answer is expected to have yet, of `most` at most. What ends by itself does so at any token with the
    /// same chance, however long it is already. `place` of `of` that run at once is how soon it ends among them: the first of
    /// many ends early.
    pub(crate) fn left(&self, most: usize, (place, of): (usize, usize)) -> usize {
        if self.ended < 1.0 {
            return most;
        }
        // The mean of this place among as many lengths of the same exponential distribution.
        let order: f64 = (of.saturating_sub(place)..=of).filter(|n| *n > 0).map(|n| 1.0 / n as f64).sum();
        let short = (self.length * order).max(1.0).min(most as f64);
        (self.whole * most as f64 + (1.0 - self.whole) * short).round() as usize
    }
}

impl Answers {
    /// Tokens that nineteen in twenty answers have at least, of `most` at most.
    pub(crate) fn least(&self, most: usize) -> usize {
        let short = (self.length * 0.05).max(1.0) as usize;
        if self.whole > 0.95 { most } else { short.min(most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_long_as_those_before() {
        let mut answers = Answers::default();
        assert_eq!(answers.left(100, (0, 1)), 100);
        (0..1000).for_each(|_| answers.learn(50, true));
        assert_eq!(answers.left(100, (0, 1)), 100);
        (0..1000).for_each(|i| answers.learn(10 + i % 21, false));
        for (most, place, wanted) in [(100, (0, 1), 20), (7, (0, 1), 7), (100, (0, 4), 5), (100, (3, 4), 42)] {
            let left = answers.left(most, place);
            assert!(left.abs_diff(wanted) <= 1, "{left} tokens of {most} at {place:?}, not {wanted}");
        }
        assert_eq!((answers.least(100), Answers::default().least(9)), (1, 1));
    }
}
