//! The graph: nodes in execution order over typed values, with the weights and KV caches they name.

use tensor::{DType, Shape};

use crate::{Limits, Op};

/// Names a value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

/// Names a weight of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub(crate) u32);

impl ValueId {
    /// Index into [`Graph::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl WeightId {
    /// Index into [`Graph::weights`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How many rows a value has; known only when a batch comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A row for every token of the batch.
    Tokens,
    /// A row for every token whose logits are wanted.
    Outputs,
}

/// What an element is and how a row of them is kept, in words of 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    /// A number, a word each.
    F32,
    /// An index, a word each.
    U32,
    /// A number rounded to 8 bits in blocks of 32: the form in which products with quantized weights read it. A block is
    /// its bytes, its scale (the largest magnitude / 127) and what it and each of its halves add up to, which weights with an
    /// offset need, in as many words as make a cache line. A row is an odd number of such lines, the last one of nothing
    /// where blocks are even: rows a power of two apart would share few of a cache's sets.
    Q8,
    /// For each of a row's columns, which are heads, a number for every position of the row's sequence up to its own, a word
    /// each. How many these are only a batch tells. There is room for a column of whole [`Elem::LINE`]s for each block,
    /// column after column; what lies beyond the row's own position is no part of the value.
    Positions,
}

impl Elem {
    /// Columns that are rounded together in [`Elem::Q8`].
    pub const Q8_BLOCK: usize = 32;
    /// Words of such a block.
    pub const Q8_WORDS: usize = 16;
    /// Words of a cache line: of [`Elem::Positions`] as many as a block has positions, rounded up to whole lines.
    pub const LINE: usize = 16;
}

/// The type of a value: `[rows, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueInfo {
    /// Number of rows.
    pub rows: Rows,
    /// Elements in a row.
    pub width: usize,
    /// Element type.
    pub elem: Elem,
}

impl ValueInfo {
    /// Words of a row; of [`Elem::Positions`] those of one position.
    pub fn words(self) -> usize {
        match self.elem {
            Elem::F32 | Elem::U32 | Elem::Positions => self.width,
            Elem::Q8 => ((self.width / Elem::Q8_BLOCK) | 1) * Elem::Q8_WORDS,
        }
    }

    /// Words that a row takes at most, if a sequence has up to `limits.kv_blocks` blocks; `usize::MAX` if they cannot be
    /// counted.
    pub fn room(self, limits: &Limits) -> usize {
        match self.elem {
            Elem::Positions => {
                let block = limits.block_len.checked_next_multiple_of(Elem::LINE).unwrap_or(usize::MAX);
                self.words().saturating_mul(limits.kv_blocks).saturating_mul(block)
            }
            _ => self.words(),
        }
    }
}

/// A weight the graph reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightInfo {
    /// Its name in GGUF terms, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How it is stored.
    pub dtype: DType,
}

impl WeightInfo {
    /// Whether its elements are kept in blocks, so that a product with it reads its input as [`Elem::Q8`].
    pub fn quantized(&self) -> bool {
        self.dtype.layout().block_len > 1
    }

    /// Bytes it takes as stored; `None` if it is empty, its rows are not whole blocks of its type or the size overflows.
    /// Never `None` for a weight of a finished [`Graph`].
    pub fn bytes(&self) -> Option<usize> {
        let rows = self.shape.outer.checked_mul(self.shape.rows)?;
        let bytes = rows.checked_mul(self.dtype.row_bytes(self.shape.cols)?)?;
        self.shape.elements()?.checked_mul(4)?;
        (bytes > 0).then_some(bytes)
    }
}

/// What a layer keeps for each position: K and V of `heads` × `head_dim` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// KV heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl KvShape {
    /// Elements of K (and as many of V) that a position takes.
    pub fn width(self) -> usize {
        self.heads * self.head_dim
    }
}

/// One operator at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// To which values.
    pub inputs: Vec<ValueId>,
    /// What it makes: nothing for [`Op::KvWrite`], several values for some [`Op::Product`]s, else one.
    pub outputs: Vec<ValueId>,
}

/// A checked computation: build it with [`crate::GraphBuilder`]. Nodes are in execution order.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) weights: Vec<WeightInfo>,
    pub(crate) kv: Vec<KvShape>,
    pub(crate) logits: ValueId,
}

impl Graph {
    /// The nodes in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The values, by [`ValueId::index`].
    pub fn values(&self) -> &[ValueInfo] {
        &self.values
    }

    /// The weights, by [`WeightId::index`].
    pub fn weights(&self) -> &[WeightInfo] {
        &self.weights
    }

    /// The ids of all weights.
    pub fn weight_ids(&self) -> impl Iterator<Item = WeightId> + use<> {
        (0..self.weights.len() as u32).map(WeightId)
    }

    /// What each layer keeps in the KV cache.
    pub fn kv(&self) -> &[KvShape] {
        &self.kv
    }

    /// The result: `[outputs, vocabulary]`.
    pub fn logits(&self) -> ValueId {
        self.logits
    }

    /// The type of a value.
    pub fn value(&self, id: ValueId) -> ValueInfo {
        self.values[id.index()]
    }

    /// The description of a weight.
    pub fn weight(&self, id: WeightId) -> &WeightInfo {
        &self.weights[id.index()]
    }

    /// Size of the vocabulary: the width of the logits.
    pub fn vocab(&self) -> usize {
        self.value(self.logits).width
    }

    /// Every token is below this: the rows of the smallest table that it looks up.
    pub fn tokens(&self) -> usize {
        let rows =
            |node: &Node| if let Op::Embed { table } = node.op { Some(self.weight(table).shape.rows) } else { None };
        self.nodes.iter().filter_map(rows).min().unwrap_or(usize::MAX)
    }
}

/// Why a graph cannot be built.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{op}: {reason}")]
pub struct GraphError {
    /// The operator at fault, with the weight's name where it has one.
    pub op: String,
    /// What does not fit.
    pub reason: String,
}
