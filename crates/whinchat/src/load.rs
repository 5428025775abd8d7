//! From a model's name to an executor: the only place where files, a backend and an engine meet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use answer::{Embedder, Pooling};
use engine::{BackendExecutor, EngineConfig, Executor, Tier};
use graph::{Backend, Graph, KvType, Limits};
use kernels::{Cpu, CpuOptions};
use model::{Checkpoint, Model as Bound, PoolingType};

use crate::builtin::{BUILTIN, builtin};
use crate::fingerprint::Fingerprint;
use crate::hub::Hub;
use crate::memory::{Memory, Room, kept_states};
use crate::weights::{Brought, Wanted, WeightsCache, WeightsOrigin};
use crate::{Error, SamplingDefaults, Spill, TemplateChoice, bounds, machine, weights};

/// Positions in a block of the KV cache.
pub const BLOCK_LEN: usize = 16;

/// Rows of a step that may have logits, if no more sequences run at once: prompts that are scored take so many rows a step. What
/// no step uses takes no memory.
const OUTPUTS: usize = 64;

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
    /// How the KV cache is stored (default: F16).
    pub kv_type: KvType,
    /// Fusion rules that are not applied, of [`Cpu::DEVICE`] (default: all are).
    pub disabled_rules: Vec<String>,
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
    /// Memory for states of recurrent layers that are kept for later requests, in bytes (default: a state for each sequence
    /// that can run at once, within a sixteenth of the memory that is left).
    pub state_bytes: Option<u64>,
    /// Where blocks of the KV cache go that have no room in memory (default: nowhere; they are computed anew).
    pub spill: Option<Spill>,
    /// Where packed weights are kept for later starts (default: where it pays).
    pub weights: WeightsCache,
}

/// Hears how loading goes: bytes done and bytes in all, for a named stage.
pub type Progress<'a> = &'a dyn Fn(&str, u64, u64);

/// What is computed, fused.
struct Graphs {
    /// Of the whole model.
    logits: Graph,
    /// Of what is before its head.
    hidden: Graph,
}

/// A checkpoint, bound and measured, not yet in memory.
pub struct Prepared {
    /// What the model is called, if not as its files say.
    pub name: Option<String>,
    /// Whose sampling settings hold where neither a request nor the model says anything.
    pub sampling_defaults: Option<SamplingDefaults>,
    /// The chat template, if not the model's own.
    pub chat_template: Option<TemplateChoice>,
    /// The files.
    pub checkpoint: Arc<Checkpoint>,
    /// The model.
    pub model: Bound,
    /// Longest sequence.
    pub context: usize,
    /// What will be compiled for; a row with logits for each sequence that runs at once, and some for prompts that are scored.
    pub limits: Limits,
    /// What it takes of the memory.
    pub memory: Memory,
    graphs: Graphs,
    cpu: CpuOptions,
    cache: CacheOptions,
    pub(crate) engine: EngineConfig,
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
    bounds::check(options)?;
    let available = machine::memory_available();
    let max_sequences = options.max_sequences.unwrap_or(32);
    let context = match options.context {
        Some(context) => context,
        None => {
            let model = checkpoint.bind(None)?;
            let kept = kept_states(model.graph(), options.cache.state_bytes, max_sequences, available);
            let shared = shared_bytes(&checkpoint, &model, model.graph());
            let room = Room::new(model.graph(), options.kv_type, max_sequences + kept, (available, shared));
            model.spec().context.min(8192).min(room.longest()).min(options.cache.kv_tokens.unwrap_or(usize::MAX))
        }
    };
    let model = checkpoint.bind(Some(context))?;
    let fused = |graph: &Graph| fused(graph, &options.disabled_rules);
    let graphs = Graphs { logits: fused(model.graph())?, hidden: fused(&model.hidden_states()?)? };
    let max_tokens = options.max_batch_tokens.unwrap_or(512).max(max_sequences);
    let fair = context.max((context / 4).saturating_mul(max_sequences));
    let kept = match options.engine.prefix_cache {
        Some(_) => kept_states(model.graph(), options.cache.state_bytes, max_sequences, available),
        None => 0,
    };
    let shared = shared_bytes(&checkpoint, &model, &graphs.logits);
    let room = Room::new(model.graph(), options.kv_type, max_sequences + kept, (available, shared));
    let kv_tokens = options.cache.kv_tokens.unwrap_or(fair.min(room.pool())).max(context);
    let kv_blocks = kv_tokens.div_ceil(BLOCK_LEN);
    let limits = Limits {
        max_tokens,
        max_outputs: max_sequences.max(OUTPUTS).min(max_tokens),
        kv_blocks,
        block_len: BLOCK_LEN,
        kv_type: options.kv_type,
        state_slots: if graphs.logits.state_len() > 0 { max_sequences + kept } else { 0 },
    };
    let memory = room.taken(kv_blocks * BLOCK_LEN);
    Ok(Prepared {
        name: options.name.clone(),
        sampling_defaults: options.sampling_defaults,
        chat_template: options.chat_template.clone(),
        checkpoint,
        model,
        context,
        limits,
        memory,
        graphs,
        cpu: CpuOptions { threads: options.threads, pin: options.pin, isa: None },
        cache: options.cache.clone(),
        engine: EngineConfig { max_sequences, prefix_states: Some(kept), ..options.engine },
    })
}

