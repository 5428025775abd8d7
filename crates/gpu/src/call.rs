//! What a step asks the device to do: calls of kernels, as data.

use graph::Rows;

use crate::kernel::Kernel;

/// One call of a kernel, the same in every step but for how many rows there are.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The kernels that compute it, by the rows that a workgroup takes, fewest first; all give the same bits.
    pub(crate) kernels: Vec<(u32, Kernel)>,
    /// The words of `Params`.
    pub(crate) params: Vec<u32>,
    /// What it reads and writes besides values, the batch and its parameters.
    pub(crate) binds: Vec<Bind>,
    /// Workgroups. The rows of a tile divide the second.
    pub(crate) grid: [Extent; 3],
}

/// A buffer that a call reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// A part of the weight with this index.
    Weight(usize, usize),
    /// Another weight, whole.
    Second(usize),
    /// The weight whose products a gate opens, whole.
    Up(usize),
    /// The keys of a layer.
    Keys(usize),
    /// The values of a layer.
    Values(usize),
    /// The states of a layer.
    State(usize),
    /// One of these where whole blocks or states are copied.
    Copied(Memory, usize),
}

/// A memory of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Keys,
    Values,
    State,
}

impl Bind {
    /// Its number in the texts of kernels.
    pub(crate) fn number(self) -> u32 {
        match self {
            Bind::Weight(..) => 3,
            Bind::Second(_) => 4,
            Bind::Keys(_) => 5,
            Bind::Values(_) => 6,
            Bind::State(_) | Bind::Copied(..) => 7,
            Bind::Up(_) => 8,
        }
    }
}

/// How many workgroups there are in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Always so many.
    Fixed(u32),
    /// Of rows, so many for each.
    Rows(Rows, u32),
    /// One for so many rows.
    RowsBy(Rows, u32),
    /// One for each sequence.
    Spans,
    /// One for each row, if attention is not split over the cache.
    Unsplit,
    /// One for each part that attention is split into.
    Parts,
    /// One for each row, if attention is split.
    Split,
    /// One for each output row of which the greatest numbers are wanted.
    Top,
    /// One for so many positions of the longest sequence.
    Positions(u32),
    /// So many if blocks are copied.
    IfCopies(u32),
    /// So many if states are copied.
    IfStateCopies(u32),
}

/// The sizes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u32,
    pub(crate) outputs: u32,
    pub(crate) spans: u32,
    pub(crate) longest: u32,
    pub(crate) copies: u32,
    pub(crate) state_copies: u32,
    /// Parts that attention is split into, over all rows; 0 if it is not split.
    pub(crate) parts: u32,
    /// Output rows of which the greatest numbers are wanted, and how many of each at most.
    pub(crate) top: u32,
    pub(crate) most: u32,
}

impl Counts {
    fn of(&self, rows: Rows) -> u32 {
        match rows {
            Rows::Tokens => self.rows,
            Rows::Outputs => self.outputs,
        }
    }

    fn extent(&self, extent: Extent) -> u32 {
        match extent {
            Extent::Fixed(n) => n,
            Extent::Rows(rows, each) => self.of(rows) * each,
            Extent::RowsBy(rows, by) => self.of(rows).div_ceil(by),
            Extent::Spans => self.spans,
            Extent::Unsplit => {
                if self.parts == 0 {
                    self.rows
                } else {
                    0
                }
            }
            Extent::Parts => self.parts,
            Extent::Split => {
                if self.parts == 0 {
                    0
                } else {
                    self.rows
                }
            }
            Extent::Top => self.top,
            Extent::Positions(by) => self.longest.div_ceil(by),
            Extent::IfCopies(n) => n * self.copies.min(1),
            Extent::IfStateCopies(n) => n * self.state_copies.min(1),
        }
    }
}

impl Call {
    /// Which of its kernels computes a batch of these sizes, and in how many workgroups; `None` if there is nothing to do.
    pub(crate) fn workgroups(&self, counts: &Counts) -> Option<(usize, [u32; 3])> {
        let [x, y, z] = self.grid.map(|extent| counts.extent(extent));
        let chosen = self.kernels.iter().position(|&(tile, _)| tile >= y).unwrap_or(self.kernels.len() - 1);
        let groups = [x, y.div_ceil(self.kernels[chosen].0), z];
        groups.iter().all(|&n| n > 0).then_some((chosen, groups))
    }
}

/// A graph asks for what the GPU does not compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the GPU does not compute {}; use --device cpu", .operators.join(", "))]
pub struct Unsupported {
    /// The operators, each once.
    pub operators: Vec<String>,
}
