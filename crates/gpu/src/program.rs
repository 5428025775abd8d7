//! A graph made ready to run: its calls, the values of a step, its layers' memories.

use std::sync::Arc;
use std::time::{Duration, Instant};

use graph::{BackendError, Batch, Graph, Limits, Memory, MemoryPart, Plan, Rope};

use crate::buffers::{Block, Kind};
use crate::call::{Bind, Call, Counts};
use crate::form::Form;
use crate::gpu::Gpu;
use crate::memories::{self, Layer};
use crate::weight::Weight;
use crate::{batch, call, lower, pipelines, scratch};

/// A graph with its weights, scratch memory, KV cache and recurrent states.
#[derive(Debug)]
pub struct Program {
    graph: Graph,
    limits: Limits,
    ropes: Vec<Rope>,
    calls: Vec<Ready>,
    bound: Bound,
    places: Places,
    /// Of the last batch.
    output: Vec<f32>,
    words: Vec<u32>,
    /// What the next batch is likely to ask the device for.
    ahead: Option<Commands>,
    took: Took,
}

/// Where things are in the arena, in bytes.
#[derive(Debug)]
struct Places {
    /// What the graph is given, if it is given anything.
    input: Option<u64>,
    /// The graph's output.
    output: u64,
    /// The greatest numbers of its rows.
    top: u64,
}

/// What the last batch took of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// Kernels that it called.
    pub dispatches: usize,
    /// Until all of them were handed to the driver.
    pub host: Duration,
    /// Whether they had been encoded while the batch before was computed.
    pub was_ready: bool,
    /// Bytes that were read back.
    pub read: u64,
}

/// Commands that are ready to be handed to the driver.
#[derive(Debug)]
struct Commands {
    form: Form,
    buffer: wgpu::CommandBuffer,
    dispatches: usize,
}

/// A call with its compiled kernels, in the order of [`Call::kernels`], and what they are given.
#[derive(Debug)]
struct Ready {
    call: Call,
    pipelines: Vec<Arc<wgpu::ComputePipeline>>,
    group: wgpu::BindGroup,
}

/// What calls are given.
#[derive(Debug)]
struct Bound {
    weights: Vec<Arc<Weight>>,
    layers: Vec<Layer>,
    arena: Block,
    /// Stand where a kernel's text names a weight or a memory that this call has none of.
    nothing: [Block; 2],
    batch: wgpu::Buffer,
    params: wgpu::Buffer,
    readback: wgpu::Buffer,
}

/// Bytes between the parameters of two calls: what any device wants.
const PARAMS: u64 = 256;
/// The most workgroups in a direction.
const GROUPS: usize = 65_535;

impl Program {
    pub(crate) fn new(
        gpu: &Gpu,
        graph: &Graph,
        weights: Vec<Arc<Weight>>,
        limits: Limits,
    ) -> Result<Program, BackendError> {
        lower::check(graph).map_err(|why| BackendError::Batch(why.to_string()))?;
        for (i, info) in graph.weights().iter().enumerate() {
            Weight::check(weights.get(i).map(|weight| &**weight), info)?;
        }
        let plan = Plan::new(graph, &Gpu::DEVICE.layout, &limits);
        let words = plan.words.saturating_add(scratch::words(graph, &limits));
        check_sizes(graph, &limits, words, gpu.pool().binding())?;
        let given: Vec<&Weight> = weights.iter().map(|weight| &**weight).collect();
        let lowered = lower::lower((graph, &plan), &limits, &given, gpu.multiplier());
        let is_input = |node: &graph::Node| matches!(node.op, graph::Op::Input { .. });
        let input = plan.steps.iter().find(|step| is_input(&graph.nodes()[step.node]));
        let [chunks, results] = scratch::top_words(graph.output_width(), &limits);
        let places = Places {
            input: input.map(|step| 4 * step.outputs[0] as u64),
            output: 4 * plan.output as u64,
            top: 4 * (plan.words + chunks) as u64,
        };
        let layers = memories::new(gpu.pool(), graph, &limits)?;
        let arena = gpu.pool().take(Kind::Work, 4 * words as u64, "the values of a step")?;
        let nothing = [Kind::Weights, Kind::Work].map(|kind| gpu.pool().take(kind, 4, "nothing"));
        let [read, written] = nothing;
        let most = 4 * (limits.max_outputs as u64 * graph.output_width() as u64 + results as u64);
        let bound = Bound {
            weights,
            layers,
            arena,
            nothing: [read?, written?],
            batch: buffer(gpu, 4 * batch::usual_words(&limits, &lowered.ropes) as u64, wgpu::BufferUsages::STORAGE),
            params: params(gpu, &lowered.calls),
            readback: buffer(gpu, most, wgpu::BufferUsages::MAP_READ),
        };
        let calls = lowered.calls.into_iter().enumerate().map(|(i, call)| ready(gpu, &bound, i, call)).collect();
        gpu.sound()?;
        gpu.keep();
        Ok(Program {
            graph: graph.clone(),
            limits,
            ropes: lowered.ropes,
            calls,
            bound,
            places,
            output: vec![],
            words: vec![],
            ahead: None,
            took: Took::default(),
        })
    }

