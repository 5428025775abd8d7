//! The shape of a weight.

/// `outer` matrices of `rows` × `cols`, stored row by row. A plain matrix has `outer` 1 (experts have more), a vector
/// is one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// How many matrices stand one after the other: the number of experts, else 1.
    pub outer: usize,
    /// Rows of each matrix: the width of what a product with it gives.
    pub rows: usize,
    /// Elements in a row: the width of what it is multiplied with.
    pub cols: usize,
}

impl Shape {
    /// A vector of `cols` elements.
    pub fn vector(cols: usize) -> Shape {
        Shape { outer: 1, rows: 1, cols }
    }

    /// One matrix.
    pub fn matrix(rows: usize, cols: usize) -> Shape {
        Shape { outer: 1, rows, cols }
    }

    /// Elements in all; `None` on overflow.
    pub fn elements(self) -> Option<usize> {
        self.outer.checked_mul(self.rows)?.checked_mul(self.cols)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.outer, self.rows) {
            (1, 1) => write!(f, "[{}]", self.cols),
            (1, rows) => write!(f, "[{rows}, {}]", self.cols),
            (outer, rows) => write!(f, "[{outer}, {rows}, {}]", self.cols),
        }
    }
}
