//! From a model's name to an executor: the only place where files, a backend and an engine meet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use answer::{Embedder, Pooling, Reading};
use engine::{BackendExecutor, EngineConfig, Executor, Tier};
use graph::{Backend, Fused, Graph, KvType, Limits, Plan};
use kernels::{Cpu, CpuOptions, Tuning};
use model::Checkpoint;
use text::Tokenizer;

use crate::builtin::{BUILTIN, builtin};
use crate::draft::{Drafting, Part};
use crate::fingerprint::Fingerprint;
use crate::hub::Hub;
use crate::memory::{Memory, Room, kept_states};
use crate::place::{Placed, Placement, place};
use crate::plan::{self, KernelRule, PlanOptions};
use crate::tiers::{Hierarchy, HostMemory};
use crate::weights::{Brought, Wanted, WeightsCache, WeightsOrigin};
use crate::{Error, SamplingDefaults, Spill, TemplateChoice, TemplateOrigin, bounds, machine, template, weights};

/// Positions in a block of the KV cache.
pub const BLOCK_LEN: usize = 16;

/// Sequences that run at once, where nothing is said.
pub(crate) const SEQUENCES: usize = 32;

/// Rows of a step that may have logits, if no more sequences run at once: prompts that are scored take so many rows a step. What
/// no step uses takes no memory.
pub(crate) const OUTPUTS: usize = 64;

/// How a model is brought into memory. `None` means: resolved from the model and the machine. Numbers are within [`bounds`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// What the model is called (default: by its own metadata, else its file).
    pub name: Option<String>,
    /// Whose sampling settings hold where neither a request nor the model says anything (default: by the files' format).
    pub sampling_defaults: Option<SamplingDefaults>,
    /// The chat template (default: the model's own, else ChatML where the vocabulary has its marks).
    pub chat_template: Option<TemplateChoice>,
    /// Longest sequence, prompt and answer (default: the model's own, at most 8,192 and what the memory holds). More than
    /// the model's own is allowed; what it then says is the asker's risk.
    pub context: Option<usize>,
    /// Threads that compute (default: every core).
    pub threads: Option<usize>,
    /// Binds each thread that computes to a core of its own.
    pub pin: bool,
    /// Sequences that run at once (default: 32).
    pub max_sequences: Option<usize>,
    /// Rows computed in a step at most (default: 512).
    pub max_batch_tokens: Option<usize>,
    /// What is kept of sequences and of weights, and where.
    pub cache: CacheOptions,
    /// A smaller model with the same vocabulary that drafts for it: a file, a folder or a hub id; or [`MTP`](crate::MTP), the layer of its
    /// own files that predicts the token after the next (default: none). What is drafted is computed where that is faster; answers are
    /// the same.
    pub draft_model: Option<PathBuf>,
    /// What of its execution plan is not made by default.
    pub plan: PlanOptions,
    /// Settings of the engine. Its sizes and its seed are those of the fields above.
    pub engine: EngineConfig,
}

/// What is kept of sequences and of weights, and where. `None` means: resolved from the model and the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheOptions {
    /// Positions that the KV cache holds over all sequences (default: the longest sequence, and room for every sequence to
    /// use a part of it, within half of the memory that the weights leave free). At least `context`, which is not longer by
    /// default.
    pub kv_tokens: Option<usize>,
    /// How the KV cache is stored (default: F16).
    pub kv_type: KvType,
    /// Memory for states of recurrent layers that are kept for later requests, in bytes (default: a state for each sequence
    /// that can run at once, within a sixteenth of the memory that is left).
    pub state_bytes: Option<u64>,
    /// Where blocks of the KV cache go that have no room in memory (default: nowhere; they are computed anew).
    pub spill: Option<Spill>,
    /// Memory between the two (default: none).
    pub host: Option<HostMemory>,
    /// Where packed weights are kept for later starts (default: where it pays).
    pub weights: WeightsCache,
}

/// Hears how loading goes: bytes done and bytes in all, for a named stage.
pub type Progress<'a> = &'a dyn Fn(&str, u64, u64);

