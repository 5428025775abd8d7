//! GPUs, as models are computed there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gpu::{Adapter, Gpu, Speed};
use graph::{Graph, Limits, WeightInfo, WeightRole};
use kernels::Machine;

use crate::Error;
use crate::device::{DeviceInfo, Unit};
use crate::pipeline::{Holder, Holds};

/// The GPUs of this machine.
pub(crate) fn devices() -> Vec<DeviceInfo> {
    let info = |(number, adapter): (usize, Adapter)| DeviceInfo {
        device: Unit::Gpu(number),
        about: {
            let units = if adapter.matrix_units { ", matrix units" } else { "" };
            format!("{}, {}, {}{units}", adapter.kind, adapter.api, adapter.driver)
        },
        memory: adapter.memory,
        types: Some(gpu::supported_types().into_iter().map(|dtype| dtype.layout().name).collect()),
        name: adapter.name,
    };
    gpu::adapters().into_iter().enumerate().map(info).collect()
}

/// The first GPU that is no software, if it computes the graph.
pub(crate) fn best(graph: &Graph) -> Option<usize> {
    let real = gpu::adapters().first().is_some_and(|adapter| adapter.kind != "software");
    (real && Gpu::check(&fused(graph)).is_ok()).then_some(0)
}

/// Refuses a graph that the GPU does not compute, before anything is brought to it, and a number that is none of a GPU.
pub(crate) fn check(number: usize, graph: &Graph) -> Result<(), Error> {
    Gpu::check(&fused(graph)).map_err(|why| Error::Request(format!("--device gpu:{number}: {why}")))?;
    opened(number).map(|_| ())
}

/// Bytes that a graph, as it is built, takes there: its weights, its memories, and the values of a step.
pub(crate) fn needs(graph: &Graph, limits: &Limits) -> [u64; 3] {
    Gpu::needs(&fused(graph), limits)
}

/// Bytes that are left there for models.
pub(crate) fn room(number: usize) -> Result<u64, Error> {
    let [taken, _, budget] = opened(number)?.usage();
    Ok(budget.saturating_sub(taken))
}

/// What it can do.
pub(crate) fn measure(number: usize) -> Result<Machine, Error> {
    let Speed { read_gb_s, f32_gflop_s } = opened(number)?.measure()?;
    Ok(Machine { read_gb_s, f32_gflop_s, int8_gop_s: f64::NAN })
}

/// Whether a GPU keeps a weight as F16 that has another type.
pub(crate) fn converts(weight: &WeightInfo) -> bool {
    weight.role == WeightRole::Matrix && !gpu::supported_types().contains(&weight.dtype)
}

/// The device, for weights.
pub(crate) fn holder(number: usize) -> Result<Box<dyn Holds>, Error> {
    Ok(Box::new(Holder::new(opened(number)?)))
}

/// A graph as it is computed there.
fn fused(graph: &Graph) -> Graph {
    graph::fuse(graph, Gpu::DEVICE.rules, &[]).map_or_else(|_| graph.clone(), |fused| fused.graph)
}

/// The GPU with this number: models share it.
fn opened(number: usize) -> Result<Gpu, Error> {
    static OPENED: Mutex<Option<HashMap<usize, Gpu>>> = Mutex::new(None);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_default();
    if let Some(gpu) = opened.get(&number) {
        return Ok(gpu.clone());
    }
    // Kernels are compiled by the first start on a machine.
    let gpu = Gpu::open_keeping(number, crate::weights::users_folder("kernels").as_deref())
        .map_err(|why| Error::Request(format!("--device gpu:{number}: {why}")))?;
    opened.insert(number, gpu.clone());
    Ok(gpu)
}
