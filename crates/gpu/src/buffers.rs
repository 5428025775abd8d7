//! Memory of the device: places in few large buffers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use graph::BackendError;

use crate::heap::{Heap, Place};

/// Buffers of a device and what of them is taken. Weights, memories and the values of steps are places in them.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    /// The most that a kernel can be given at once.
    binding: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    budget: u64,
    kinds: [Chunks; 2],
}

#[derive(Debug)]
struct Chunks {
    heap: Heap,
    /// By chunk.
    buffers: Vec<Option<wgpu::Buffer>>,
}

/// What memory is for. A kernel must not be given one buffer both to read and to write, so each kind has buffers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Weights, which kernels only read.
    Weights,
    /// Values and memories, which they write.
    Work,
}

/// A place in a buffer. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Block {
    pool: Pool,
    kind: Kind,
    buffer: wgpu::Buffer,
    place: Place,
}

/// Bytes of a buffer at most, if nothing larger is needed.
const CHUNK: u64 = 256 << 20;
/// Where places begin: what any device wants of a binding.
const ALIGN: u64 = 256;

impl Pool {
    pub(crate) fn new(device: wgpu::Device, budget: u64) -> Pool {
        let limits = device.limits();
        let heap = || Heap::new(budget, CHUNK.min(limits.max_buffer_size), ALIGN);
        let kinds = [heap(), heap()].map(|heap| Chunks { heap, buffers: vec![] });
        let state = Mutex::new(State { budget, kinds });
        Pool { shared: Arc::new(Shared { device, binding: limits.max_storage_buffer_binding_size, state }) }
    }

    /// The most bytes of one place that a kernel reads.
    pub(crate) fn binding(&self) -> u64 {
        self.shared.binding
    }

    /// Bytes that are taken, that are held, and that may be.
    pub(crate) fn usage(&self) -> [u64; 3] {
        let state = self.lock();
        let sum = |of: fn(&Heap) -> u64| state.kinds.iter().map(|kind| of(&kind.heap)).sum();
        [sum(Heap::taken), sum(Heap::held), state.budget]
    }

    /// A place for `what`. What it holds is left over from others.
    pub(crate) fn take(&self, kind: Kind, bytes: u64, what: &'static str) -> Result<Block, BackendError> {
        let short = || BackendError::Memory { what, bytes: usize::try_from(bytes).unwrap_or(usize::MAX) };
        if bytes > self.shared.binding {
            return Err(short());
        }
        let mut state = self.lock();
        let left = state.budget.saturating_sub(state.kinds[1 - kind as usize].heap.held());
        let Chunks { heap, buffers } = &mut state.kinds[kind as usize];
        heap.limit(left);
        let (place, new) = heap.take(bytes).ok_or_else(short)?;
        if let Some(size) = new {
            let Some(buffer) = self.create(size) else {
                heap.give(place);
                return Err(short());
            };
            buffers.resize(buffers.len().max(place.chunk + 1), None);
            buffers[place.chunk] = Some(buffer);
        }
        let buffer = buffers[place.chunk].clone().ok_or_else(short)?;
        Ok(Block { pool: self.clone(), kind, buffer, place })
    }

    /// A buffer of zeros; `None` if the device has no memory for it.
    fn create(&self, size: u64) -> Option<wgpu::Buffer> {
        let device = &self.shared.device;
        let scopes =
            [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation].map(|of| device.push_error_scope(of));
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let [memory, validation] = scopes;
        let failed = [pollster::block_on(validation.pop()), pollster::block_on(memory.pop())];
        failed.iter().all(Option::is_none).then_some(buffer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    pub(crate) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// From which byte of the buffer on it is.
    pub(crate) fn offset(&self) -> u64 {
        self.place.offset
    }

    /// Bytes of it.
    pub(crate) fn size(&self) -> u64 {
        self.place.size
    }

    pub(crate) fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.place.offset,
            size: std::num::NonZero::new(self.place.size),
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let Chunks { heap, buffers } = &mut state.kinds[self.kind as usize];
        if let Some(chunk) = heap.give(self.place) {
            buffers[chunk] = None;
        }
    }
}
