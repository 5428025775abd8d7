//! A graph made ready to run: its weights, the arena of its values, its layers' memories and each thread's scratch.

use std::sync::Arc;

use tensor::DType;

use graph::{BackendError, Batch, Elem, Graph, Limits, MemoryPart, Node, Op, Plan, Rows, Step, ValueId, ValueInfo};

use super::Cpu;
use super::memory::{Buffer, Shared};
use super::named;
use super::ops::{self, Grouping, Input, Memories, QueryChunks, Table, ThreadScratch, Values, Worker, activations_q8};
use super::pool::Pool;
use super::simd::Vector;
use super::tuning::{Tuned, Tuning};
use super::weight::Weight;

/// A graph with its weights, scratch memory, KV cache and recurrent states.
#[derive(Debug)]
pub struct Program {
    plain: Planned,
    /// For batches with adapters; made for the first of them.
    adapted: Option<Box<Planned>>,
    limits: Limits,
    weights: Vec<Arc<Weight>>,
    memories: Memories,
    scratch: Scratch,
    last: Last,
    kernels: Tuned,
}

/// A graph with a place for each of its values.
#[derive(Debug)]
struct Planned {
    graph: Graph,
    plan: Plan,
    arena: Buffer<f32>,
}

/// What the last batch was.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    adapted: bool,
    outputs: usize,
}

/// What is allocated once so that a step allocates nothing.
#[derive(Debug)]
struct Scratch {
    tables: Vec<Table>,
    threads: Vec<ThreadScratch>,
    activations: Buffer<f32>,
    /// Rows between the two factors of adapters; it grows with the largest batch of them.
    low: Vec<f32>,
    grouping: Grouping,
    chunks: QueryChunks,
}

impl Planned {
    fn new(graph: Graph, limits: &Limits) -> Result<Planned, BackendError> {
        check_sizes(&graph, limits)?;
        let plan = Plan::new(&graph, &Cpu::DEVICE.layout, limits);
        let arena = Buffer::zeroed(plan.words, "the values of a step")?.on_large_pages();
        Ok(Planned { graph, plan, arena })
    }
}

impl Program {
    pub(crate) fn new(
        graph: &Graph,
        weights: Vec<Arc<Weight>>,
        limits: Limits,
        (threads, vector): (usize, Vector),
    ) -> Result<Program, BackendError> {
        for (i, info) in graph.weights().iter().enumerate() {
            Weight::check(weights.get(i).map(|weight| &**weight), info)?;
        }
        let plain = Planned::new(graph.clone(), &limits)?;
        let memories = Memories::new(graph, &limits)?;
        let scratch = Scratch::new(graph, &limits, &memories, threads)?;
        let kernels = Tuned::new(Tuning::new(named::ways(graph, &weights, vector)));
        let last = Last::default();
        Ok(Program { plain, adapted: None, limits, weights, memories, scratch, last, kernels })
    }

    /// Chooses its kernels and says how long they take, from any thread.
    pub fn tuning(&self) -> &Tuning {
        self.kernels.tuning()
    }

    /// Memory of the weights, in bytes; other programs may share it.
    pub fn weight_bytes(&self) -> usize {
        self.weights.iter().map(|weight| weight.bytes()).sum()
    }

    /// Memory of the KV cache, in bytes.
    pub fn kv_bytes(&self) -> usize {
        self.memories.bytes().0
    }

    /// Memory of the recurrent states, in bytes.
    pub fn state_bytes(&self) -> usize {
        self.memories.bytes().1
    }

    /// Memory of the values between operators, in bytes.
    pub fn arena_bytes(&self) -> usize {
        self.plain.arena.bytes() + self.adapted.as_ref().map_or(0, |adapted| adapted.arena.bytes())
    }

    pub(crate) fn forget(&mut self, blocks: &[u32]) {
        self.memories.forget(blocks);
    }

    /// Gives the memory of the recurrent states in these slots back to the system.
    pub(crate) fn forget_states(&mut self, slots: &[u32]) {
        self.memories.forget_states(slots);
    }

    /// Adds what a part of the memories holds to `bytes`; says whether there is such a part.
    pub(crate) fn save(&self, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        self.memories.save(part, bytes)
    }

    /// Lets a part of the memories hold what was saved of one; says whether it was one.
    pub(crate) fn load(&mut self, part: MemoryPart, bytes: &[u8]) -> bool {
        self.memories.load(part, bytes)
    }

