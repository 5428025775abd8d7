//! Compiled kernels, each once for a device.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::kernel::{Family, Kernel};

/// The kernels of a device that are compiled already, and the layouts of their bindings.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    kernels: Mutex<HashMap<Kernel, Arc<wgpu::ComputePipeline>>>,
    layouts: Mutex<HashMap<Family, wgpu::BindGroupLayout>>,
    /// How many were compiled when this was last asked.
    known: AtomicUsize,
}

/// The bindings of a family besides values (0), batch (1) and parameters (2).
pub(crate) fn bindings(family: Family) -> &'static [u32] {
    match family {
        Family::Product => &[3, 4, 8],
        Family::Norm | Family::Matrix => &[3, 4],
        Family::Embed | Family::Rows => &[3],
        Family::Rope | Family::Experts | Family::Top => &[],
        Family::KvWrite => &[5, 6],
        Family::Attention | Family::Positions => &[3, 5, 6],
        Family::Recurrent => &[3, 4, 7],
        Family::Copies => &[7],
    }
}

/// Whether kernels write what has this number.
pub(crate) fn written(binding: u32) -> bool {
    binding == 0 || (5..=7).contains(&binding)
}

impl Pipelines {
    /// The layout of a family's bindings.
    pub(crate) fn layout(&self, device: &wgpu::Device, family: Family) -> wgpu::BindGroupLayout {
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        layouts.entry(family).or_insert_with(|| layout(device, family)).clone()
    }

    /// Whether any were compiled since this was last asked.
    pub(crate) fn are_new(&self) -> bool {
        let count = self.kernels.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.known.swap(count, Ordering::Relaxed) != count
    }

    /// The compiled kernel.
    pub(crate) fn get(
        &self,
        (device, cache): (&wgpu::Device, Option<&wgpu::PipelineCache>),
        kernel: &Kernel,
    ) -> Arc<wgpu::ComputePipeline> {
        let layout = self.layout(device, kernel.family);
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.entry(kernel.clone()).or_insert_with(|| Arc::new(compile(device, cache, kernel, &layout))).clone()
    }
}

fn layout(device: &wgpu::Device, family: Family) -> wgpu::BindGroupLayout {
    let entry = |binding: u32| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: match binding {
                2 => wgpu::BufferBindingType::Uniform,
                _ => wgpu::BufferBindingType::Storage { read_only: !written(binding) },
            },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let entries: Vec<_> = [0, 1, 2].iter().chain(bindings(family)).map(|&binding| entry(binding)).collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

fn compile(
    device: &wgpu::Device,
    cache: Option<&wgpu::PipelineCache>,
    kernel: &Kernel,
    layout: &wgpu::BindGroupLayout,
) -> wgpu::ComputePipeline {
    let label = kernel.label();
    let source = wgpu::ShaderSource::Wgsl(kernel.source().into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(&label), source });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache,
    })
}
