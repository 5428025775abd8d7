//! What a device says about itself before a graph is made for it.

use crate::{Elem, Limits, Rule, ValueInfo};

/// A device, as far as graphs and plans depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// The fusion rules whose results it can compute, in the order in which they are applied.
    pub rules: &'static [Rule],
    /// How it lays out values.
    pub layout: Layout,
    /// Whether rows of a batch may have adapters ([`crate::Batch::adapters`]).
    pub adapts: bool,
    /// How many of the greatest numbers of an output row it can give in place of all ([`crate::Batch::top`]); 0: it gives all.
    pub top: usize,
}

/// How a device lays out the values of a step, in words of 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Values start at multiples of this many words; at least 1.
    pub align: usize,
    /// Words of an [`Elem::Q8`] row of so many columns.
    pub q8_words: fn(usize) -> usize,
    /// In [`Elem::Positions`], the positions of each block are rounded up to a multiple of this; at least 1.
    pub block_align: usize,
}

impl Layout {
    /// Words of a row, if a sequence has up to `limits.kv_blocks` blocks; `usize::MAX` if they cannot be counted.
    pub fn row_words(&self, info: ValueInfo, limits: &Limits) -> usize {
        match info.elem {
            Elem::F32 | Elem::U32 => info.width,
            Elem::Q8 { .. } => (self.q8_words)(info.width),
            Elem::Positions => {
                let block = limits.block_len.checked_next_multiple_of(self.block_align).unwrap_or(usize::MAX);
                info.width.saturating_mul(limits.kv_blocks).saturating_mul(block)
            }
        }
    }
}