/// What is computed, fused.
pub(crate) struct Graphs {
    /// Of the whole model.
    pub(crate) logits: Graph,
    /// Of what is before its head.
    pub(crate) hidden: Graph,
    /// How often each rule of fusion was applied to the first.
    pub(crate) fired: Vec<(&'static str, usize)>,
    /// The file that it came from instead.
    pub(crate) file: Option<PathBuf>,
    /// Kernels that were given for it.
    pub(crate) kernels: Vec<KernelRule>,
    /// Rules that are not applied.
    pub(crate) disabled: Vec<String>,
    /// What computes them. The graphs are those of the CPU alone; others fuse their own parts of the graph as it is built.
    pub(crate) placement: Placement,
}

/// A checkpoint, bound and measured, not yet in memory.
pub struct Prepared {
    /// What was asked for.
    pub options: LoadOptions,
    /// The files.
    pub checkpoint: Arc<Checkpoint>,
    /// The model.
    pub model: model::Model,
    /// Longest sequence.
    pub context: usize,
    /// What will be compiled for; a row with logits for each sequence that runs at once, and some for prompts that are scored.
    pub limits: Limits,
    /// What it takes of the memory.
    pub memory: Memory,
    pub(crate) graphs: Graphs,
    pub(crate) cpu: CpuOptions,
    pub(crate) engine: EngineConfig,
    pub(crate) draft: Option<Box<Prepared>>,
    /// If it drafts for another one: that one's token for each of its logits, if they are not the same.
    pub(crate) draft_tokens: Option<Box<[u32]>>,
    /// What of the files it is.
    pub(crate) part: Part,
}

/// Where a model's files are: a path as given, else a hub id, downloaded if need be.
///
/// # Errors
/// If there is no such file and the hub does not give one.
pub fn locate(source: impl AsRef<Path>, progress: Progress) -> Result<PathBuf, Error> {
    let path = source.as_ref();
    if path.as_os_str().is_empty() {
        let why = format!("the model's name is empty; give a file, a folder, a Hugging Face id or {BUILTIN}");
        return Err(Error::Request(why));
    }
    let Some(source) = path.to_str().filter(|_| !path.exists()) else { return Ok(path.to_owned()) };
    let hub = Hub::from_env();
    match hub.parse(source) {
        Some(id) => Ok(hub.fetch(&id, progress)?),
        None if source.contains("://") => Err(Error::Request(format!(
            "{source} is no address of a model on {}; give one, or download the file and give its path",
            hub.endpoint
        ))),
        None => Ok(path.to_owned()),
    }
}

/// Opens the model that `source` names: a path if there is such a file or folder, else the built-in model if it is its name
/// ([`BUILTIN`]), else a hub id, downloaded if need be.
///
/// # Errors
/// If there is no such model or its files cannot be used.
pub fn open(source: impl AsRef<Path>, progress: Progress) -> Result<Arc<Checkpoint>, Error> {
    let source = source.as_ref();
    if source == Path::new(BUILTIN) && !source.exists() {
        return builtin();
    }
    Ok(Checkpoint::open(&locate(source, progress)?)?)
}

/// Resolves `options` against an opened model and the machine.
///
/// # Errors
/// If the files cannot be used or an option contradicts the model.
pub fn prepare(checkpoint: Arc<Checkpoint>, options: &LoadOptions) -> Result<Prepared, Error> {
    prepare_part(checkpoint, Part::Model, options)
}

/// As [`prepare`], of a part of the files.
pub(crate) fn prepare_part(checkpoint: Arc<Checkpoint>, part: Part, options: &LoadOptions) -> Result<Prepared, Error> {
    bounds::check(options)?;
    let available = machine::memory_available();
    let (max_sequences, kv_type) = (options.max_sequences.unwrap_or(SEQUENCES), options.cache.kv_type);
    let draft = Drafting::open(options, &checkpoint)?;
    let layers = draft.as_ref().map_or(&[][..], Drafting::layers).to_vec();
    let beside = draft.as_ref().map(|draft| draft.beside(kv_type)).unwrap_or_default();
    let context = match options.context {
        Some(context) => context,
        None => {
            let model = part.bind(&checkpoint, None, &layers)?;
            let kept = kept_states(model.graph(), options.cache.state_bytes, max_sequences, available);
            let shared = shared_bytes(&checkpoint, &model, model.graph());
            let room = Room::new(model.graph(), kv_type, max_sequences + kept, (available, shared)).with_draft(beside);
            model.spec().context.min(8192).min(room.longest()).min(options.cache.kv_tokens.unwrap_or(usize::MAX))
        }
    };
    let model = part.bind(&checkpoint, Some(context), &layers)?;
    let whole = model.spec().encoder.is_some();
    // What is read whole is in one step.
    let max_tokens = options.max_batch_tokens.unwrap_or(512).max(max_sequences).max(if whole { context } else { 0 });
    let fair = match whole {
        true => context.saturating_add(2 * max_tokens),
        false => context.max((context / 4).saturating_mul(max_sequences)),
    };
    let kept = match options.engine.prefix_cache {
        Some(_) => kept_states(model.graph(), options.cache.state_bytes, max_sequences, available),
        None => 0,
    };
    let shared = shared_bytes(&checkpoint, &model, model.graph());
    let room = Room::new(model.graph(), kv_type, max_sequences + kept, (available, shared)).with_draft(beside);
    let kv_tokens = options.cache.kv_tokens.unwrap_or(fair.min(room.pool())).max(context);
    let kv_blocks = kv_tokens.div_ceil(BLOCK_LEN);
    let limits = Limits {
        max_tokens,
        max_outputs: max_sequences.max(OUTPUTS).min(max_tokens),
        kv_blocks,
        block_len: BLOCK_LEN,
        kv_type,
        state_slots: if model.graph().state_len() > 0 { max_sequences + kept } else { 0 },
    };
    let placement = place(&options.plan.device, options.plan.gpu_layers, model.graph(), &limits)?;
    let beside = placement.beside();
    let graphs = graphs(&model, &options.plan, placement)?;
    let memory = room.taken(kv_blocks * BLOCK_LEN);
    Ok(Prepared {
        draft: draft.map(|draft| draft.prepare(options, context, &limits, beside)).transpose()?,
        draft_tokens: None,
        options: options.clone(),
        checkpoint,
        model,
        context,
        limits,
        memory,
        graphs,
        cpu: CpuOptions { threads: options.threads, pin: options.pin, isa: options.plan.isa },
        engine: EngineConfig { max_sequences, prefix_states: Some(kept), ..options.engine },
        part,
    })
}

/// Bytes of the weights that another model of this process has in memory.
pub(crate) fn shared_bytes(checkpoint: &Checkpoint, model: &model::Model, graph: &Graph) -> u64 {
    Wanted { checkpoint, model, graph, cache: &WeightsCache::Off, available: None }.shared_bytes()
}

impl Prepared {
    /// What the model will be called.
    pub fn model_name(&self) -> String {
        self.options.name.clone().unwrap_or_else(|| self.checkpoint.name())
    }