/// Bytes of the weights that another model of this process has in memory.
fn shared_bytes(checkpoint: &Checkpoint, model: &Bound, graph: &Graph) -> u64 {
    Wanted { checkpoint, model, graph, cache: &WeightsCache::Off, available: None }.shared_bytes()
}

impl Prepared {
    /// What the model will be called.
    pub fn model_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.checkpoint.name())
    }

    /// Threads that will compute.
    pub fn threads(&self) -> usize {
        self.cpu.threads.unwrap_or_else(machine::cores)
    }

    /// Brings the weights into memory and compiles the graph, on threads of its own.
    ///
    /// # Errors
    /// If the memory is short or the files give wrong data.
    pub fn executor(&self, progress: Progress) -> Result<BackendExecutor<Cpu>, Error> {
        self.executor_on(self.cpu(), progress)
    }

    /// The CPU as the options say it is used, with threads of its own.
    pub fn cpu(&self) -> Cpu {
        Cpu::new(self.cpu)
    }

    /// As [`Prepared::executor`], on a CPU whose clones other models may use: they share its threads.
    ///
    /// # Errors
    /// As [`Prepared::executor`].
    pub fn executor_on(&self, backend: Cpu, progress: Progress) -> Result<BackendExecutor<Cpu>, Error> {
        let (weights, fingerprint, _) = self.weights(&backend, progress)?;
        self.keeping(compiled(backend, &self.graphs.logits, weights, self.limits)?, fingerprint)
    }

    /// What generates, and what turns texts into vectors and judges them. All share the weights.
    ///
    /// # Errors
    /// As [`Prepared::executor`].
    pub(crate) fn parts_on(&self, backend: Cpu, progress: Progress) -> Result<Parts, Error> {
        let (weights, fingerprint, origin) = self.weights(&backend, progress)?;
        let Graphs { logits, hidden } = &self.graphs;
        let many = self.encoder_limits();
        let few = Limits { max_outputs: OUTPUTS.min(many.max_tokens), ..many };
        let pooling = match self.checkpoint.pooling()? {
            Some(PoolingType::Mean) => Pooling::Mean,
            Some(PoolingType::First) => Pooling::First,
            // A model that only looks back has seen all of a text in its last row.
            Some(PoolingType::Last) | None => Pooling::Last,
        };
        Ok(Parts {
            embedder: later(&backend, &weights, (hidden, many), pooling),
            judge: later(&backend, &weights, (logits, few), Pooling::Last),
            executor: self.keeping(compiled(backend, logits, weights, self.limits)?, fingerprint)?,
            origin,
        })
    }

    /// Every row may be wanted, and a text as long as the context fits, with others beside it.
    fn encoder_limits(&self) -> Limits {
        let Limits { max_tokens, kv_blocks, block_len, .. } = self.limits;
        let enough = (self.context + max_tokens).div_ceil(block_len) + max_tokens / block_len;
        Limits { max_outputs: max_tokens, kv_blocks: enough.min(kv_blocks), ..self.limits }
    }

    /// The file that has its packed weights, if there is one, and its size; it may be out of date.
    pub fn packed_weights(&self) -> Option<(PathBuf, u64)> {
        weights::path_of(&self.cache.weights, &self.checkpoint)
    }

    /// Brings the weights to the device; gives the model's fingerprint too, and where they come from.
    fn weights(&self, backend: &Cpu, progress: Progress) -> Result<(Weights, [u8; 32], WeightsOrigin), Error> {
        let graph = &self.graphs.logits;
        let (checkpoint, model, cache) = (&*self.checkpoint, &self.model, &self.cache.weights);
        let wanted = Wanted { checkpoint, model, graph, cache, available: self.memory.available };
        let Brought { all, origin } = wanted.bring(backend, progress)?;
        let mut seen = Fingerprint::new(graph, &self.limits);
        all.iter().for_each(|held| seen.weight(&held.sample));
        Ok((all.into_iter().map(|held| held.weight).collect(), seen.finish(), origin))
    }

    /// With a place for what its KV cache evicts, and the name under which that can be saved.
    fn keeping(&self, executor: BackendExecutor<Cpu>, fingerprint: [u8; 32]) -> Result<BackendExecutor<Cpu>, Error> {
        Ok(executor.with_tier(self.tier()?).with_fingerprint(fingerprint))
    }

    /// Where evicted blocks go.
    fn tier(&self) -> Result<Option<Box<dyn Tier>>, Error> {
        let Some(spill) = &self.cache.spill else { return Ok(None) };
        let refused = |source| Error::Io { what: format!("--kv-spill {}", spill.path.display()), source };
        Ok(Some(Box::new(spill.open().map_err(refused)?)))
    }
}

