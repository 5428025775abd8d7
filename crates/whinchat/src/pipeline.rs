//! Models that are computed by a GPU, or by several devices one after the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use answer::{Embedder, Pooling};
use engine::{BackendExecutor, Executor, Pipeline, PipelineStage};
use graph::{Backend, BackendError, Graph, Limits, Stage, WeightId, WeightInfo, split};

use crate::device::Unit;
use crate::fingerprint::{Fingerprint, sample};
use crate::load::{Parts, Shareable, Weights, scratch_bytes};
use crate::place::Placement;
use crate::{Cpu, Error, Prepared, Progress, WeightsOrigin, gpu};

/// A device with the weights of its stages.
pub(crate) trait Holds: Send + Sync {
    /// Brings a weight of the whole graph there.
    fn hold(&mut self, id: WeightId, info: &WeightInfo, bytes: &[u8]) -> Result<(), BackendError>;

    /// What computes a stage, fused by the device's rules but for those that are disabled.
    fn compile(&self, stage: &Stage, limits: Limits, disabled: &[&str]) -> Result<Box<dyn Executor>, Error>;
}

/// A backend with weights.
pub(crate) struct Holder<B: Backend> {
    backend: B,
    weights: HashMap<WeightId, Arc<B::Weight>>,
}

impl<B: Backend> Holder<B> {
    pub(crate) fn new(backend: B) -> Holder<B> {
        Holder { backend, weights: HashMap::new() }
    }

    /// With weights of a graph that are there already.
    fn with(backend: B, weights: impl Iterator<Item = (WeightId, Arc<B::Weight>)>) -> Holder<B> {
        Holder { backend, weights: weights.collect() }
    }
}

impl<B: Shareable> Holds for Holder<B> {
    fn hold(&mut self, id: WeightId, info: &WeightInfo, bytes: &[u8]) -> Result<(), BackendError> {
        self.weights.insert(id, Arc::new(self.backend.upload(info, bytes)?));
        Ok(())
    }

    fn compile(&self, stage: &Stage, limits: Limits, disabled: &[&str]) -> Result<Box<dyn Executor>, Error> {
        let rules = self.backend.device().rules;
        let fused = graph::fuse(&stage.graph, rules, disabled).map_err(|why| Error::Request(why.to_string()))?.graph;
        let weights = stage.weights.iter().filter_map(|id| self.weights.get(id).cloned()).collect();
        let program = self.backend.compile(&fused, weights, limits)?;
        Ok(Box::new(BackendExecutor::new(self.backend.clone(), program, limits, fused.output_width())))
    }
}

/// The devices of a model, with its weights.
struct Held {
    placement: Placement,
    devices: BTreeMap<Unit, Box<dyn Holds>>,
    disabled: Vec<String>,
}

impl Held {
    /// What computes a graph of the model, as it is built; where there is a head of its own it is a stage too.
    fn compile(&self, graph: &Graph, head: Option<usize>, limits: Limits) -> Result<Pipeline, Error> {
        let cuts: Vec<usize> = self.placement.cuts.iter().copied().chain(head).collect();
        let disabled: Vec<&str> = self.disabled.iter().map(String::as_str).collect();
        let last = self.placement.stages.len() - 1;
        joined((graph, &cuts), limits, |i, stage, limits| {
            self.devices[&self.placement.stages[i.min(last)].unit].compile(stage, limits, &disabled)
        })
    }
}

/// What computes a graph that is cut at these nodes; `compile` makes what computes a stage.
fn joined(
    (graph, cuts): (&Graph, &[usize]),
    limits: Limits,
    compile: impl Fn(usize, &Stage, Limits) -> Result<Box<dyn Executor>, Error>,
) -> Result<Pipeline, Error> {
    let stages = split(graph, cuts).map_err(|why| Error::Request(why.to_string()))?;
    let compile = |(i, stage): (usize, &Stage)| {
        let executor = compile(i, stage, stage_limits(limits, i == cuts.len()))?;
        Ok(PipelineStage::new(executor, &stage.graph))
    };
    Ok(Pipeline::new(stages.iter().enumerate().map(compile).collect::<Result<_, Error>>()?))
}

/// The limits of a stage: all but the last hand every row over.
fn stage_limits(limits: Limits, is_last: bool) -> Limits {
    Limits { max_outputs: if is_last { limits.max_outputs } else { limits.max_tokens }, ..limits }
}

impl Prepared {
    /// What generates where not the CPU alone does. A CPU among the devices is this one.
    pub(crate) fn pipeline(&self, cpu: Cpu, progress: Progress) -> Result<Box<dyn Executor>, Error> {
        let (held, fingerprint) = self.held(cpu, progress)?;
        self.generating(&held, fingerprint)
    }

