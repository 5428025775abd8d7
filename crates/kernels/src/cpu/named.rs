//! Kernels by name: which ways of computing an operator has. All ways of an operator give the same bits.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;

use graph::{Graph, Node, Op, Rows, WeightId};

use super::codecs::Effort;
use super::ops::{activations_bf16, gemm_amx};
use super::simd::Vector;
use super::weight::Weight;

/// Numbers of rows for which kernels are chosen apart: what is best for one row is seldom best for a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowClass {
    /// One row: a sequence decodes alone.
    One,
    /// 2 to 8.
    Few,
    /// 9 to 63.
    Several,
    /// 64 and more: a prompt.
    Many,
}

impl RowClass {
    /// All of them.
    pub const ALL: [RowClass; 4] = [RowClass::One, RowClass::Few, RowClass::Several, RowClass::Many];

    /// That of so many rows.
    pub fn of(rows: usize) -> RowClass {
        match rows {
            0 | 1 => RowClass::One,
            2..=8 => RowClass::Few,
            9..=63 => RowClass::Several,
            _ => RowClass::Many,
        }
    }

    /// Its name: `1`, `2-8`, `9-63`, `64+`.
    pub fn name(self) -> &'static str {
        match self {
            RowClass::One => "1",
            RowClass::Few => "2-8",
            RowClass::Several => "9-63",
            RowClass::Many => "64+",
        }
    }

    /// The class of this name.
    pub fn named(name: &str) -> Option<RowClass> {
        RowClass::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// How an operator computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Inner {
    /// As the operator finds best.
    #[default]
    Auto,
    /// Products: weights are unpacked in registers, again for each group of rows.
    Registers,
    /// Products: weights are unpacked once and held in registers while rows go by.
    Held,
    /// Products: weights are unpacked for the matrix unit. It needs many rows.
    Amx,
    /// Products: weights are unpacked into the first-level cache.
    Unpacked,
    /// Products: floats are decoded into the first-level cache.
    Decoded,
    /// Products: pairs of BF16.
    Pairs,
    /// Attention: a thread reads all splits of its rows.
    Whole,
    /// Attention: each split is a task of its own.
    Split,
}

const INNER: [(&str, Inner); 9] = [
    ("auto", Inner::Auto),
    ("registers", Inner::Registers),
    ("held", Inner::Held),
    ("amx", Inner::Amx),
    ("unpacked", Inner::Unpacked),
    ("decoded", Inner::Decoded),
    ("pairs", Inner::Pairs),
    ("whole", Inner::Whole),
    ("split", Inner::Split),
];

/// Tiles that a task may have: whole blocks of rounded results need an even number.
const TILES: [u8; 4] = [2, 4, 8, 16];

/// A kernel of an operator, by its name, such as `held` or `held/4`: the number is that of the weight's tiles in a task.
/// [`Kernel::default`] is `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kernel {
    pub(crate) inner: Inner,
    pub(crate) tiles: Option<NonZero<u8>>,
}

impl Kernel {
    /// The same with so many tiles in a task: 2, 4, 8 or 16; `None` leaves that open.
    #[must_use]
    pub fn with_tiles(self, tiles: Option<u8>) -> Kernel {
        Kernel { tiles: tiles.filter(|tiles| TILES.contains(tiles)).and_then(NonZero::new), ..self }
    }

    /// Its name without the tiles.
    pub fn way(&self) -> &'static str {
        INNER.iter().find(|(_, inner)| *inner == self.inner).map_or("auto", |(name, _)| name)
    }

    /// Numbers of tiles that a task may have.
    pub fn tiles() -> impl Iterator<Item = u8> {
        TILES.into_iter()
    }

    const fn of(inner: Inner) -> Kernel {
        Kernel { inner, tiles: None }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.way())?;
        self.tiles.map_or(Ok(()), |tiles| write!(f, "/{tiles}"))
    }
}

/// No kernel has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKernel(String);

impl fmt::Display for UnknownKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = INNER.map(|(name, _)| name).join(", ");
        write!(f, "there is no kernel {:?}; the names are {names}, and NAME/TILES with 2, 4, 8 or 16 tiles", self.0)
    }
}

impl std::error::Error for UnknownKernel {}

