//! How long a decoded token takes with each type, measured, so that mixtures can be made by speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use graph::{Backend, Graph, GraphBuilder, Op, WeightId, WeightInfo, WeightRole};
use model::Model;
use tensor::DType;

use super::Sensitivity;
use super::probe::is_part;
use crate::quantize::Quantize;
use crate::runner::{Runner, Weights, fused};
use crate::{Error, Progress};

/// Tokens that are decoded in a turn, and turns.
const STEPS: usize = 16;
const TURNS: usize = 5;
/// No type is more than a hundred times as fast as another: less is what noise leaves.
const LEAST: f64 = 0.01;

/// The time of a decoded token with all matrices of one type, of each of `types`, as a multiple of the model's own. Both decode in turns. The
/// weights are made up, as their values do not matter. Types that no matrix can have are left out.
///
/// # Errors
/// If a model cannot be run, or somebody stops it.
pub fn time_types<B: Backend>(
    (backend, model): (&B, &Model),
    types: &[DType],
    (stop, progress): (&AtomicBool, Progress),
) -> Result<Vec<(DType, f64)>, Error> {
    let graph = model.graph();
    let own = made_up(backend, graph, progress)?;
    let own_graph = fused(backend, graph, &[])?;
    let mut reference = Runner::new(backend, &own_graph, &own, STEPS, STEPS)?;
    let mut times = Vec::new();
    for (done, dtype) in (1..).zip(types) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let changed = retyped(graph, *dtype)?;
        let share = share_of(graph, &changed);
        if share > 0.0 {
            let weights = made_up(backend, &changed, progress)?;
            let changed = fused(backend, &changed, &[])?;
            let mut runner = Runner::new(backend, &changed, &weights, STEPS, STEPS)?;
            let ratio = ratio(&mut reference, &mut runner)?;
            // What the type has not changed takes as long as before.
            times.push((*dtype, ((ratio - (1.0 - share)) / share).max(LEAST)));
        }
        progress("timing types", done, types.len() as u64);
    }
    Ok(times)
}

/// Sets how long each choice takes: its part of a decoded token's time, where that of the reference is 1. A type without a time takes as long as
/// the reference's.
pub fn set_times(model: &Model, quantize: &Quantize<'_>, sensitivities: &mut [Sensitivity], times: &[(DType, f64)]) {
    let (graph, tensors) = (model.graph(), quantize.tensors());
    let read = |name: &str| {
        let own = graph.weight_ids().filter(|id| is_part(&graph.weight(*id).name, name, &tensors));
        own.map(|id| numbers(graph, id)).sum::<f64>()
    };
    let reads: Vec<f64> = sensitivities.iter().map(|sensitivity| read(&sensitivity.name)).collect();
    let all = reads.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    for (sensitivity, read) in sensitivities.iter_mut().zip(reads) {
        for (place, choice) in sensitivity.choices.iter_mut().enumerate() {
            let ratio = times.iter().find(|(dtype, _)| *dtype == choice.dtype).map_or(1.0, |(_, ratio)| *ratio);
            // The first is what it is.
            choice.time = read / all * if place == 0 { 1.0 } else { ratio };
        }
    }
}

/// The median, over all turns, of the time of some tokens as a multiple of the other's.
fn ratio<B: Backend>(reference: &mut Runner<'_, B>, other: &mut Runner<'_, B>) -> Result<f64, Error> {
    let decode = |runner: &mut Runner<'_, B>| {
        let started = Instant::now();
        runner.run(&[0], 0, |_, _| Ok(()))?;
        (1..STEPS).try_for_each(|position| runner.next(0, position).map(|_| ()))?;
        Ok::<_, Error>(started.elapsed().as_secs_f64())
    };
    decode(reference)?;
    decode(other)?;
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let before = decode(reference)?;
        ratios.push(decode(other)? / before);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios[TURNS / 2])
}

/// The same graph whose matrices have this type, where their rows are whole blocks of it.
fn retyped(graph: &Graph, dtype: DType) -> Result<Graph, Error> {
    let mut builder = GraphBuilder::new();
    for id in graph.weight_ids() {
        let info = graph.weight(id);
        let fits = numbers(graph, id) > 0.0 && dtype.row_bytes(info.shape.cols).is_some();
        builder.weight(WeightInfo { dtype: if fits { dtype } else { info.dtype }, ..info.clone() });
    }
    graph.memory().iter().for_each(|memory| _ = builder.memory(*memory));
    for node in graph.nodes() {
        builder.push_all(node.op.clone(), &node.inputs)?;
    }
    Ok(builder.finish(&graph.output().name, graph.output().value)?)
}

/// Numbers of a matrix that a decoded token is multiplied with; 0 of one that rows are only looked up in.
fn numbers(graph: &Graph, id: WeightId) -> f64 {
    let info = graph.weight(id);
    let used = |op: &Op| match op {
        Op::Linear { weight } | Op::HeadLinear { weight } if *weight == id => 1.0,
        Op::ExpertLinear { weight } if *weight == id => chosen(graph) / info.shape.outer.max(1) as f64,
        _ => 0.0,
    };
    let share = graph.nodes().iter().map(|node| used(&node.op)).fold(0.0, f64::max);
    let elements = info.shape.elements().unwrap_or(0) as f64;
    if info.role == WeightRole::Matrix { share * elements } else { 0.0 }
}

/// Experts that a token chooses.
fn chosen(graph: &Graph) -> f64 {
    let k = |op: &Op| if let Op::TopK { k } = op { *k as f64 } else { 0.0 };
    graph.nodes().iter().map(|node| k(&node.op)).fold(1.0, f64::max)
}

/// The part of a decoded token's numbers whose type has changed.
fn share_of(graph: &Graph, changed: &Graph) -> f64 {
    let all = || graph.weight_ids().map(|id| (id, numbers(graph, id)));
    let is_other = |id: &WeightId| graph.weight(*id).dtype != changed.weight(*id).dtype;
    let other: f64 = all().filter(|(id, _)| is_other(id)).map(|(_, numbers)| numbers).sum();
    other / all().map(|(_, numbers)| numbers).sum::<f64>().max(f64::MIN_POSITIVE)
}

/// Weights for a graph: of each the same row again and again.
fn made_up<B: Backend>(backend: &B, graph: &Graph, progress: Progress) -> Result<Weights<B>, Error> {
    let total = graph.weights().iter().filter_map(WeightInfo::bytes).sum::<usize>() as u64;
    let (mut all, mut done) = (Vec::new(), 0);
    for info in graph.weights() {
        let values: Vec<f32> = (0..info.shape.cols).map(|i| (i * 7919 % 1000) as f32 * 1e-4 - 0.05).collect();
        let problem = |problem: String| Error::Request(format!("{}: {problem}", info.name));
        let mut row = vec![0; info.dtype.row_bytes(values.len()).ok_or_else(|| problem("no whole blocks".into()))?];
        // Types that are only read have rows of zeros.
        if let Some(encode) = tensor::encoder(info.dtype) {
            encode(&values, &mut row);
        }
        let bytes = row.repeat(info.shape.outer * info.shape.rows);
        all.push(Arc::new(backend.upload(info, &bytes)?));
        done += bytes.len() as u64;
        progress("loading", done, total);
    }
    Ok(Weights::new(all))
}
