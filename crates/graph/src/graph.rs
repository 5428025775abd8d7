//! The graph: nodes in execution order over typed values, with the weights and memories they name.

use tensor::{DType, Shape};

use crate::{BackendError, KvShape, Memory, Op};

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

/// What an element is. How a row of them lies in memory is the device's: see [`crate::Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    /// A number.
    F32,
    /// An index.
    U32,
    /// A number rounded to 8 bits: the form in which products with quantized weights read it.
    Q8 {
        /// Columns that are rounded together, whole blocks of [`Elem::Q8_BLOCK`]. Their scale is their largest magnitude divided by 127.
        span: usize,
    },
    /// For each column, which is a head, a number for every position of the row's sequence up to its own. How many these are
    /// only a batch tells.
    Positions,
}

impl Elem {
    /// Columns that are rounded together for weights whose scales are of blocks; spans of [`Elem::Q8`] are so many or a multiple.
    pub const Q8_BLOCK: usize = 32;
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

/// A weight the graph reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightInfo {
    /// Its name in GGUF terms, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How it is stored.
    pub dtype: DType,
    /// How operators read it.
    pub role: WeightRole,
}

/// How operators read a weight. It decides how a device packs the weight, whichever graphs use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightRole {
    /// Matrices that rows are multiplied with, or that rows are looked up in.
    Matrix,
    /// Single elements: norms, biases, sinks, the taps of a convolution.
    Elements,
}

impl WeightInfo {
    /// A matrix, or one for each expert.
    pub fn matrix(name: impl Into<String>, shape: Shape, dtype: DType) -> WeightInfo {
        WeightInfo { name: name.into(), shape, dtype, role: WeightRole::Matrix }
    }

    /// Single elements.
    pub fn elements(name: impl Into<String>, shape: Shape, dtype: DType) -> WeightInfo {
        WeightInfo { name: name.into(), shape, dtype, role: WeightRole::Elements }
    }

    /// Whether its elements are kept in blocks, so that a product with it reads its input as [`Elem::Q8`].
    pub fn quantized(&self) -> bool {
        self.dtype.layout().block_len > 1
    }

    /// The columns of an input that are rounded together for a product with it: a block where scales of the weight are of blocks, and as
    /// many as it has where a row has one scale, so that nothing is scaled within a sum. `None` if it is not quantized.
    pub fn span(&self) -> Option<usize> {
        let span = if self.dtype.layout().row_head > 0 { self.shape.cols } else { Elem::Q8_BLOCK };
        self.quantized().then_some(span)
    }

    /// Whether `bytes` are as many as it takes as stored.
    ///
    /// # Errors
    /// [`BackendError::WeightLength`] if not.
    pub fn check(&self, bytes: &[u8]) -> Result<(), BackendError> {
        let (given, wanted) = (bytes.len(), self.bytes().unwrap_or(usize::MAX));
        let wrong = || BackendError::WeightLength { name: self.name.clone(), given, wanted };
        if given == wanted { Ok(()) } else { Err(wrong()) }
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
    pub(crate) memory: Vec<Memory>,
    pub(crate) output: Output,
}

/// What a graph computes: `[outputs, width]` numbers, such as logits or hidden states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it is called, such as `logits`.
    pub name: String,
    /// The value. Its type says how wide a row is.
    pub value: ValueId,
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

    /// What its layers remember, by the index that operators name.
    pub fn memory(&self) -> &[Memory] {
        &self.memory
    }

    /// The layers with keys and values.
    pub fn kv(&self) -> impl Iterator<Item = KvShape> {
        self.memory.iter().filter_map(|memory| if let Memory::Kv(shape) = memory { Some(*shape) } else { None })
    }

    /// F32 numbers of recurrent state that a sequence has over all layers; 0 if it needs no slot.
    pub fn state_len(&self) -> usize {
        let len = |memory: &Memory| if let Memory::Recurrent { len } = memory { *len } else { 0 };
        self.memory.iter().map(len).sum()
    }

    /// The result: `[outputs, width]`.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Width of a row of the result; of logits, the size of the vocabulary.
    pub fn output_width(&self) -> usize {
        self.value(self.output.value).width
    }

    /// The type of a value.
    pub fn value(&self, id: ValueId) -> ValueInfo {
        self.values[id.index()]
    }

    /// The description of a weight.
    pub fn weight(&self, id: WeightId) -> &WeightInfo {
        &self.weights[id.index()]
    }

    /// Every token is below this: the rows of the smallest table that it looks up.
    pub fn tokens(&self) -> usize {
        self.least(|op| if let Op::Embed { table } = op { Some(*table) } else { None })
    }

    /// Every position is below this: the rows of the smallest table of positions.
    pub fn positions(&self) -> usize {
        self.least(|op| if let Op::EmbedPositions { table } = op { Some(*table) } else { None })
    }

    /// Every token's type is below this; 1 if the graph has no types.
    pub fn types(&self) -> usize {
        match self.least(|op| if let Op::EmbedTypes { table } = op { Some(*table) } else { None }) {
            usize::MAX => 1,
            types => types,
        }
    }

    /// Numbers of a row that it is given; 0 if it begins with tokens.
    pub fn input_width(&self) -> usize {
        self.nodes.iter().map(|node| if let Op::Input { width } = node.op { width } else { 0 }).sum()
    }

    /// Whether every row sees only what is before it in its sequence: then a sequence may be computed in pieces.
    pub fn causal(&self) -> bool {
        !self.nodes.iter().any(|node| matches!(&node.op, Op::Attention(attention) if !attention.causal))
    }

    /// The rows of the smallest table that nodes look up; [`usize::MAX`] if there is none.
    fn least(&self, table: impl Fn(&Op) -> Option<WeightId>) -> usize {
        let rows = |node: &Node| table(&node.op).map(|id| self.weight(id).shape.rows);
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
