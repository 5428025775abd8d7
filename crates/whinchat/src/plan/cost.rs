//! What an operator costs: the bytes it moves and the arithmetic it does, and how long that takes at best on a machine.

use graph::{
    Attention, Elem, GatedDelta, Graph, KvType, Layout, Limits, Memory, Node, Op, Product, Rows, Scan, ValueId,
    WeightId,
};
use kernels::Machine;

/// What is computed in a step: so many sequences with so many rows each, of which each sees so many positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub sequences: usize,
    /// Rows of each.
    pub rows: usize,
    /// Positions before the first of these rows.
    pub context: usize,
}

impl Shape {
    /// So many rows: up to 32 are a row each of as many sequences that decode, more are those of one prompt.
    pub fn of(rows: usize, context: usize) -> Shape {
        let (sequences, rows) = if rows <= 32 { (rows.max(1), 1) } else { (1, rows) };
        Shape { sequences, rows, context }
    }

    /// Rows of all sequences.
    pub fn tokens(&self) -> usize {
        self.sequences * self.rows
    }

    /// Positions that a sequence has at its end.
    pub fn positions(&self) -> usize {
        self.context + self.rows
    }

    fn rows_of(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.tokens(),
            Rows::Outputs => self.sequences,
        }
    }
}

/// What an operator moves and computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of values that are read.
    pub read: u64,
    /// Bytes of values that are written.
    pub written: u64,
    /// Bytes of weights, as they are stored.
    pub weights: u64,
    /// Bytes of the layers' memories, read and written.
    pub memory: u64,
    /// Operations on 8-bit integers, two for each product.
    pub int8: u64,
    /// Operations on numbers.
    pub f32: u64,
}

impl Cost {
    /// That of a node for a step of this shape.
    pub fn of(graph: &Graph, layout: &Layout, kv_type: KvType, node: &Node, shape: &Shape) -> Cost {
        let block = Limits {
            max_tokens: shape.tokens(),
            max_outputs: shape.sequences,
            kv_blocks: shape.positions().div_ceil(16),
            block_len: 16,
            kv_type,
            state_slots: shape.sequences,
        };
        let bytes = |ids: &[ValueId]| -> u64 {
            let of = |id: &ValueId| {
                let info = graph.value(*id);
                4 * (shape.rows_of(info.rows) * layout.row_words(info, &block)) as u64
            };
            ids.iter().map(of).sum()
        };
        let (int8, f32) = arithmetic(graph, node, shape);
        Cost {
            read: bytes(&node.inputs),
            written: bytes(&node.outputs),
            weights: weight_bytes(graph, node, shape),
            memory: memory_bytes(graph, kv_type, &node.op, shape),
            int8,
            f32,
        }
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.read + self.written + self.weights + self.memory
    }

    /// The two together.
    #[must_use]
    pub fn and(self, other: Cost) -> Cost {
        Cost {
            read: self.read + other.read,
            written: self.written + other.written,
            weights: self.weights + other.weights,
            memory: self.memory + other.memory,
            int8: self.int8 + other.int8,
            f32: self.f32 + other.f32,
        }
    }

    /// Microseconds that it takes on a machine with these limits if it does nothing else: the longer of moving and computing.
    pub fn micros(&self, machine: &Machine) -> f64 {
        let moving = self.bytes() as f64 / (machine.read_gb_s * 1e3);
        // Where there is no instruction for 8-bit integers, they are computed as numbers.
        let int8 = if machine.int8_gop_s.is_nan() { machine.f32_gflop_s } else { machine.int8_gop_s };
        let part = |operations: u64, rate: f64| if operations == 0 { 0.0 } else { operations as f64 / (rate * 1e3) };
        moving.max(part(self.int8, int8) + part(self.f32, machine.f32_gflop_s))
    }
}

/// Experts that are chosen for a row, of operators that read the ids of some.
fn slots(graph: &Graph, node: &Node) -> usize {
    node.inputs.get(1).map_or(1, |id| graph.value(*id).width)
}

fn weight_bytes(graph: &Graph, node: &Node, shape: &Shape) -> u64 {
    let bytes = |id: WeightId| graph.weight(id).bytes().unwrap_or(0);
    let rows = shape.tokens();
    let part = |id: WeightId, parts: usize, used: usize| bytes(id) / parts.max(1) * used.min(parts);
    (match &node.op {
        Op::Embed { table } | Op::EmbedPositions { table } | Op::EmbedTypes { table } => {
            part(*table, graph.weight(*table).shape.rows, rows)
        }
        Op::ExpertLinear { weight } => part(*weight, graph.weight(*weight).shape.outer, slots(graph, node) * rows),
        Op::ExpertBias { bias } => part(*bias, graph.weight(*bias).shape.rows, slots(graph, node) * rows),
        op => op.weights().into_iter().map(bytes).sum(),
    }) as u64
}

