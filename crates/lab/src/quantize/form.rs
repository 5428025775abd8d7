//! How each type quantizes: the table that one search serves for all of them.

use std::borrow::Cow;
use std::sync::LazyLock;

use tensor::DType;

use super::pack::levels;

/// A type of blocks: runs of values share a scale (and a minimum), and each value is a level times its run's scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) dtype: DType,
    /// Values in a block.
    pub(super) block: usize,
    /// Values that share a scale.
    pub(super) run: usize,
    pub(super) levels: Levels,
    pub(super) scales: Scales,
}

/// What a quant stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Levels {
    /// The integers between these, both included.
    Integers(i32, i32),
    /// An entry of a table.
    Table(&'static Table),
}

/// The levels of a type, in the order of the quants that stand for them.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) entries: [f32; 16],
    /// The smallest, then what lies between each two neighbours and how far apart they are: the nearest one is a sum without branches.
    pub(super) least: f32,
    pub(super) steps: [(f32, f32); 15],
}

impl Table {
    fn new(entries: [f32; 16]) -> Table {
        let mut sorted = entries;
        sorted.sort_by(f32::total_cmp);
        let step = |i: usize| ((sorted[i] + sorted[i + 1]) / 2.0, sorted[i + 1] - sorted[i]);
        Table { entries, least: sorted[0], steps: std::array::from_fn(step) }
    }
}

/// How the scales of runs are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scales {
    /// One in half precision.
    Half,
    /// One in half precision, and a minimum that is added.
    HalfAndMinimum,
    /// A power of two.
    Power,
    /// Integers between these, times one in half precision.
    Scaled(i32, i32),
    /// Integers up to this, times one in half precision; minimums likewise, which are subtracted.
    ScaledWithMinimums(i32),
}

const fn row(dtype: DType, (block, run): (usize, usize), levels: Levels, scales: Scales) -> Form {
    Form { dtype, block, run, levels, scales }
}

use Levels::Integers;
use Scales::{Half, HalfAndMinimum, Power, Scaled, ScaledWithMinimums};

const FORMS: [Form; 11] = [
    row(DType::Q8_0, (32, 32), Integers(-127, 127), Half),
    row(DType::Q4_0, (32, 32), Integers(-8, 7), Half),
    // Zeros of pruned rows have a level like others; of what else is more than two of four, those nearest to zero are left out.
    row(DType::Q4_2OF4, (64, 64), Integers(-8, 7), Half),
    row(DType::Q4_1, (32, 32), Integers(0, 15), HalfAndMinimum),
    row(DType::Q5_0, (32, 32), Integers(-16, 15), Half),
    row(DType::Q5_1, (32, 32), Integers(0, 31), HalfAndMinimum),
    row(DType::Q2_K, (256, 16), Integers(0, 3), ScaledWithMinimums(15)),
    row(DType::Q3_K, (256, 16), Integers(-4, 3), Scaled(-32, 31)),
    row(DType::Q4_K, (256, 32), Integers(0, 15), ScaledWithMinimums(63)),
    row(DType::Q5_K, (256, 32), Integers(0, 31), ScaledWithMinimums(63)),
    row(DType::Q6_K, (256, 16), Integers(-32, 31), Scaled(-128, 127)),
];

/// A type whose levels are in a table: its block and run, its scales, and the table.
type Lookup = (DType, (usize, usize), Scales, Option<Table>);

/// The types whose levels are in a table.
static LOOKUPS: LazyLock<[Lookup; 3]> = LazyLock::new(|| {
    let row = |dtype, shape, scales| (dtype, shape, scales, levels(dtype).map(Table::new));
    [
        row(DType::IQ4_NL, (32, 32), Half),
        row(DType::IQ4_XS, (256, 32), Scaled(-32, 31)),
        row(DType::MXFP4, (32, 32), Power),
    ]
});

impl Form {
    /// The form of a type; `None` for floats, and for types that are only read.
    pub(super) fn of(dtype: DType) -> Option<Form> {
        let lookup = LOOKUPS.iter().find(|entry| entry.0 == dtype);
        let table = lookup
            .and_then(|(_, shape, scales, table)| Some(row(dtype, *shape, Levels::Table(table.as_ref()?), *scales)));
        table.or_else(|| FORMS.iter().find(|form| form.dtype == dtype).copied())
    }
}

impl Form {
    /// The values that a block of the type can have: where it has two of every four, zeros in the place of those that count least.
    pub(super) fn kept<'v>(&self, values: &'v [f32], weights: &[f32]) -> Cow<'v, [f32]> {
        if self.dtype != DType::Q4_2OF4 {
            return values.into();
        }
        let mut kept = values.to_vec();
        for (four, weights) in kept.chunks_exact_mut(4).zip(weights.chunks_exact(4)) {
            let mut order = [0, 1, 2, 3];
            let counts = |place: usize| weights[place] * four[place] * four[place];
            order.sort_by(|&a: &usize, &b| counts(a).total_cmp(&counts(b)));
            order[..2].iter().for_each(|place| four[*place] = 0.0);
        }
        kept.into()
    }
}

impl Levels {
    /// The smallest and the largest level.
    pub(super) fn ends(self) -> (f32, f32) {
        match self {
            Integers(low, high) => (low as f32, high as f32),
            Levels::Table(table) => {
                let end = |of: fn(f32, f32) -> f32| table.entries.iter().copied().fold(0.0, of);
                (end(f32::min), end(f32::max))
            }
        }
    }

    /// The level nearest to `x`, and the quant that stands for it.
    pub(super) fn nearest(self, x: f32) -> (f32, u8) {
        match self {
            Integers(low, high) => {
                let level = nearest_integer(x.clamp(low as f32, high as f32));
                // Bytes are stored as they are, shorter quants from 0 on.
                let first = if high - low > 63 { 0 } else { low };
                (level, (level as i32 - first) as u8)
            }
            Levels::Table(table) => {
                let lost = table.entries.map(|entry| (entry - x).abs());
                let quant = (1..16).fold(0, |best, quant| if lost[quant] < lost[best] { quant } else { best });
                (table.entries[quant], quant as u8)
            }
        }
    }
}

/// The nearest integer to a small number, of two the even one. Adding 1.5 · 2²³ leaves no bits for a fraction: without the instruction
/// for it, which not every x86-64 has, rounding is a call of a function, and the loops around it are not vectorized.
#[inline(always)]
pub(super) fn nearest_integer(x: f32) -> f32 {
    const LARGE: f32 = 12_582_912.0;
    x + LARGE - LARGE
}