    /// Memory of the device that the keys, values and states take, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        memories::all_bytes(&self.graph, &self.limits)
    }

    /// Memory of the device that the values between operators take, in bytes.
    pub fn arena_bytes(&self) -> u64 {
        self.bound.arena.size()
    }

    /// What the last batch took of the host.
    pub fn took(&self) -> Took {
        self.took
    }

    pub(crate) fn output(&self) -> &[f32] {
        &self.output
    }

    pub(crate) fn run(&mut self, gpu: &Gpu, batch: &Batch) -> Result<(), BackendError> {
        batch.check(&self.limits, &self.graph)?;
        gpu.sound()?;
        let start = Instant::now();
        let counts = batch::fill(&mut self.words, batch, &self.limits, &self.ropes);
        self.grow(gpu)?;
        gpu.queue().write_buffer(&self.bound.batch, 0, bytemuck::cast_slice(&self.words));
        if let Some(at) = self.places.input.filter(|_| !batch.inputs.is_empty()) {
            let at = self.bound.arena.offset() + at;
            gpu.queue().write_buffer(self.bound.arena.buffer(), at, bytemuck::cast_slice(&batch.inputs));
        }
        let form = Form { counts, top: batch.top.clone() };
        let ready = self.ahead.take().filter(|ready| ready.form == form);
        let was_ready = ready.is_some();
        let Commands { form, buffer, dispatches } = ready.unwrap_or_else(|| self.encode(gpu, form));
        gpu.queue().submit([buffer]);
        let read = self.regions(&form).iter().map(|&(_, bytes)| bytes).sum();
        self.took = Took { dispatches, host: start.elapsed(), was_ready, read };
        // While the device computes.
        self.ahead = Form::next(batch, &self.limits, &form.counts).map(|next| self.encode(gpu, next));
        let done = self.read_output(gpu, &form, read);
        // What cannot be read because the device is lost says so.
        gpu.sound().and(done)
    }

    /// Encodes all that a batch of this form asks the device for.
    fn encode(&self, gpu: &Gpu, form: Form) -> Commands {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let dispatches = encode(&mut encoder, &self.calls, &form.counts);
        let mut at = 0;
        for (from, bytes) in self.regions(&form) {
            let from = self.bound.arena.offset() + from;
            encoder.copy_buffer_to_buffer(self.bound.arena.buffer(), from, &self.bound.readback, at, bytes);
            at += bytes;
        }
        Commands { form, buffer: encoder.finish(), dispatches }
    }

    /// What is read back, as places in the arena and sizes in bytes: whole rows of the output, then the greatest numbers of others.
    fn regions(&self, form: &Form) -> Vec<(u64, u64)> {
        let row = 4 * self.graph.output_width() as u64;
        let Counts { outputs, top, most, .. } = form.counts;
        let mut regions = match form.top.is_empty() {
            true => vec![(self.places.output, u64::from(outputs) * row)],
            false => {
                let whole = form.top.iter().zip(0..).filter(|(top, _)| **top == 0);
                whole.map(|(_, i): (_, u64)| (self.places.output + i * row, row)).collect()
            }
        };
        regions.push((self.places.top, 4 * u64::from(top) * u64::from(2 * most + 1)));
        regions.retain(|&(_, bytes)| bytes > 0);
        regions
    }

    /// Waits for what is read back, and puts it in the order of the rows.
    fn read_output(&mut self, gpu: &Gpu, form: &Form, bytes: u64) -> Result<(), BackendError> {
        let Program { graph, bound, output, .. } = self;
        output.clear();
        if bytes == 0 {
            return Ok(());
        }
        let (width, most) = (graph.output_width(), form.counts.most as usize);
        read(gpu, &bound.readback, bytes, |bytes| {
            let mut put = |words: &[[u8; 4]]| output.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
            let words = bytes.as_chunks().0;
            if form.top.is_empty() {
                return put(words);
            }
            let (mut whole, mut tops) = words.split_at(words.len() - form.counts.top as usize * (2 * most + 1));
            for &top in &form.top {
                let (rows, len) = if top == 0 { (&mut whole, width) } else { (&mut tops, 2 * most + 1) };
                let row;
                (row, *rows) = rows.split_at(len);
                match top as usize {
                    0 => put(row),
                    top => [&row[..=top], &row[1 + most..][..top]].map(&mut put).into_iter().for_each(drop),
                }
            }
        })
    }

    /// Makes room for a batch with more words than any before: many tables may name the same blocks.
    fn grow(&mut self, gpu: &Gpu) -> Result<(), BackendError> {
        let bytes = 4 * self.words.len() as u64;
        if bytes <= self.bound.batch.size() {
            return Ok(());
        }
        let room = bytes.next_power_of_two();
        if room > gpu.pool().binding() {
            return Err(BackendError::Memory { what: "the tables of a batch", bytes: room as usize });
        }
        self.bound.batch = buffer(gpu, room, wgpu::BufferUsages::STORAGE);
        self.ahead = None;
        for (i, ready) in self.calls.iter_mut().enumerate() {
            ready.group = group(gpu, &self.bound, i, &ready.call);
        }
        Ok(())
    }

    /// Adds what a part of the memories holds to `bytes`; says whether there is such a part and it could be read.
    pub(crate) fn save(&self, gpu: &Gpu, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        let Some(ranges) = self.ranges(part) else { return false };
        let all: u64 = ranges.iter().map(|&(_, _, len)| len).sum();
        let readback = buffer(gpu, all, wgpu::BufferUsages::MAP_READ);
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let mut at = 0;
        for (block, offset, len) in ranges {
            encoder.copy_buffer_to_buffer(block.buffer(), block.offset() + offset, &readback, at, len);
            at += len;
        }
        gpu.queue().submit([encoder.finish()]);
        read(gpu, &readback, all, |saved| bytes.extend_from_slice(saved)).is_ok()
    }

    /// Lets a part of the memories hold what was saved of one; says whether it was one.
    pub(crate) fn load(&mut self, gpu: &Gpu, part: MemoryPart, mut bytes: &[u8]) -> bool {
        let Some(ranges) = self.ranges(part) else { return false };
        if bytes.len() as u64 != ranges.iter().map(|&(_, _, len)| len).sum::<u64>() {
            return false;
        }
        for (block, offset, len) in ranges {
            let saved;
            (saved, bytes) = bytes.split_at(len as usize);
            gpu.queue().write_buffer(block.buffer(), block.offset() + offset, saved);
        }
        true
    }

    /// Where a part of the memories is, over all layers: places, offsets in them and lengths, in bytes.
    fn ranges<'p>(&'p self, part: MemoryPart) -> Option<Vec<(&'p Block, u64, u64)>> {
        let (index, count) = match part {
            MemoryPart::Block(block) => (block, self.limits.kv_blocks),
            MemoryPart::State(slot) => (slot, self.limits.state_slots),
        };
        let range = |(memory, layer): (&Memory, &'p Layer)| {
            let len = 4 * memories::words(memory, &self.limits) as u64;
            let of = |block: &'p Block| (block, u64::from(index) * len, len);
            match (layer, part) {
                (Layer::Kv { keys, values }, MemoryPart::Block(_)) => vec![of(keys), of(values)],
                (Layer::Recurrent(states), MemoryPart::State(_)) => vec![of(states)],
                _ => vec![],
            }
        };
        let ranges: Vec<_> = self.graph.memory().iter().zip(&self.bound.layers).flat_map(range).collect();
        ((index as usize) < count && !ranges.is_empty()).then_some(ranges)
    }
}

