//! Hidden states of the model that is drafted for, kept until a head reads them.

use std::ops::Range;

/// Rows that a head reads beside tokens, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HiddenOf<'r> {
    /// The model's.
    Model(&'r [f32]),
    /// The head's own, of tokens that it has drafted.
    Head(&'r [f32]),
}

/// Rows of a sequence, of positions one after the other.
#[derive(Debug, Default)]
pub(crate) struct HiddenRows {
    /// The position of the first.
    first: usize,
    /// How many numbers each has; 0 as long as there never was one.
    width: usize,
    rows: Vec<f32>,
}

impl HiddenRows {
    /// The position of the first row.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// The position after the last row.
    pub(super) fn end(&self) -> usize {
        self.first + self.rows.len() / self.width.max(1)
    }

    /// The rows of these positions.
    ///
    /// # Panics
    /// If they are not there.
    pub(super) fn of(&self, positions: Range<usize>) -> &[f32] {
        &self.rows[(positions.start - self.first) * self.width..(positions.end - self.first) * self.width]
    }

    /// Takes the rows of the positions from `position` on. What there was of these is replaced; what does not reach up to them is of no
    /// use any more. Rows of positions before `needed` are not kept.
    pub(super) fn take(&mut self, position: usize, rows: &[f32], width: usize, needed: usize) {
        if position < self.first || position > self.end() || width != self.width {
            (self.first, self.width) = (position, width);
            self.rows.clear();
        }
        self.rows.truncate((position - self.first) * width);
        self.rows.extend_from_slice(rows);
        self.forget_before(needed);
    }

    /// Forgets the rows of positions before this one.
    pub(super) fn forget_before(&mut self, position: usize) {
        let gone = position.min(self.end()).saturating_sub(self.first);
        self.rows.drain(..gone * self.width);
        self.first += gone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_of_positions_one_after_the_other() {
        let mut kept = HiddenRows::default();
        let mut check = |position: usize, rows: &[f32], needed: usize, expect: (usize, &[f32])| {
            kept.take(position, rows, 1, needed);
            assert_eq!((kept.first(), kept.of(kept.first()..kept.end())), expect);
        };
        check(4, &[4.0, 5.0], 0, (4, &[4.0, 5.0]));
        check(6, &[6.0, 7.0, 8.0], 5, (5, &[5.0, 6.0, 7.0, 8.0]));
        // The last two were of tokens that were not chosen.
        check(7, &[7.5], 5, (5, &[5.0, 6.0, 7.5]));
        check(8, &[8.0], 9, (9, &[]));
        check(9, &[9.0], 9, (9, &[9.0]));
        // It goes on elsewhere, then from the beginning.
        check(20, &[20.0, 21.0], 9, (20, &[20.0, 21.0]));
        check(0, &[0.0, 1.0], 1, (1, &[1.0]));
    }
}
