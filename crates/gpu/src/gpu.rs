//! A GPU: how it is found, opened and used as a backend.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use graph::{Backend, BackendError, Batch, Device, Graph, Layout, Limits, MemoryPart, Plan, Rule, WeightInfo};

use crate::buffers::Pool;
use crate::call::Unsupported;
use crate::kept::Kept;
use crate::kernel::Kernel;
use crate::matrix::Multiplier;
use crate::pipelines::Pipelines;
use crate::program::Program;
use crate::staging::Staging;
use crate::weight::Weight;
use crate::{budget, lower, matrix, memories, scratch, weight};

/// A GPU that this machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// What it is called.
    pub name: String,
    /// Through what it is driven: `vulkan`, `metal` or `dx12`.
    pub api: &'static str,
    /// What it is: `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Its driver, as it calls itself.
    pub driver: String,
    /// Its own memory, in bytes, where the driver says.
    pub memory: Option<u64>,
    /// The largest buffer that a kernel reads at once, in bytes.
    pub largest_binding: u64,
    /// Whether it reports matrix units that kernels can use.
    pub matrix_units: bool,
}

/// Why a GPU cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// There is none.
    #[error("this machine has no GPU that Vulkan, Metal or DX12 shows; use --device cpu")]
    None,
    /// There are fewer.
    #[error("there is no GPU {asked}: this machine has {count}, counted from 0 (whinchat devices lists them)")]
    Missing {
        /// The one that was asked for.
        asked: usize,
        /// How many there are.
        count: usize,
    },
    /// The driver refuses.
    #[error("the GPU {name} cannot be used: {why}")]
    Refused {
        /// What it is called.
        name: String,
        /// What the driver says.
        why: String,
    },
}

/// A GPU. Clones share it, and so do programs.
#[derive(Clone, Debug)]
pub struct Gpu {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    adapter: Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    multiplier: Multiplier,
    pool: Pool,
    staging: Staging,
    pipelines: Pipelines,
    /// Kernels that earlier starts have compiled.
    kept: Option<Kept>,
    /// The first thing that went wrong on the device, if anything did.
    fault: Arc<Mutex<Option<String>>>,
}

/// The GPUs of this machine, in a fixed order: real ones first.
pub fn adapters() -> Vec<Adapter> {
    found().iter().map(describe).collect()
}

/// The adapter with this number.
fn numbered(number: usize) -> Result<wgpu::Adapter, OpenError> {
    let mut all = found();
    match all.len() {
        0 => Err(OpenError::None),
        count if number >= count => Err(OpenError::Missing { asked: number, count }),
        _ => Ok(all.swap_remove(number)),
    }
}

fn found() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(descriptor);
    let mut all = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    all.retain(|adapter| adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    all.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    all
}

fn describe(adapter: &wgpu::Adapter) -> Adapter {
    let info = adapter.get_info();
    Adapter {
        name: info.name,
        api: match info.backend {
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            _ => "other",
        },
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        },
        driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
        memory: budget::memory(adapter),
        largest_binding: adapter.limits().max_storage_buffer_binding_size,
        matrix_units: matrix::are_reported(adapter),
    }
}

impl Gpu {
    /// What every GPU says about itself. Rows that quantized weights are multiplied with stay as they are: their products are of F32.
    pub const DEVICE: Device = Device {
        rules: &[Rule::SELECT_EARLY, Rule::BIAS, Rule::RESIDUAL, Rule::ATTENTION, Rule::ROPE_KV],
        layout: Layout { align: 4, q8_words: |columns| columns, block_align: 1 },
        adapts: false,
        top: scratch::TOP,
    };

    /// Opens the GPU with this number, in the order of [`adapters`].
    ///
    /// # Errors
    /// If there is none, or its driver refuses.
    pub fn open(number: usize) -> Result<Gpu, OpenError> {
        Gpu::open_keeping(number, None)
    }

    /// As [`Gpu::open`]; compiled kernels are kept in a file in this folder for later starts, where the driver allows.
    ///
    /// # Errors
    /// As [`Gpu::open`]. That nothing can be kept is none.
    pub fn open_keeping(number: usize, folder: Option<&Path>) -> Result<Gpu, OpenError> {
        Gpu::on(&numbered(number)?, folder)
    }