    /// Refuses a model that gives vectors or scores of texts, where text is to be generated or predicted.
    ///
    /// # Errors
    /// If it is one.
    pub fn check_continues(&self) -> Result<(), Error> {
        if self.model.spec().continues() {
            return Ok(());
        }
        let problem =
            "it gives vectors or scores of texts, which `whinchat serve` answers at /v1/embeddings and /v1/rerank";
        Err(Error::Request(format!(
            "the model {} writes no text: {problem}; choose a model that generates",
            self.model_name()
        )))
    }

    /// Bytes of the values between operators, for the largest step: of all stages, where there are several.
    pub fn scratch_bytes(&self) -> u64 {
        if self.graphs.placement.is_cpu() && !self.hands_over() {
            return scratch_bytes(&self.graphs.logits, &self.limits);
        }
        self.stages_scratch_bytes()
    }

    /// Where its chat template comes from; `None` if it has none.
    ///
    /// # Errors
    /// If its files cannot be read, or the template cannot be used: then it answers no chats.
    pub fn template_origin(&self, tokenizer: &Tokenizer) -> Result<Option<TemplateOrigin>, Error> {
        let own = self.checkpoint.chat_template()?;
        let resolved = template::resolve(self.options.chat_template.as_ref(), own.as_deref(), tokenizer);
        match (resolved.origin, resolved.template) {
            (Some(_), Err(why)) => Err(Error::Request(why)),
            (origin, _) => Ok(origin),
        }
    }

    /// Tokens that the model chooses from.
    pub(crate) fn vocab(&self) -> usize {
        self.graphs.logits.output_width()
    }

    /// Threads that will compute.
    pub fn threads(&self) -> usize {
        self.cpu.threads.unwrap_or_else(machine::cores)
    }

    /// What computes it: devices in the order in which they compute, with their layers.
    pub fn placed(&self) -> &[Placed] {
        &self.graphs.placement.stages
    }