/// Bytes of a layer's keys and values that a step reads or writes, or of its states.
fn memory_bytes(graph: &Graph, kv_type: KvType, op: &Op, shape: &Shape) -> u64 {
    let of = |layer: usize, positions: usize| match graph.memory().get(layer) {
        Some(Memory::Kv(kv)) => positions * kv_type.position_bytes(*kv),
        Some(Memory::Recurrent { len }) => 2 * 4 * len * shape.sequences,
        None => 0,
    };
    let seen = |window: Option<usize>| {
        // The rows of a prompt share what they read: some at a time, half of the rows before on the average.
        let groups = shape.rows.div_ceil(8);
        let each = if groups == 1 { shape.positions() } else { shape.context + shape.rows / 2 };
        shape.sequences * groups * each.min(window.unwrap_or(usize::MAX))
    };
    (match op {
        Op::Attention(Attention { layer, window, .. }) => of(*layer, seen(*window)),
        Op::Scores { layer, .. } | Op::Weigh { layer } => of(*layer, seen(None)) / 2,
        Op::KvWrite { layer } | Op::RopeKvWrite { layer, .. } => of(*layer, shape.tokens()),
        op => op.writes().map_or(0, |layer| of(layer, 0)),
    }) as u64
}

/// Operations on 8-bit integers and on numbers.
fn arithmetic(graph: &Graph, node: &Node, shape: &Shape) -> (u64, u64) {
    let matrix = |id: &WeightId, rows: usize| {
        let info = graph.weight(*id);
        let operations = 2 * (rows * info.shape.rows * info.shape.cols) as u64;
        if info.quantized() { (operations, 0) } else { (0, operations) }
    };
    let rows = node.outputs.first().map_or(shape.tokens(), |id| shape.rows_of(graph.value(*id).rows));
    let sum = |(a, b): (u64, u64), (c, d): (u64, u64)| (a + c, b + d);
    let seen = shape.context + shape.rows.div_ceil(2);
    match &node.op {
        Op::Linear { weight } => matrix(weight, rows),
        Op::Product(Product { weights, .. }) => weights.iter().map(|id| matrix(id, rows)).fold((0, 0), sum),
        Op::ExpertLinear { weight } => matrix(weight, rows * slots(graph, node)),
        Op::HeadLinear { weight } => matrix(weight, rows * graph.weight(*weight).shape.outer),
        Op::Attention(Attention { window, .. }) => {
            let width = graph.value(node.inputs[0]).width;
            (0, 4 * (rows * width * seen.min(window.unwrap_or(usize::MAX))) as u64)
        }
        Op::Scores { .. } => (0, 2 * (rows * graph.value(node.inputs[0]).width * seen) as u64),
        Op::Weigh { .. } => (0, 2 * (rows * graph.value(node.outputs[0]).width * seen) as u64),
        Op::GatedDelta(GatedDelta { layer, .. }) | Op::Scan(Scan { layer, .. }) => (0, 6 * state(graph, *layer, shape)),
        op => (0, each(op) * elements(graph, node, shape)),
    }
}

/// Numbers of a recurrent state, for every row that brings it forward.
fn state(graph: &Graph, layer: usize, shape: &Shape) -> u64 {
    match graph.memory().get(layer) {
        Some(Memory::Recurrent { len }) => (len * shape.tokens()) as u64,
        Some(Memory::Kv(_)) | None => 0,
    }
}

/// Numbers that a node gives, or reads if it gives none.
fn elements(graph: &Graph, node: &Node, shape: &Shape) -> u64 {
    let of = |id: &ValueId| {
        let info = graph.value(*id);
        let positions = if info.elem == Elem::Positions { shape.positions() } else { 1 };
        (shape.rows_of(info.rows) * info.width * positions) as u64
    };
    if node.outputs.is_empty() { node.inputs.iter().map(of).sum() } else { node.outputs.iter().map(of).sum() }
}

/// Operations for each number, about.
fn each(op: &Op) -> u64 {
    match op {
        Op::Embed { .. } | Op::EmbedPositions { .. } | Op::EmbedTypes { .. } | Op::Input { .. } => 0,
        Op::Slice { .. } | Op::Concat { .. } | Op::SelectOutputs | Op::KvWrite { .. } => 0,
        Op::RmsNorm { .. } | Op::LayerNorm { .. } | Op::UnitNorm { .. } => 5,
        Op::Glu { .. } | Op::Activate { .. } | Op::SoftCap { .. } | Op::Softmax { .. } => 10,
        Op::Rope(_) | Op::RopeKvWrite { .. } | Op::Quantize { .. } => 4,
        _ => 1,
    }
}