    /// What generates, and what turns texts into vectors and judges them, likewise.
    pub(crate) fn pipeline_parts(&self, cpu: Cpu, progress: Progress) -> Result<Parts, Error> {
        let (held, fingerprint) = self.held(cpu, progress)?;
        let held = Arc::new(held);
        let hidden = self.model.hidden_states()?;
        let (embedder, judge) = self.readers(|whole, limits, pooling| {
            let graph = if whole { self.model.graph() } else { &hidden };
            later(Arc::clone(&held), (graph, limits), pooling)
        })?;
        let executor = self.generating(&held, fingerprint)?;
        Ok(Parts { executor, embedder, judge, reading: self.reading()?, origin: WeightsOrigin::Packed, tuning: None })
    }

    /// Whether its hidden states are handed to its head, so that another head reads them too: that of itself, or one that drafts for it.
    pub(crate) fn hands_over(&self) -> bool {
        self.part.is_head() || self.draft().is_some_and(|draft| draft.part.is_head())
    }

    /// What computes the model in two stages on the CPU, the second of which is its head.
    pub(crate) fn handing_over(&self, backend: Cpu, weights: Weights) -> Result<Pipeline, Error> {
        let graph = self.model.graph();
        let disabled: Vec<&str> = self.graphs.disabled.iter().map(String::as_str).collect();
        let holder = Holder::with(backend, graph.weight_ids().zip(weights));
        joined((graph, &[self.model.head()]), self.limits, |_, stage, limits| holder.compile(stage, limits, &disabled))
    }

    /// Bytes of the values between operators of all stages, for the largest step.
    pub(crate) fn stages_scratch_bytes(&self) -> u64 {
        let (graph, placement) = (self.model.graph(), &self.graphs.placement);
        let head = self.hands_over().then(|| self.model.head());
        let cuts: Vec<usize> = placement.cuts.iter().copied().chain(head).collect();
        let disabled: Vec<&str> = self.graphs.disabled.iter().map(String::as_str).collect();
        let last = placement.stages.len() - 1;
        // What cannot be cut is not loaded.
        let stages = split(graph, &cuts).unwrap_or_default();
        let bytes = |(i, stage): (usize, Stage)| {
            let limits = stage_limits(self.limits, i == cuts.len());
            match placement.stages[i.min(last)].unit {
                Unit::Gpu(_) => gpu::needs(&stage.graph, &limits)[2],
                Unit::Cpu => graph::fuse(&stage.graph, Cpu::DEVICE.rules, &disabled)
                    .map_or(0, |fused| scratch_bytes(&fused.graph, &limits)),
            }
        };
        stages.into_iter().enumerate().map(bytes).fold(0, u64::saturating_add)
    }

    fn generating(&self, held: &Held, fingerprint: [u8; 32]) -> Result<Box<dyn Executor>, Error> {
        let head = self.hands_over().then(|| self.model.head());
        let pipeline = held.compile(self.model.graph(), head, self.limits)?;
        Ok(Box::new(pipeline.keeping(self.tier()?, fingerprint)))
    }

    /// The devices with the weights of their stages, and the model's fingerprint.
    fn held(&self, cpu: Cpu, progress: Progress) -> Result<(Held, [u8; 32]), Error> {
        let (graph, placement) = (self.model.graph(), self.graphs.placement.clone());
        let mut devices: BTreeMap<Unit, Box<dyn Holds>> = BTreeMap::new();
        for unit in placement.stages.iter().map(|stage| stage.unit) {
            devices.insert(
                unit,
                match unit {
                    Unit::Cpu => Box::new(Holder::new(cpu.clone())),
                    Unit::Gpu(number) => gpu::holder(number)?,
                },
            );
        }
        let stages = split(graph, &placement.cuts).map_err(|why| Error::Request(why.to_string()))?;
        let mut seen = Fingerprint::new(graph, &self.limits);
        // The blocks of another placement's cache lie in another order.
        seen.weight(&sample(format!("{:?}", placement.stages).as_bytes()));
        let size = |id| graph.weight(id).bytes().unwrap_or_default() as u64;
        let (mut done, total) = (0, graph.weight_ids().map(size).sum());
        for id in graph.weight_ids() {
            let bytes = self.model.read(id)?;
            seen.weight(&sample(&bytes));
            let users = stages.iter().zip(&placement.stages).filter(|(stage, _)| stage.weights.contains(&id));
            let mut users: Vec<Unit> = users.map(|(_, placed)| placed.unit).collect();
            users.sort();
            users.dedup();
            for unit in users {
                devices.get_mut(&unit).into_iter().try_for_each(|device| device.hold(id, graph.weight(id), &bytes))?;
            }
            drop(bytes);
            self.checkpoint.release();
            done += size(id);
            progress("loading", done, total);
        }
        Ok((Held { placement, devices, disabled: self.graphs.disabled.clone() }, seen.finish()))
    }
}

/// What turns texts into rows of a graph's output; it is compiled when it is first asked.
fn later(held: Arc<Held>, (graph, limits): (&Graph, Limits), pooling: Pooling) -> Embedder {
    let (graph, width, whole) = (graph.clone(), graph.output_width(), !graph.causal());
    let make = move || {
        let pipeline = held.compile(&graph, None, limits).map_err(|e| e.to_string())?;
        Ok(Box::new(pipeline) as Box<dyn Executor>)
    };
    Embedder::new(pooling, width, Box::new(make)).of_whole_texts(whole)
}