    /// As [`Gpu::open`], multiplying matrices as matrix units would: to test what is around them on devices that have none.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_emulating_units(number: usize) -> Result<Gpu, OpenError> {
        Gpu::with(&numbered(number)?, None, Multiplier::Emulated)
    }

    /// With matrix units, if there are any and they multiply right.
    fn on(adapter: &wgpu::Adapter, folder: Option<&Path>) -> Result<Gpu, OpenError> {
        let with_units = || Gpu::with(adapter, folder, Multiplier::Units).ok().filter(matrix::are_right);
        match matrix::are_reported(adapter).then(with_units).flatten() {
            Some(gpu) => Ok(gpu),
            None => Gpu::with(adapter, folder, Multiplier::Lanes),
        }
    }

    fn with(adapter: &wgpu::Adapter, folder: Option<&Path>, multiplier: Multiplier) -> Result<Gpu, OpenError> {
        let described = describe(adapter);
        let mut required_features = adapter.features() & wgpu::Features::PIPELINE_CACHE;
        if multiplier == Multiplier::Units {
            required_features |= matrix::FEATURES;
        }
        let descriptor = wgpu::DeviceDescriptor {
            required_features,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            experimental_features: matrix::experimental(multiplier),
            ..wgpu::DeviceDescriptor::default()
        };
        let refused =
            |why: wgpu::RequestDeviceError| OpenError::Refused { name: described.name.clone(), why: why.to_string() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).map_err(refused)?;
        let fault = Arc::new(Mutex::new(None));
        let seen = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&seen, error.to_string())));
        let seen = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&seen, format!("the device is lost: {message}"));
            }
        });
        let pool = Pool::new(device.clone(), budget::budget(described.memory));
        let kept = folder.and_then(|folder| Kept::open(&device, &adapter.get_info(), folder));
        let pipelines = Pipelines::default();
        let staging = Staging::new(device.clone(), queue.clone());
        Ok(Gpu {
            shared: Arc::new(Shared {
                adapter: described,
                device,
                queue,
                multiplier,
                pool,
                staging,
                pipelines,
                kept,
                fault,
            }),
        })
    }

    /// What it is.
    pub fn adapter(&self) -> &Adapter {
        &self.shared.adapter
    }

    /// Refuses a graph that this backend does not compute, before anything is brought to the device.
    ///
    /// # Errors
    /// If operators have no kernels; the error names them.
    pub fn check(graph: &Graph) -> Result<(), Unsupported> {
        lower::check(graph)
    }

    /// Bytes of the device that a graph takes with these limits: its weights, its memories, and the values of a step.
    pub fn needs(graph: &Graph, limits: &Limits) -> [u64; 3] {
        let values =
            Plan::new(graph, &Gpu::DEVICE.layout, limits).words.saturating_add(scratch::words(graph, limits)) as u64;
        let weights = graph.weights().iter().map(weight::bytes).fold(0, u64::saturating_add);
        [weights, memories::all_bytes(graph, limits), values.saturating_mul(4)]
    }

    /// Bytes of the device that are taken, that are held, and that may be.
    pub fn usage(&self) -> [u64; 3] {
        self.shared.pool.usage()
    }

    /// What multiplies matrices.
    pub fn multiplier(&self) -> Multiplier {
        self.shared.multiplier
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    pub(crate) fn pipelines(&self) -> &Pipelines {
        &self.shared.pipelines
    }

    /// The compiled kernel.
    pub(crate) fn pipeline(&self, kernel: &Kernel) -> Arc<wgpu::ComputePipeline> {
        self.shared.pipelines.get((&self.shared.device, self.shared.kept.as_ref().map(Kept::cache)), kernel)
    }

    /// Keeps what was compiled since the last call for later starts.
    pub(crate) fn keep(&self) {
        if let (Some(kept), true) = (&self.shared.kept, self.shared.pipelines.are_new()) {
            // A file that cannot be written costs the next start its time, nothing else.
            let _ = kept.write();
        }
    }

    /// Fails if anything has gone wrong on the device.
    pub(crate) fn sound(&self) -> Result<(), BackendError> {
        let fault = self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.as_ref().map_or(Ok(()), |why| {
            Err(BackendError::Lost(format!("the GPU {} failed: {why}", self.shared.adapter.name)))
        })
    }
}

fn note(fault: &Mutex<Option<String>>, why: String) {
    fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
}

impl Backend for Gpu {
    type Weight = Weight;
    type Program = Program;

    fn device(&self) -> Device {
        Gpu::DEVICE
    }

    fn upload(&self, info: &WeightInfo, bytes: &[u8]) -> Result<Weight, BackendError> {
        Weight::new((&self.shared.pool, &self.shared.staging), info, bytes)
    }

    fn compile(&self, graph: &Graph, weights: Vec<Arc<Weight>>, limits: Limits) -> Result<Program, BackendError> {
        Program::new(self, graph, weights, limits)
    }

    fn run(&self, program: &mut Program, batch: &Batch) -> Result<(), BackendError> {
        let most = batch.top.iter().copied().max().unwrap_or(0) as usize;
        match batch.adapters.is_empty() {
            true if most > scratch::TOP => Err(BackendError::Batch(format!(
                "the {most} greatest of a row are wanted, a GPU gives {}",
                scratch::TOP
            ))),
            true => program.run(self, batch),
            false => Err(BackendError::Batch("rows have adapters, which this GPU does not compute".into())),
        }
    }

    fn download<'p>(&self, program: &'p Program) -> &'p [f32] {
        program.output()
    }

    fn save(&self, program: &Program, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        program.save(self, part, bytes)
    }

    fn load(&self, program: &mut Program, part: MemoryPart, bytes: &[u8]) -> bool {
        program.load(self, part, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_on_which_something_went_wrong_is_lost() {
        let gpu = Gpu::open(0).expect("a GPU, or Debian's mesa-vulkan-drivers and libvulkan1");
        assert!(gpu.sound().is_ok());
        note(&gpu.shared.fault, "the device is lost: unplugged".into());
        note(&gpu.shared.fault, "and what follows from that".into());
        let lost = gpu.sound().expect_err("it is lost");
        let says = |why: &str| why.contains(&gpu.adapter().name) && why.ends_with("the device is lost: unplugged");
        assert!(matches!(&lost, BackendError::Lost(why) if says(why)), "{lost}");
    }
}
