//! Which weights of a row become zero.

use crate::{Error, Feedback};

/// By what weights are chosen. Those of a row compete with each other, as all rows of a matrix have the same inputs.
#[derive(Clone, Copy)]
pub enum Method<'a> {
    /// The smallest.
    Magnitude,
    /// The smallest times the size of their inputs (Sun et al. 2023): the mean squares of each column.
    Wanda(&'a [f32]),
    /// Those that others make up for best, which they then do (Frantar and Alistarh 2023).
    SparseGpt(&'a Feedback),
}

/// Which weights may be zero together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// Any, this share of a row.
    Free(f64),
    /// So many of every group of so many neighbours, such as 2 of 4.
    Groups {
        /// Zeros of a group.
        zeros: usize,
        /// Weights of a group.
        of: usize,
    },
    /// Whole blocks of so many neighbours, this share of a row.
    Blocks {
        /// Weights of a block.
        len: usize,
        /// The share.
        share: f64,
    },
}

/// Columns that SparseGPT decides on together where the pattern does not say it.
const TOGETHER: usize = 128;

impl Pattern {
    /// Reads a pattern: `2:4` and `4:8` are zeros of groups, `block16` blocks of 16, `free` any weights. The share is that of `sparsity` where
    /// the pattern does not say it.
    ///
    /// # Errors
    /// If it is none, or the share is not between 0 and 1.
    pub fn parse(text: &str, sparsity: f64) -> Result<Pattern, String> {
        if !(sparsity > 0.0 && sparsity < 1.0) {
            return Err(format!("a sparsity of {sparsity} is not between 0 and 1"));
        }
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0);
        let groups = text.split_once(':').and_then(|(zeros, of)| Some((number(zeros)?, number(of)?)));
        match (text, groups, text.strip_prefix("block").and_then(number)) {
            ("free", ..) => Ok(Pattern::Free(sparsity)),
            (_, Some((zeros, of)), _) if zeros < of => Ok(Pattern::Groups { zeros, of }),
            (_, _, Some(len)) => Ok(Pattern::Blocks { len, share: sparsity }),
            _ => Err(format!("{text}: is no pattern; want free, 2:4, 4:8 or block16")),
        }
    }

    /// The same with another share, where it takes one.
    #[must_use]
    pub fn with_share(self, share: f64) -> Pattern {
        match self {
            Pattern::Free(_) => Pattern::Free(share),
            Pattern::Groups { .. } => self,
            Pattern::Blocks { len, .. } => Pattern::Blocks { len, share },
        }
    }

    /// Which of these weights become zero: those with the smallest scores. `scores` begin at a multiple of the pattern's length.
    pub(super) fn zeros(self, scores: &[f32]) -> Vec<bool> {
        let mut zeros = vec![false; scores.len()];
        match self {
            Pattern::Free(share) => smallest(scores, part(share, scores.len())).for_each(|i| zeros[i] = true),
            Pattern::Groups { zeros: count, of } => {
                for (scores, zeros) in scores.chunks(of).zip(zeros.chunks_mut(of)) {
                    // A group at the end that is not whole has fewer.
                    smallest(scores, count * scores.len() / of).for_each(|i| zeros[i] = true);
                }
            }
            Pattern::Blocks { len, share } => {
                let sums: Vec<f32> = scores.chunks(len).map(|block| block.iter().sum()).collect();
                let places = smallest(&sums, part(share, sums.len()));
                places.for_each(|i| zeros.chunks_mut(len).skip(i).take(1).for_each(|block| block.fill(true)));
            }
        }
        zeros
    }

    /// Columns that SparseGPT decides on together: a group when it is reached, else as many as are moved little by what comes before.
    fn together(self) -> usize {
        match self {
            Pattern::Free(_) => TOGETHER,
            Pattern::Groups { of, .. } => of,
            Pattern::Blocks { len, .. } => TOGETHER.next_multiple_of(len),
        }
    }
}

/// A share of so many.
fn part(share: f64, of: usize) -> usize {
    (share * of as f64) as usize
}

/// The places of the `count` smallest; of equals the first.
fn smallest(scores: &[f32], count: usize) -> impl Iterator<Item = usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order.into_iter().take(count)
}

/// Sets weights of a row to zero; says which.
///
/// # Errors
/// If what is known of the inputs is not of as many columns.
pub fn prune(row: &mut [f32], method: Method<'_>, pattern: Pattern) -> Result<Vec<bool>, Error> {
    let scores: Vec<f32> = match method {
        Method::SparseGpt(feedback) => return fed_back(row, feedback, pattern),
        Method::Magnitude => row.iter().map(|x| x.abs()).collect(),
        Method::Wanda(squares) if squares.len() == row.len() => scores(row, squares),
        Method::Wanda(squares) => return Err(mismatch(row, squares.len())),
    };
    let zeros = pattern.zeros(&scores);
    row.iter_mut().zip(&zeros).filter(|(_, zero)| **zero).for_each(|(x, _)| *x = 0.0);
    Ok(zeros)
}

/// The sizes of weights times those of their inputs.
pub(super) fn scores(row: &[f32], squares: &[f32]) -> Vec<f32> {
    row.iter().zip(squares).map(|(x, square)| x.abs() * square.sqrt()).collect()
}

fn mismatch(row: &[f32], known: usize) -> Error {
    Error::Request(format!("a row of {} columns, but the inputs of {known} are known; calibrate this model", row.len()))
}

/// A weight costs its square over that of its pivot, as what it loses is made good in the columns that follow.
fn fed_back(row: &mut [f32], feedback: &Feedback, pattern: Pattern) -> Result<Vec<bool>, Error> {
    let pivots = feedback.pivots();
    if pivots.len() != row.len() {
        return Err(mismatch(row, pivots.len()));
    }
    let zeros = std::cell::RefCell::new(vec![false; row.len()]);
    let begin = |first: usize, values: &[f32]| {
        let scores: Vec<f32> = values.iter().zip(&pivots[first..]).map(|(x, pivot)| (x / pivot).powi(2)).collect();
        zeros.borrow_mut()[first..first + values.len()].copy_from_slice(&pattern.zeros(&scores));
    };
    let group = pattern.together();
    feedback.quantize(row, group, begin, |column, x| if zeros.borrow()[column] { 0.0 } else { x });
    Ok(zeros.into_inner())
}
