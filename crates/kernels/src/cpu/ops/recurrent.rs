//! Recurrent layers: a state for each sequence, brought forward row by row. A row's result depends on its own sequence's rows and state
//! alone, and on their order. So it does not matter how a prompt is cut or what else is in the batch.

mod conv;
mod delta;
mod scan;

pub(super) use conv::CausalConv;
pub(super) use delta::GatedDelta;
pub(super) use scan::Scan;

use graph::{BackendError, Batch, Span};

use super::Worker;
use crate::cpu::memory::{Buffer, Shared};
use crate::cpu::simd::{LANES, Simd};

/// One layer's states, a slot for each sequence.
#[derive(Debug)]
pub(crate) struct States {
    len: usize,
    data: Buffer<f32>,
}

impl States {
    pub(crate) fn new(len: usize, slots: usize) -> Result<States, BackendError> {
        Ok(States { len, data: Buffer::zeroed(len.saturating_mul(slots), "recurrent states")? })
    }

    /// Memory they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes()
    }

    /// Copies whole states (from, to), in order.
    pub(crate) fn copy(&mut self, copies: &[(u32, u32)]) {
        for &(from, to) in copies {
            let from = from as usize * self.len;
            self.data.copy_within(from..from + self.len, to as usize * self.len);
        }
    }

    /// The state in a slot; `None` if there is no such slot.
    pub(crate) fn slot(&self, slot: u32) -> Option<&[f32]> {
        self.data.get(slot as usize * self.len..)?.get(..self.len)
    }

    pub(crate) fn slot_mut(&mut self, slot: u32) -> Option<&mut [f32]> {
        self.data.get_mut(slot as usize * self.len..)?.get_mut(..self.len)
    }

    /// Gives the memory of states back to the system.
    pub(crate) fn forget(&mut self, slots: &[u32]) {
        for &slot in slots {
            let from = slot as usize * self.len;
            self.data.forget(from..from + self.len);
        }
    }
}

/// Some columns of the state of one head of one sequence, and where their results go. No other task has them at the same time.
///
/// A head's state is kept by such blocks of up to 16 columns, so that the rows of each are next to each other.
struct Block<'a> {
    span: &'a Span,
    head: usize,
    /// The first of the columns, and how many there are.
    first: usize,
    lanes: usize,
    state: &'a mut [f32],
    out: Shared<'a, f32>,
    /// Columns of one head, and of all: those of a row of the results.
    columns: usize,
    width: usize,
}

/// The heads of a recurrent layer whose state is a matrix for each, `[rows, columns]`.
#[derive(Clone, Copy)]
struct Heads {
    heads: usize,
    rows: usize,
    columns: usize,
}

impl Heads {
    /// Calls `work` for every block of columns. A sequence that begins has a state of zeros.
    fn each_block(
        self,
        cpu: &mut Worker,
        states: &mut States,
        batch: &Batch,
        out: &mut [f32],
        work: impl Fn(Block) + Sync,
    ) {
        let Heads { heads, rows, columns } = self;
        let (len, blocks) = (states.len, columns.div_ceil(LANES));
        let (data, out) = (Shared::new(&mut states.data), Shared::new(out));
        cpu.pool.run(batch.spans.len() * heads * blocks, &|_, task| {
            let (span, head) = (&batch.spans[task / (heads * blocks)], task / blocks % heads);
            let (first, slot) = (task % blocks * LANES, span.state.expect("checked with the batch") as usize);
            let lanes = LANES.min(columns - first);
            #[allow(unsafe_code)]
            // SAFETY: no other task has these columns of the head, and no other span the slot.
            let state = unsafe { data.part(slot * len + head * rows * columns + rows * first, rows * lanes) };
            if span.position == 0 {
                state.fill(0.0);
            }
            work(Block { span, head, first, lanes, state, out, columns, width: heads * columns });
        });
    }
}

impl Block<'_> {
    /// Row `i` of the columns.
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, i: usize) -> S::F {
        load(s, &self.state[i * self.lanes..][..self.lanes])
    }

    #[inline(always)]
    fn set_row<S: Simd>(&mut self, s: S, i: usize, x: S::F) {
        store(s, &mut self.state[i * self.lanes..][..self.lanes], x);
    }

    /// The block's columns of a row of values as wide as the results.
    #[inline(always)]
    fn of<'x>(&self, x: &'x [f32], row: usize) -> &'x [f32] {
        &x[self.place(row)..][..self.lanes]
    }

    /// Stores the result for row `row` of the batch.
    #[inline(always)]
    fn give<S: Simd>(&self, s: S, row: usize, x: S::F) {
        // SAFETY: these columns of the sequence's rows are this block's own.
        #[allow(unsafe_code)]
        let out = unsafe { self.out.part(self.place(row), self.lanes) };
        store(s, out, x);
    }

    fn place(&self, row: usize) -> usize {
        row * self.width + self.head * self.columns + self.first
    }
}

/// Up to 16 numbers, and zeros after them.
#[inline(always)]
fn load<S: Simd>(s: S, x: &[f32]) -> S::F {
    match x.as_array() {
        Some(all) => s.load(all),
        None => s.load(&padded(x)),
    }
}

/// The first of the lanes.
#[inline(always)]
fn store<S: Simd>(s: S, to: &mut [f32], x: S::F) {
    if let Some(all) = to.as_mut_array() {
        return s.store(all, x);
    }
    let mut all = [0.0; LANES];
    s.store(&mut all, x);
    to.copy_from_slice(&all[..to.len()]);
}

/// The sum of chains that took their terms in turn.
#[inline(always)]
fn joined<S: Simd>(s: S, [a, b, c, d]: [S::F; 4]) -> S::F {
    s.add(s.add(a, b), s.add(c, d))
}

/// Up to 16 numbers, and zeros after them.
#[inline(always)]
fn padded(x: &[f32]) -> [f32; LANES] {
    let mut all = [0.0; LANES];
    all[..x.len()].copy_from_slice(x);
    all
}
