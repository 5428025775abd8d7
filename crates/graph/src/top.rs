//! The greatest numbers of output rows in place of all ([`Batch::top`](crate::Batch::top)).

use std::cmp::Ordering;

/// What a batch has given: its output rows, each whole or its greatest numbers.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'o> {
    numbers: &'o [f32],
    width: usize,
    top: &'o [u32],
}

/// A row of the output.
#[derive(Clone, Copy, Debug)]
pub enum OutputRow<'o> {
    /// All of its numbers.
    Whole(&'o [f32]),
    /// The greatest of them.
    Top(Top<'o>),
}

/// The greatest numbers of a row, the first of equals first. Zeros of both signs are equal.
#[derive(Clone, Copy, Debug)]
pub struct Top<'o> {
    /// The logarithm of the sum of exp(x − the greatest number) over the whole row; 0 if all are minus infinity. NaN if a number of the row
    /// is NaN or plus infinity; the others mean nothing then.
    pub log_sum: f32,
    /// The numbers, in descending order.
    pub numbers: &'o [f32],
    /// Their places in the row.
    pub columns: &'o [f32],
}

impl<'o> Outputs<'o> {
    /// Rows of so many numbers, of each of which so many of the greatest were wanted (0: all), if of any.
    pub fn new(numbers: &'o [f32], width: usize, top: &'o [u32]) -> Outputs<'o> {
        Outputs { numbers, width, top }
    }

    /// Numbers of so many rows: as many as the batch has to give.
    pub fn len(rows: usize, width: usize, top: &[u32]) -> usize {
        if top.is_empty() { rows * width } else { top.iter().map(|&top| row_len(width, top)).sum() }
    }

    /// The numbers of all rows, one after the other.
    pub fn numbers(&self) -> &'o [f32] {
        self.numbers
    }

    /// Numbers of a whole row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = OutputRow<'o>> + use<'o> {
        let Outputs { mut numbers, width, top } = *self;
        let mut tops = top.iter().copied();
        std::iter::from_fn(move || {
            let top = tops.next().unwrap_or(0);
            let (row, rest) = numbers.split_at_checked(row_len(width, top)).filter(|(row, _)| !row.is_empty())?;
            numbers = rest;
            Some(OutputRow::new(row, top as usize))
        })
    }

    /// A row.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn row(&self, row: usize) -> OutputRow<'o> {
        let Outputs { numbers, width, top } = *self;
        let before = Outputs::len(row, width, top.get(..row).unwrap_or(&[]));
        let top = top.get(row).copied().unwrap_or(0);
        OutputRow::new(&numbers[before..before + row_len(width, top)], top as usize)
    }
}

/// Numbers that stand for a row of `width`.
fn row_len(width: usize, top: u32) -> usize {
    if top == 0 { width } else { 1 + 2 * top as usize }
}

impl<'o> OutputRow<'o> {
    fn new(row: &'o [f32], top: usize) -> OutputRow<'o> {
        match top {
            0 => OutputRow::Whole(row),
            _ => OutputRow::Top(Top { log_sum: row[0], numbers: &row[1..=top], columns: &row[1 + top..] }),
        }
    }

    /// All numbers, if they are there.
    pub fn whole(self) -> Option<&'o [f32]> {
        if let OutputRow::Whole(row) = self { Some(row) } else { None }
    }
}

/// Adds to `out` what stands for a row of which the `top` greatest numbers are wanted, as plainly as it can be written: all of it for 0, else
/// the fields of [`Top`], one after the other.
pub fn reduce(row: &[f32], top: usize, out: &mut Vec<f32>) {
    if top == 0 {
        return out.extend_from_slice(row);
    }
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| descending(row[a], row[b]).then(a.cmp(&b)));
    order.truncate(top);
    let bad = row.iter().any(|x| x.is_nan() || *x == f32::INFINITY);
    let greatest = order.first().map_or(f32::NEG_INFINITY, |&first| row[first]);
    let sum: f64 = row.iter().filter(|x| **x > f32::NEG_INFINITY).map(|x| f64::from(x - greatest).exp()).sum();
    out.push(if bad { f32::NAN } else { sum.max(1.0).ln() as f32 });
    out.extend(order.iter().map(|&column| row[column]));
    out.extend(order.iter().map(|&column| column as f32));
}

/// The order of the greatest numbers: zeros of both signs are equal.
pub fn descending(a: f32, b: f32) -> Ordering {
    (b + 0.0).total_cmp(&(a + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_whole_or_by_their_greatest_numbers() {
        let (a, b) = ([1.0, -0.0, 3.0, 0.0, 3.0], [f32::NEG_INFINITY; 5]);
        let top = [0, 4, 5];
        let mut numbers = vec![];
        [a, a, b].iter().zip(top).for_each(|(row, top)| reduce(row, top as usize, &mut numbers));
        let outputs = Outputs::new(&numbers, 5, &top);
        assert_eq!(numbers.len(), Outputs::len(3, 5, &top));
        assert_eq!(outputs.rows().count(), 3);
        assert_eq!(outputs.row(0).whole(), Some(&a[..]));
        let OutputRow::Top(of_a) = outputs.row(1) else { panic!("the greatest are wanted") };
        assert_eq!((of_a.numbers, of_a.columns), (&[3.0, 3.0, 1.0, 0.0][..], &[2.0, 4.0, 0.0, 1.0][..]));
        let sum: f64 = a.iter().map(|x| f64::from(x - 3.0).exp()).sum();
        assert!((f64::from(of_a.log_sum) - sum.ln()).abs() < 1e-6, "{of_a:?}");
        let OutputRow::Top(of_b) = outputs.row(2) else { panic!("the greatest are wanted") };
        assert_eq!((of_b.log_sum, of_b.columns), (0.0, &[0.0, 1.0, 2.0, 3.0, 4.0][..]));
        for bad in [f32::NAN, f32::INFINITY] {
            let mut numbers = vec![];
            reduce(&[1.0, bad, 2.0], 1, &mut numbers);
            assert!(numbers[0].is_nan(), "{bad}");
        }
    }
}