    pub(crate) fn output(&self) -> &[f32] {
        let planned = self.adapted.as_deref().filter(|_| self.last.adapted).unwrap_or(&self.plain);
        &planned.arena[planned.plan.output..][..self.last.outputs * planned.graph.output_width()]
    }

    pub(crate) fn run(&mut self, pool: &Pool, vector: Vector, batch: &Batch) -> Result<(), BackendError> {
        batch.check(&self.limits, &self.plain.graph)?;
        let adapts = !batch.adapters.is_empty();
        if adapts && self.adapted.is_none() {
            self.adapted = Some(Box::new(Planned::new(graph::adapted(&self.plain.graph), &self.limits)?));
        }
        let Planned { graph, plan, arena } = self.adapted.as_deref_mut().filter(|_| adapts).unwrap_or(&mut self.plain);
        self.memories.copy(batch);
        self.last = Last { adapted: adapts, outputs: batch.outputs.len() };
        let Scratch { tables, threads: scratch, activations, low, grouping, chunks } = &mut self.scratch;
        tables.iter_mut().for_each(|table| table.fill(pool, batch));
        let mut worker = Worker { pool, vector, kernel: Default::default(), scratch, activations, low, grouping };
        let mut step = ops::Step {
            batch,
            chunks,
            weights: &self.weights,
            memories: &mut self.memories,
            tables,
            block_len: self.limits.block_len,
        };
        let limits = Limits { kv_blocks: longest(batch, self.limits.block_len), ..self.limits };
        let mut values = Arena { graph, batch, limits, words: Shared::new(arena) };
        // Kernels are chosen, and timed, for the nodes of the plain graph.
        let (count, mut watched) = ((batch.tokens.len(), batch.outputs.len()), (!adapts).then(|| self.kernels.begin()));
        for planned in &plan.steps {
            let node = &graph.nodes()[planned.node];
            let mut compute = |kernel| {
                worker.kernel = kernel;
                ops::compute(&mut worker, &mut step, &node.op, values.of(node, planned));
            };
            match &mut watched {
                Some(watched) => watched.node(planned.node, named::rows(graph, node, count), compute),
                None => compute(Default::default()),
            }
        }
        if let Some(watched) = watched {
            let took = watched.took(count, seen(batch));
            self.kernels.end(took);
        }
        Ok(())
    }
}

impl Scratch {
    fn new(graph: &Graph, limits: &Limits, memories: &Memories, threads: usize) -> Result<Scratch, BackendError> {
        let ops = || graph.nodes().iter().map(|node| &node.op);
        let mut tables: Vec<Table> = vec![];
        for op in ops() {
            if let Op::Rope(rope) | Op::RopeKvWrite { rope, .. } = op
                && !tables.iter().any(|table| table.is_for(rope))
            {
                tables.push(Table::new(rope, limits.max_tokens)?);
            }
        }
        let attentions = ops().filter_map(|op| if let Op::Attention(attention) = op { Some(attention) } else { None });
        let cols = graph.weights().iter().map(|weight| weight.shape.cols).max().unwrap_or(0);
        let widest = |elem: Elem| graph.values().iter().filter(move |v| v.elem == elem).map(|v| v.width).max();
        let heads = widest(Elem::Positions).unwrap_or(0);
        let thread = |_| ThreadScratch::new(attentions.clone(), memories, cols, heads);
        let threads = (0..threads).map(thread).collect::<Result<_, _>>()?;
        let slots = widest(Elem::U32);
        let experts = graph.weights().iter().map(|weight| weight.shape.outer).max();
        let slots = limits.max_tokens.saturating_mul(slots.unwrap_or(0));
        let grouping = Grouping::new(slots, experts.unwrap_or(0));
        let activations = Buffer::zeroed(rounded_words(graph, limits), "rounded rows")?;
        let chunks = QueryChunks::new(attentions, memories, limits)?;
        Ok(Scratch { tables, threads, activations, low: Vec::new(), grouping, chunks })
    }
}

/// Refuses limits by which a value has more words than lists of places in it can count.
fn check_sizes(graph: &Graph, limits: &Limits) -> Result<(), BackendError> {
    let words = |info: &ValueInfo| rows(info, limits).saturating_mul(Cpu::DEVICE.layout.row_words(*info, limits));
    let most = graph.values().iter().filter(|info| info.elem != Elem::Positions).map(words).max().unwrap_or(0);
    match u32::try_from(most) {
        Ok(_) => Ok(()),
        Err(_) => Err(BackendError::Memory { what: "the rows of a batch", bytes: most.saturating_mul(4) }),
    }
}