/// Refuses sizes that the device cannot count or bind.
fn check_sizes(graph: &Graph, limits: &Limits, words: usize, binding: u64) -> Result<(), BackendError> {
    let slots = graph.values().iter().filter(|info| info.elem == graph::Elem::U32).map(|info| info.width);
    let heads = graph.weights().iter().map(|info| info.shape.outer).filter(|&outer| outer < 1024);
    let rows = limits.max_tokens.max(limits.max_outputs).saturating_mul(slots.chain(heads).max().unwrap_or(1));
    if rows > GROUPS || words as u64 > binding / 4 {
        return Err(BackendError::Memory { what: "the rows of a batch", bytes: words.saturating_mul(4) });
    }
    Ok(())
}

/// Encodes the calls that a batch of these sizes needs; gives how many.
fn encode(encoder: &mut wgpu::CommandEncoder, calls: &[Ready], counts: &Counts) -> usize {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
    let mut dispatches = 0;
    for Ready { call, pipelines, group } in calls {
        if let Some((chosen, [x, y, z])) = call.workgroups(counts) {
            pass.set_pipeline(&pipelines[chosen]);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(x, y, z);
            dispatches += 1;
        }
    }
    dispatches
}

/// Waits for a buffer of results and hands its bytes over.
fn read(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: u64, take: impl FnOnce(&[u8])) -> Result<(), BackendError> {
    let failed = |why: String| BackendError::Batch(format!("reading from the GPU failed: {why}"));
    let (tell, told) = std::sync::mpsc::channel();
    let slice = buffer.slice(..bytes);
    // Nobody listens any more if waiting has failed.
    slice.map_async(wgpu::MapMode::Read, move |result| _ = tell.send(result));
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).map_err(|why| failed(why.to_string()))?;
    // Another thread that waits for the device may be the one that is just about to tell.
    let result = told.recv().map_err(|_| failed("it was never told to be done".into()))?;
    result.map_err(|why| failed(why.to_string()))?;
    take(&slice.get_mapped_range().map_err(|why| failed(why.to_string()))?);
    buffer.unmap();
    Ok(())
}