    /// Brings the weights into memory and compiles the graph, on threads of its own or on its other devices.
    ///
    /// # Errors
    /// If the memory is short or the files give wrong data.
    pub fn executor(&self, progress: Progress) -> Result<Box<dyn Executor>, Error> {
        let backend = self.cpu();
        if !self.graphs.placement.is_cpu() {
            return self.pipeline(backend, progress);
        }
        let (weights, fingerprint, _) = self.weights(&backend, progress)?;
        let (executor, _) = self.executor_of(backend, weights)?;
        Ok(Box::new(self.keeping(executor, fingerprint)?))
    }

    /// The CPU as the options say it is used, with threads of its own.
    pub fn cpu(&self) -> Cpu {
        Cpu::new(self.cpu)
    }

    /// What generates, and what turns texts into vectors and judges them. All share the weights. The CPU is used if the model is
    /// computed there.
    ///
    /// # Errors
    /// As [`Prepared::executor`].
    pub(crate) fn parts_on(&self, backend: Cpu, progress: Progress) -> Result<Parts, Error> {
        if !self.graphs.placement.is_cpu() {
            return self.pipeline_parts(backend, progress);
        }
        let (weights, fingerprint, origin) = self.weights(&backend, progress)?;
        let bound = Bound { backend, weights };
        let Graphs { logits, hidden, .. } = &self.graphs;
        let (embedder, judge) = self
            .readers(|whole, limits, pooling| later(&bound, (if whole { logits } else { hidden }, limits), pooling))?;
        let reading = self.reading()?;
        if self.hands_over() {
            let pipeline = self.handing_over(bound.backend, bound.weights)?;
            let executor = Box::new(pipeline.keeping(self.tier()?, fingerprint));
            return Ok(Parts { embedder, judge, reading, executor, origin, tuning: None });
        }
        let (executor, tuning) = self.executor_of(bound.backend, bound.weights)?;
        let executor = Box::new(self.keeping(executor, fingerprint)?);
        Ok(Parts { embedder, judge, reading, executor, origin, tuning: Some(tuning) })
    }

    /// The file that has its packed weights, if there is one, and its size; it may be out of date.
    pub fn packed_weights(&self) -> Option<(PathBuf, u64)> {
        weights::path_of(&self.options.cache.weights, &self.checkpoint)
    }

    /// Brings the weights to the device; gives the model's fingerprint too, and where they come from.
    pub(crate) fn weights(
        &self,
        backend: &Cpu,
        progress: Progress,
    ) -> Result<(Weights, [u8; 32], WeightsOrigin), Error> {
        let graph = &self.graphs.logits;
        let (checkpoint, model, cache) = (&*self.checkpoint, &self.model, &self.options.cache.weights);
        let wanted = Wanted { checkpoint, model, graph, cache, available: self.memory.available };
        let Brought { all, origin } = wanted.bring(backend, progress)?;
        let mut seen = Fingerprint::new(graph, &self.limits);
        all.iter().for_each(|held| seen.weight(&held.sample));
        Ok((all.into_iter().map(|held| held.weight).collect(), seen.finish(), origin))
    }

    /// What computes the model on a CPU that others use too; it keeps nothing that its KV cache evicts.
    pub(crate) fn executor_on(&self, backend: &Cpu, progress: Progress) -> Result<BackendExecutor<Cpu>, Error> {
        let (weights, ..) = self.weights(backend, progress)?;
        Ok(self.executor_of(backend.clone(), weights)?.0)
    }

    /// What computes the model, with its kernels chosen.
    fn executor_of(&self, backend: Cpu, weights: Weights) -> Result<(BackendExecutor<Cpu>, Tuning), Error> {
        let graph = &self.graphs.logits;
        let program = backend.compile(graph, weights, self.limits)?;
        let tuning = program.tuning().clone();
        tuning.choose(self.kernels_of(graph, &tuning)?);
        Ok((BackendExecutor::new(backend, program, self.limits, graph.output_width()), tuning))
    }

    /// With a place for what its KV cache evicts, and the name under which that can be saved.
    fn keeping<B: Backend>(
        &self,
        executor: BackendExecutor<B>,
        fingerprint: [u8; 32],
    ) -> Result<BackendExecutor<B>, Error> {
        Ok(executor.with_tier(self.tier()?).with_fingerprint(fingerprint))
    }