/// What a model is made of in memory.
pub(crate) struct Parts {
    pub(crate) executor: BackendExecutor<Cpu>,
    pub(crate) embedder: Embedder,
    pub(crate) judge: Embedder,
    pub(crate) origin: WeightsOrigin,
}

/// What turns texts into rows of a graph's output; it is compiled when it is first asked.
fn later(
    backend: &Cpu,
    weights: &[Arc<<Cpu as Backend>::Weight>],
    (graph, limits): (&Graph, Limits),
    pooling: Pooling,
) -> Embedder {
    let (backend, weights, graph) = (backend.clone(), weights.to_vec(), graph.clone());
    let width = graph.output_width();
    let make = move || {
        let executor = compiled(backend, &graph, weights, limits).map_err(|e| e.to_string())?;
        Ok(Box::new(executor) as Box<dyn Executor>)
    };
    Embedder::new(pooling, width, Box::new(make))
}

/// A graph in the form in which the CPU computes it.
fn fused(graph: &Graph, disabled: &[String]) -> Result<Graph, Error> {
    let disabled: Vec<&str> = disabled.iter().map(String::as_str).collect();
    Ok(graph::fuse(graph, Cpu::DEVICE.rules, &disabled).map_err(|e| Error::Request(e.to_string()))?.graph)
}

/// In the order of the graph's.
type Weights = Vec<Arc<<Cpu as Backend>::Weight>>;

fn compiled(backend: Cpu, graph: &Graph, weights: Weights, limits: Limits) -> Result<BackendExecutor<Cpu>, Error> {
    let program = backend.compile(graph, weights, limits)?;
    Ok(BackendExecutor::new(backend, program, limits, graph.output_width()))
}