fn buffer(gpu: &Gpu, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let size = bytes.max(4).next_multiple_of(4);
    let usage = usage | wgpu::BufferUsages::COPY_DST;
    gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

/// The parameters of all calls.
fn params(gpu: &Gpu, calls: &[Call]) -> wgpu::Buffer {
    let mut words = vec![0u32; calls.len() * PARAMS as usize / 4];
    for (call, words) in calls.iter().zip(words.chunks_exact_mut(PARAMS as usize / 4)) {
        words[..call.params.len()].copy_from_slice(&call.params);
    }
    let params = buffer(gpu, 4 * words.len() as u64, wgpu::BufferUsages::UNIFORM);
    gpu.queue().write_buffer(&params, 0, bytemuck::cast_slice(&words));
    params
}

fn ready(gpu: &Gpu, bound: &Bound, index: usize, call: Call) -> Ready {
    let pipelines = call.kernels.iter().map(|(_, kernel)| gpu.pipeline(kernel)).collect();
    let group = group(gpu, bound, index, &call);
    Ready { call, pipelines, group }
}

/// What the call with this index is given.
fn group(gpu: &Gpu, bound: &Bound, index: usize, call: &Call) -> wgpu::BindGroup {
    let family = call.kernels[0].1.family;
    let params = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: &bound.params,
        offset: index as u64 * PARAMS,
        size: std::num::NonZero::new(PARAMS),
    });
    let mut entries = vec![
        wgpu::BindGroupEntry { binding: 0, resource: bound.arena.binding() },
        wgpu::BindGroupEntry { binding: 1, resource: bound.batch.as_entire_binding() },
        wgpu::BindGroupEntry { binding: 2, resource: params },
    ];
    for &binding in pipelines::bindings(family) {
        let given = call.binds.iter().find(|bind| bind.number() == binding);
        let nothing = &bound.nothing[usize::from(pipelines::written(binding))];
        let block = given.map_or(nothing, |&bind| bound.block(bind));
        entries.push(wgpu::BindGroupEntry { binding, resource: block.binding() });
    }
    let layout = gpu.pipelines().layout(gpu.device(), family);
    gpu.device().create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries })
}

impl Bound {
    fn block(&self, bind: Bind) -> &Block {
        use call::Memory::{Keys, State, Values};
        match bind {
            Bind::Weight(weight, part) => &self.weights[weight].parts()[part].block,
            Bind::Second(weight) | Bind::Up(weight) => &self.weights[weight].parts()[0].block,
            Bind::Keys(layer) => self.memory(Keys, layer),
            Bind::Values(layer) => self.memory(Values, layer),
            Bind::State(layer) => self.memory(State, layer),
            Bind::Copied(memory, layer) => self.memory(memory, layer),
        }
    }

    fn memory(&self, memory: call::Memory, layer: usize) -> &Block {
        match (&self.layers[layer], memory) {
            (Layer::Kv { keys, .. }, call::Memory::Keys) => keys,
            (Layer::Kv { values, .. }, call::Memory::Values) => values,
            (Layer::Recurrent(states), call::Memory::State) => states,
            _ => unreachable!("the graph is built so that operators name a memory of their own kind"),
        }
    }
}