impl FromStr for Kernel {
    type Err = UnknownKernel;

    fn from_str(text: &str) -> Result<Kernel, UnknownKernel> {
        let unknown = || UnknownKernel(text.to_owned());
        let (way, tiles) = text.split_once('/').map_or((text, None), |(way, tiles)| (way, Some(tiles)));
        let inner = INNER.iter().find(|(name, _)| *name == way).map(|(_, inner)| *inner).ok_or_else(unknown)?;
        let tiles =
            tiles.map(|tiles| tiles.parse::<u8>().ok().filter(|tiles| TILES.contains(tiles)).ok_or_else(unknown));
        Ok(Kernel::of(inner).with_tiles(tiles.transpose()?))
    }
}

/// The ways that each node of a graph has; one that has no choice has none.
pub(crate) fn ways(graph: &Graph, weights: &[Arc<Weight>], vector: Vector) -> Vec<Vec<Kernel>> {
    graph.nodes().iter().map(|node| ways_of(node, weights, vector).into_iter().map(Kernel::of).collect()).collect()
}

fn ways_of(node: &Node, weights: &[Arc<Weight>], vector: Vector) -> Vec<Inner> {
    match &node.op {
        Op::Attention(_) => vec![Inner::Auto, Inner::Whole, Inner::Split],
        Op::Linear { weight } | Op::ExpertLinear { weight } | Op::HeadLinear { weight } => {
            loops(&[*weight], weights, vector)
        }
        Op::Product(product) => loops(&product.weights, weights, vector),
        _ => vec![],
    }
}

/// The inner loops that all of these matrices have.
fn loops(matrices: &[WeightId], weights: &[Arc<Weight>], vector: Vector) -> Vec<Inner> {
    let all = [Inner::Registers, Inner::Held, Inner::Amx, Inner::Unpacked, Inner::Decoded, Inner::Pairs];
    let each = |inner: &Inner| matrices.iter().all(|id| has(&weights[id.index()], *inner, vector));
    [Inner::Auto].into_iter().chain(all.into_iter().filter(each)).collect()
}

fn has(weight: &Weight, inner: Inner, vector: Vector) -> bool {
    let tiles = weight.tiles();
    let (quantized, pairs) = (tiles.quantized(), activations_bf16::suit(vector, tiles));
    let most = tiles.layout.effort == Effort::Most;
    let choice = quantized && !most && !tiles.by_row();
    match inner {
        Inner::Registers => choice || !quantized && !pairs,
        Inner::Held => choice,
        Inner::Amx => quantized && vector.amx().is_some() && gemm_amx::suits(tiles.layout.form, usize::MAX),
        Inner::Unpacked => quantized && most,
        Inner::Decoded => !quantized && !pairs,
        Inner::Pairs => pairs,
        Inner::Auto => true,
        Inner::Whole | Inner::Split => false,
    }
}

/// Rows that a node works on: those of its first output, else of its inputs.
pub(crate) fn rows(graph: &Graph, node: &Node, (tokens, outputs): (usize, usize)) -> usize {
    let value = node.outputs.first().or(node.inputs.first());
    match value.map(|&id| graph.value(id).rows) {
        Some(Rows::Outputs) => outputs,
        Some(Rows::Tokens) | None => tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_read_by_the_name_that_it_is_written_with() {
        for (way, _) in INNER {
            for text in [way.to_owned(), format!("{way}/2"), format!("{way}/16")] {
                assert_eq!(text.parse::<Kernel>().map(|kernel| kernel.to_string()), Ok(text.clone()));
            }
        }
        assert_eq!(Kernel::default().to_string(), "auto");
        for text in ["", "Held", "held/", "held/3", "held/0", "held/4/4", "/4"] {
            let error = text.parse::<Kernel>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("registers, held, amx"), "{error}");
        }
    }

    #[test]
    fn every_number_of_rows_has_a_class() {
        let classes: Vec<&str> = [0, 1, 2, 8, 9, 63, 64, 5000].map(|rows| RowClass::of(rows).name()).into();
        assert_eq!(classes, ["1", "1", "2-8", "2-8", "9-63", "9-63", "64+", "64+"]);
        assert!(RowClass::ALL.iter().all(|class| RowClass::named(class.name()) == Some(*class)));
    }
}
