//! How much an answer repeats itself, by its tokens.

/// Tokens of a run that counts as repeated: fewer repeat in any text.
const RUN: usize = 4;

/// Tokens at an answer's end that are looked at: what a model that cannot stop writes fills them.
const LAST: usize = 256;

/// Fewer tokens say nothing.
const LEAST: usize = 24;

/// The runs of four tokens at an answer's end, and how many of them were there before: seq-rep-4 of Welleck et al. 2019 (Neural
/// Text Generation with Unlikelihood Training). Prose has few, tables and code some, a loop nearly all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repetition {
    /// Runs that were there before.
    pub repeated: usize,
    /// All of them; none in an answer that is too short to say anything.
    pub runs: usize,
}

impl Repetition {
    /// That of an answer.
    pub fn of(answer: &[u32]) -> Repetition {
        if answer.len() < LEAST {
            return Repetition::default();
        }
        let last = &answer[answer.len().saturating_sub(LAST)..];
        let mut runs: Vec<&[u32]> = last.windows(RUN).collect();
        let all = runs.len();
        runs.sort_unstable();
        runs.dedup();
        Repetition { repeated: all - runs.len(), runs: all }
    }

    /// The share that was there before, 0 to 1; `None` of an answer that is too short.
    pub fn share(&self) -> Option<f64> {
        (self.runs > 0).then(|| self.repeated as f64 / self.runs as f64)
    }

    /// The one of two that repeats more.
    #[must_use]
    pub fn worse(self, other: Repetition) -> Repetition {
        if other.share() > self.share() { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: impl IntoIterator<Item = u32>, wanted: Option<f64>) {
        let answer: Vec<u32> = answer.into_iter().collect();
        let found = Repetition::of(&answer).share();
        let same = match (found, wanted) {
            (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-9,
            (found, wanted) => found == wanted,
        };
        assert!(same, "{found:?}, not {wanted:?} of {answer:?}");
    }

    #[test]
    fn repeated_runs_are_counted_at_the_end() {
        check([], None);
        check(0..23, None);
        check(0..24, Some(0.0));
        check(0..5000, Some(0.0));
        check([7; 23], None);
        check([7; 24], Some(20.0 / 21.0));
        check([7; 4000], Some(252.0 / 253.0));
        // Twenty tokens again and again: the first twenty runs are new.
        check((0..4000).map(|at| at % 20), Some(233.0 / 253.0));
        check((0..100).map(|at| at % 50), Some(47.0 / 97.0));
        // What was long ago does not count.
        check([7; 500].into_iter().chain(0..256), Some(0.0));
        check((0..500).chain([7; 256]), Some(252.0 / 253.0));
        // Three tokens in a row may be there again.
        check((0..100).map(|at| if at % 4 == 3 { at } else { at % 4 }), Some(0.0));
    }

    #[test]
    fn the_worse_of_two_counts() {
        let short = Repetition::default();
        let (none, half) = (Repetition { repeated: 0, runs: 9 }, Repetition { repeated: 5, runs: 10 });
        for (one, other, wanted) in [(short, none, none), (none, half, half), (half, none, half), (half, short, half)] {
            assert_eq!(one.worse(other), wanted, "{one:?} {other:?}");
        }
    }
}