/// The most rows of a value.
fn rows(info: &ValueInfo, limits: &Limits) -> usize {
    match info.rows {
        Rows::Tokens => limits.max_tokens,
        Rows::Outputs => limits.max_outputs,
    }
}

/// Positions that the rows of a batch see together.
fn seen(batch: &Batch) -> usize {
    batch.spans.iter().map(|span| span.position + span.rows.len()).sum()
}

/// The most blocks that a sequence of the batch has.
fn longest(batch: &Batch, block_len: usize) -> usize {
    let blocks = batch.spans.iter().map(|span| (span.position + span.rows.len()).div_ceil(block_len));
    blocks.max().unwrap_or(0)
}

/// The most words that a product needs to round its x itself.
fn rounded_words(graph: &Graph, limits: &Limits) -> usize {
    let words = graph.nodes().iter().map(|node| {
        let weight = match &node.op {
            Op::Linear { weight } | Op::ExpertLinear { weight } | Op::HeadLinear { weight } => *weight,
            Op::Product(product) => product.weights[0],
            _ => return 0,
        };
        let xs = node.inputs.iter().map(|&x| graph.value(x)).filter(|x| x.elem == Elem::F32);
        let info = graph.weight(weight);
        let words = |x: ValueInfo| {
            rows(&x, limits).saturating_mul(match info.dtype {
                _ if info.quantized() => activations_q8::words(x.width),
                DType::BF16 => x.width.div_ceil(2),
                _ => 0,
            })
        };
        xs.map(words).max().unwrap_or(0)
    });
    words.max().unwrap_or(0)
}

/// The values of a step, in the arena.
struct Arena<'a> {
    graph: &'a Graph,
    batch: &'a Batch,
    /// The program's limits, but only as many blocks as a sequence of the batch has, so that values by position lie close together.
    limits: Limits,
    words: Shared<'a, f32>,
}

impl Arena<'_> {
    /// What a node works on. The plan keeps outputs apart from inputs, except for operators that work in place: their first input is
    /// in the output and not among the inputs.
    fn of<'s>(&'s mut self, node: &Node, planned: &'s Step) -> Values<'s> {
        let mut inputs = [Input::default(); 5];
        let given = usize::from(ops::in_output(&node.op));
        if let ([from, ..], [to, ..]) = (&planned.inputs[..given], &planned.outputs[..])
            && from != to
        {
            let len = self.input(node.inputs[0], *from).x.len();
            #[allow(unsafe_code)]
            // SAFETY: the plan keeps the two apart if they are not the same, and no other view is alive.
            unsafe {
                self.words.part(*to, len).copy_from_slice(self.words.part(*from, len));
            }
        }
        for ((input, &id), &start) in inputs.iter_mut().zip(&node.inputs).zip(&planned.inputs).skip(given) {
            *input = self.input(id, start);
        }
        let output = node.outputs.first().map(|&id| self.graph.value(id));
        Values {
            inputs,
            arena: self.words,
            starts: &planned.outputs,
            rows: output.map_or(0, |info| self.rows(info)),
            words: output.map_or(1, |info| self.row_words(info)),
            width: output.map_or(1, |info| info.width),
            by_position: output.is_some_and(|info| info.elem == Elem::Positions),
        }
    }

    fn input<'s>(&'s self, id: ValueId, start: usize) -> Input<'s> {
        let info = self.graph.value(id);
        let rows = self.rows(info);
        #[allow(unsafe_code)]
        // SAFETY: the plan keeps a node's inputs apart from its outputs, and only read views of them are made.
        let x = unsafe { self.words.view(start, rows * self.row_words(info)) };
        Input { x, width: info.width, rows, rounded: matches!(info.elem, Elem::Q8 { .. }) }
    }

    fn row_words(&self, info: ValueInfo) -> usize {
        Cpu::DEVICE.layout.row_words(info, &self.limits)
    }

    fn rows(&self, info: ValueInfo) -> usize {
        match info.rows {
            Rows::Tokens => self.batch.tokens.len(),
            Rows::Outputs => self.batch.outputs.len(),
        }
    }
}
