//! Models on GPUs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine::Executor;
use gpu::{Adapter, Gpu, Weight};
use graph::{Backend, Graph, Limits, Rule};

use crate::device::{Device, DeviceInfo};
use crate::fingerprint::{Fingerprint, sample};
use crate::load::{Bound, Parts};
use crate::{Error, Prepared, Progress, WeightsOrigin};

/// The GPUs of this machine.
pub(crate) fn devices() -> Vec<DeviceInfo> {
    let info = |(number, adapter): (usize, Adapter)| DeviceInfo {
        device: Device::Gpu(number),
        about: format!("{}, {}, {}{}", adapter.kind, adapter.api, adapter.driver, memory(&adapter)),
        name: adapter.name,
    };
    gpu::adapters().into_iter().enumerate().map(info).collect()
}

/// Its own memory, in words, where the driver says.
fn memory(adapter: &Adapter) -> String {
    adapter.memory.map_or(String::new(), |bytes| format!(", {} of memory", mebibytes(bytes)))
}

/// The first GPU that is no software, if it computes the graph.
pub(crate) fn best(graph: &Graph) -> Option<usize> {
    let fused = graph::fuse(graph, rules(), &[]).ok()?.graph;
    let real = gpu::adapters().first().is_some_and(|adapter| adapter.kind != "software");
    (real && Gpu::check(&fused).is_ok()).then_some(0)
}

/// Refuses a graph that the GPU does not compute, before anything is brought to it, and a number that is none of a GPU.
pub(crate) fn check(number: usize, graph: &Graph) -> Result<(), Error> {
    let named = |why: &dyn std::fmt::Display| Error::Request(format!("--device gpu:{number}: {why}"));
    let fused = graph::fuse(graph, rules(), &[]).map_err(|why| named(&why))?.graph;
    Gpu::check(&fused).map_err(|why| named(&why))?;
    opened(number).map(|_| ()).map_err(|why| named(&why))
}

/// The rules of fusion whose results it computes.
pub(crate) fn rules() -> &'static [Rule] {
    Gpu::DEVICE.rules
}

/// The GPU with this number: models share it.
fn opened(number: usize) -> Result<Gpu, gpu::OpenError> {
    static OPENED: Mutex<Option<HashMap<usize, Gpu>>> = Mutex::new(None);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_default();
    if let Some(gpu) = opened.get(&number) {
        return Ok(gpu.clone());
    }
    // Kernels are compiled by the first start on a machine.
    let gpu = Gpu::open_keeping(number, crate::weights::users_folder("kernels").as_deref())?;
    opened.insert(number, gpu.clone());
    Ok(gpu)
}

/// What generates.
pub(crate) fn executor(prepared: &Prepared, number: usize, progress: Progress) -> Result<Box<dyn Executor>, Error> {
    let (gpu, weights, fingerprint) = brought(prepared, number, progress)?;
    prepared.generating(Bound { backend: gpu, weights }, fingerprint)
}

/// What generates, and what turns texts into vectors and judges them.
pub(crate) fn parts(prepared: &Prepared, number: usize, progress: Progress) -> Result<Parts, Error> {
    let (gpu, weights, fingerprint) = brought(prepared, number, progress)?;
    let bound = Bound { backend: gpu, weights };
    let (embedder, judge) = prepared.readers(&bound)?;
    let executor = prepared.generating(bound, fingerprint)?;
    let reading = prepared.reading()?;
    Ok(Parts { executor, embedder, judge, reading, origin: WeightsOrigin::Packed, tuning: None })
}

/// Refuses what the GPU has no memory for, before anything is brought there.
fn fits(gpu: &Gpu, number: usize, graph: &Graph, limits: &Limits) -> Result<(), Error> {
    let [taken, _, budget] = gpu.usage();
    let needs = Gpu::needs(graph, limits);
    if needs.iter().fold(taken, |sum, &bytes| sum.saturating_add(bytes)) <= budget {
        return Ok(());
    }
    let [weights, memories, values] = needs.map(mebibytes);
    let [taken, budget] = [taken, budget].map(mebibytes);
    Err(Error::Request(format!(
        "--device gpu:{number}: {} has {budget} for models, {taken} of it taken; the weights take {weights}, the KV cache \
         {memories} and the values of a step {values}; a smaller --context, --max-sequences or --kv-type, a model of smaller weights or \
         --device cpu fits",
        gpu.adapter().name
    )))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The GPU with the model's weights in its memory, and the model's fingerprint.
fn brought(prepared: &Prepared, number: usize, progress: Progress) -> Result<(Gpu, Vec<Arc<Weight>>, [u8; 32]), Error> {
    let gpu = opened(number).map_err(|why| Error::Request(format!("--device gpu:{number}: {why}")))?;
    let graph = &prepared.graphs.logits;
    fits(&gpu, number, graph, &prepared.limits)?;
    let mut seen = Fingerprint::new(graph, &prepared.limits);
    // The blocks of a CPU's cache lie in another order.
    seen.weight(&sample(b"gpu"));
    let size = |id| graph.weight(id).bytes().unwrap_or_default() as u64;
    let (mut done, total) = (0, graph.weight_ids().map(size).sum());
    let mut weights = vec![];
    for id in graph.weight_ids() {
        let bytes = prepared.model.read(id)?;
        seen.weight(&sample(&bytes));
        weights.push(Arc::new(gpu.upload(graph.weight(id), &bytes)?));
        drop(bytes);
        prepared.checkpoint.release();
        done += size(id);
        progress("loading", done, total);
    }
    Ok((gpu, weights, seen.finish()))
}