    /// Where evicted blocks go.
    pub(crate) fn tier(&self) -> Result<Option<Box<dyn Tier>>, Error> {
        let open = |spill: &Spill| {
            spill.open().map_err(|source| Error::Io { what: format!("--kv-spill {}", spill.path.display()), source })
        };
        let file = self.options.cache.spill.as_ref().map(open).transpose()?;
        Ok(match (self.options.cache.host, file) {
            (Some(host), file) => Some(Box::new(Hierarchy::new(host, file))),
            (None, Some(file)) => Some(Box::new(file)),
            (None, None) => None,
        })
    }
}

/// Bytes of the values between the operators of a graph as the CPU computes it.
pub(crate) fn scratch_bytes(graph: &Graph, limits: &Limits) -> u64 {
    let plan = Plan::new(graph, &Cpu::DEVICE.layout, limits);
    (plan.words as u64).saturating_mul(size_of::<f32>() as u64)
}

/// What a model is made of in memory.
pub(crate) struct Parts {
    pub(crate) executor: Box<dyn Executor>,
    pub(crate) embedder: Embedder,
    pub(crate) judge: Embedder,
    pub(crate) reading: Reading,
    pub(crate) origin: WeightsOrigin,
    /// Chooses kernels, where they have names.
    pub(crate) tuning: Option<Tuning>,
}

/// A device with a model's weights, in the order of the graph's.
struct Bound<B: Backend> {
    backend: B,
    weights: Vec<Arc<B::Weight>>,
}

/// A backend whose programs any thread may run.
pub(crate) trait Shareable: Backend<Weight: Send + Sync, Program: Send> + Clone + Send + Sync + 'static {}

impl<B: Backend<Weight: Send + Sync, Program: Send> + Clone + Send + Sync + 'static> Shareable for B {}

/// What turns texts into rows of a graph's output; it is compiled when it is first asked.
fn later<B: Shareable>(bound: &Bound<B>, (graph, limits): (&Graph, Limits), pooling: Pooling) -> Embedder {
    let bound = Bound { backend: bound.backend.clone(), weights: bound.weights.clone() };
    let (graph, width, whole) = (graph.clone(), graph.output_width(), !graph.causal());
    let make = move || {
        let executor = compiled(bound, &graph, limits).map_err(|e| e.to_string())?;
        Ok(Box::new(executor) as Box<dyn Executor>)
    };
    Embedder::new(pooling, width, Box::new(make)).of_whole_texts(whole)
}

/// A model's graphs in the form in which the CPU computes them.
fn graphs(model: &model::Model, options: &PlanOptions, placement: Placement) -> Result<Graphs, Error> {
    if let (false, Some(what)) = (placement.is_cpu(), chosen(options)) {
        return Err(Error::Request(format!(
            "{what} says how the CPU alone computes; leave it out, or use --device cpu"
        )));
    }
    let rules = Cpu::DEVICE.rules;
    let disabled: Vec<&str> = options.disabled_rules.iter().map(String::as_str).collect();
    let fused = |graph: &Graph| graph::fuse(graph, rules, &disabled).map_err(|why| Error::Request(why.to_string()));
    let Fused { graph, fired } = fused(model.graph())?;
    let logits = match &options.file {
        Some(path) => plan::from_file(path, model.graph(), &graph)?,
        None => graph,
    };
    let (file, kernels) = (options.file.clone(), options.kernels.clone());
    let (hidden, disabled) = (fused(&model.hidden_states()?)?.graph, options.disabled_rules.clone());
    Ok(Graphs { logits, hidden, fired, file, kernels, disabled, placement })
}

/// What was said of the CPU's plan, if anything was.
pub(crate) fn chosen(options: &PlanOptions) -> Option<&'static str> {
    let kernels = !options.kernels.is_empty() || options.isa.is_some();
    options.file.as_ref().map(|_| "--plan").or(kernels.then_some("--kernel"))
}

/// In the order of the graph's.
pub(crate) type Weights = Vec<Arc<<Cpu as Backend>::Weight>>;

fn compiled<B: Backend>(bound: Bound<B>, graph: &Graph, limits: Limits) -> Result<BackendExecutor<B>, Error> {
    let Bound { backend, weights } = bound;
    let program = backend.compile(graph, weights, limits)?;
    Ok(BackendExecutor::new(backend, program, limits, graph.output_width()))
}
