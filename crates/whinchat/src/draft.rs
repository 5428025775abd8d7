//! What drafts for a model, a smaller one or a head that reads its hidden states: whether it can, and what it takes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{DraftModel, EngineConfig, Executor, HiddenInputs};
use graph::{Graph, KvType, Limits, Op, WeightId, WeightInfo};
use kernels::Cpu;
use model::{Checkpoint, Eagle3, Model};
use text::{TokenKind, Tokenizer};

use crate::memory::Beside;
use crate::{CacheOptions, Device, Error, LoadOptions, PlanOptions, Prepared, Progress, WeightsCache};
use crate::{kv_bytes_per_token, load, vocab};

/// Tokens that it reads in a batch at most, beside those of sequences that it has read.
const READ: usize = 128;

/// The draft model that is the model's own layer for that (multi-token prediction), unless there is a file of this name.
pub const MTP: &str = "mtp";

/// What of a checkpoint is a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The model itself.
    Model,
    /// The layer that predicts the token after the next.
    Mtp,
    /// An EAGLE-3 head, which is all there is.
    Eagle3,
}

impl Part {
    /// A model whose draft reads its hidden states hands over what goes into these layers.
    ///
    /// # Errors
    /// If it is not there or cannot be used.
    pub(crate) fn bind(
        self,
        checkpoint: &Arc<Checkpoint>,
        context: Option<usize>,
        layers: &[usize],
    ) -> Result<Model, Error> {
        match self {
            Part::Model => Ok(checkpoint.bind_handing_over(context, layers)?),
            Part::Eagle3 => Ok(checkpoint.bind_eagle3(context)?),
            Part::Mtp => checkpoint.bind_mtp(context)?.ok_or_else(|| {
                Error::Request(format!(
                    "{} has no layer that predicts ahead (`nextn`, `eh_proj` or `mtp.` in the names of its tensors): take files that have kept it, \
                     or give a smaller model with the same vocabulary",
                    checkpoint.name()
                ))
            }),
        }
    }

    /// Whether it reads hidden states of a model.
    pub(crate) fn is_head(self) -> bool {
        self != Part::Model
    }
}

/// An opened draft model, which has the vocabulary of the model that it drafts for.
pub(crate) struct Drafting {
    source: PathBuf,
    checkpoint: Arc<Checkpoint>,
    model: Model,
    part: Part,
    /// The layers of the other model whose inputs it reads, beside what its last layer gives.
    layers: Vec<usize>,
    /// See [`DraftModel::tokens`].
    tokens: Option<Box<[u32]>>,
    /// Bytes of weights that are the other model's too.
    shared: u64,
}

impl Drafting {
    /// Opens the model that `options` name, if they name one, as one that drafts for `target`.
    ///
    /// # Errors
    /// If there is no such model, or it or the other one is not made for that.
    pub(crate) fn open(options: &LoadOptions, target: &Arc<Checkpoint>) -> Result<Option<Drafting>, Error> {
        let Some(source) = &options.draft_model else { return Ok(None) };
        let refused = |why: String| Error::Request(format!("--draft-model {}: {why}", source.display()));
        if options.engine.max_draft == 0 {
            return Err(refused("--draft-tokens 0 drafts nothing; leave one of them out".into()));
        }
        let own = target.bind(None)?;
        writes(&own, true).map_err(|why| refused(format!("{} takes no drafts: {why}", target.name())))?;
        if is_mtp(source) {
            return Drafting::by_layer(options, target, &own).map(Some).map_err(|why| refused(why.to_string()));
        }
        let checkpoint = load::open(source, &|_, _, _| {})?;
        if checkpoint.is_eagle3() {
            let head = Drafting::by_eagle3(options, &checkpoint, &own);
            return head.map(Some).map_err(|why| refused(why.to_string()));
        }
        let model = checkpoint.bind(None)?;
        writes(&model, false).map_err(|why| refused(format!("it cannot draft: {why}")))?;
        if let Some(how) = difference(&vocab::tokenizer(target)?, &vocab::tokenizer(&checkpoint)?) {
            let needs = "a draft model has the same tokenizer, such as a smaller model of the same family";
            return Err(refused(format!("its vocabulary is not that of {}: {how}; {needs}", target.name())));
        }
        let shared = load::shared_bytes(&checkpoint, &model, model.graph());
        let (source, layers) = (source.clone(), Vec::new());
        Ok(Some(Drafting { source, checkpoint, model, part: Part::Model, layers, tokens: None, shared }))
    }

    /// A head of files of its own.
    fn by_eagle3(options: &LoadOptions, head: &Checkpoint, own: &Model) -> Result<Drafting, Error> {
        plan_is_free(options)?;
        let Eagle3 { checkpoint, layers, tokens } = Eagle3::new(head, own)?;
        let model = Part::Eagle3.bind(&checkpoint, None, &[])?;
        let source = options.draft_model.clone().unwrap_or_default();
        Ok(Drafting { source, checkpoint, model, part: Part::Eagle3, layers, tokens, shared: 0 })
    }

    /// The layer of the model's own files.
    fn by_layer(options: &LoadOptions, target: &Arc<Checkpoint>, own: &Model) -> Result<Drafting, Error> {
        plan_is_free(options)?;
        let model = Part::Mtp.bind(target, None, &[])?;
        let origins: HashSet<String> = own.graph().weight_ids().map(|id| own.origin(id)).collect();
        let graph = model.graph();
        let is_shared = |id: &WeightId| origins.contains(&model.origin(*id));
        let shared = graph.weight_ids().filter(is_shared).filter_map(|id| graph.weight(id).bytes());
        let shared = shared.map(|bytes| bytes as u64).sum();
        let (source, checkpoint, layers) = (MTP.into(), Arc::clone(target), Vec::new());
        Ok(Drafting { source, checkpoint, model, part: Part::Mtp, layers, tokens: None, shared })
    }

    /// The layers of the other model whose inputs it reads.
    pub(crate) fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// What it takes of the memory beside the other model.
    pub(crate) fn beside(&self, kv_type: KvType) -> Beside {
        let graph = self.model.graph();
        let weights: u64 = graph.weights().iter().filter_map(WeightInfo::bytes).map(|bytes| bytes as u64).sum();
        Beside { weights: weights.saturating_sub(self.shared), per_position: kv_bytes_per_token(graph, kv_type) }
    }

    /// Resolves how it is loaded beside a model of these limits, whose longest sequence has so many positions. It has a KV cache of as
    /// many positions, so that it can read whatever that model runs. It is on `device`.
    ///
    /// # Errors
    /// As [`prepare`].
    pub(crate) fn prepare(
        self,
        options: &LoadOptions,
        context: usize,
        limits: &Limits,
        device: Device,
    ) -> Result<Box<Prepared>, Error> {
        let Drafting { source, checkpoint, model, part, tokens, .. } = self;
        let sequences = options.max_sequences.unwrap_or(load::SEQUENCES);
        let own = LoadOptions {
            name: Some(source.display().to_string()),
            context: Some(context.min(model.spec().context)),
            threads: options.threads,
            pin: options.pin,
            max_sequences: Some(sequences),
            max_batch_tokens: Some(READ.max(sequences)),
            cache: CacheOptions {
                kv_tokens: Some(limits.kv_blocks * limits.block_len),
                kv_type: options.cache.kv_type,
                // Of a head, the file of its checkpoint has the other model's.
                weights: if part.is_head() { WeightsCache::Off } else { options.cache.weights.clone() },
                ..CacheOptions::default()
            },
            plan: PlanOptions { device, isa: options.plan.isa, ..PlanOptions::default() },
            engine: EngineConfig { prefix_cache: None, ..EngineConfig::default() },
            ..LoadOptions::default()
        };
        Ok(Box::new(Prepared { draft_tokens: tokens, ..load::prepare_part(checkpoint, part, &own)? }))
    }
}

impl Prepared {
    /// The model that drafts for it, if there is one.
    pub fn draft(&self) -> Option<&Prepared> {
        self.draft.as_deref()
    }

    /// Brings the draft model into memory, if there is one: onto the same CPU, or its GPU.
    ///
    /// # Errors
    /// As [`Prepared::executor`].
    pub(crate) fn draft_on(&self, backend: &Cpu, progress: Progress) -> Result<Option<DraftModel>, Error> {
        let Some(draft) = self.draft() else { return Ok(None) };
        let executor: Box<dyn Executor> = match (draft.graphs.placement.is_cpu(), draft.part.is_head()) {
            (true, false) => Box::new(draft.executor_on(backend, progress)?),
            (true, true) => {
                let (weights, ..) = draft.weights(backend, progress)?;
                Box::new(draft.handing_over(backend.clone(), weights)?)
            }
            (false, _) => draft.pipeline(backend.clone(), progress)?,
        };
        let input = |op: &Op| if let Op::Input { width } = op { Some(*width) } else { None };
        let input = draft.model.graph().nodes().first().and_then(|node| input(&node.op));
        let hidden = input.map(|input| HiddenInputs { model: self.model.handed(), own: draft.model.handed(), input });
        Ok(Some(DraftModel { executor, context: draft.context, hidden, tokens: draft.draft_tokens.clone() }))
    }

    /// Whether a layer of its own files drafts for it ([`MTP`]).
    pub fn drafts_itself(&self) -> bool {
        self.draft().is_some_and(|draft| draft.part == Part::Mtp)
    }
}

/// While hidden states go to two heads, the model is computed by two programs.
///
/// # Errors
/// If something is said of how the one program is made.
fn plan_is_free(options: &LoadOptions) -> Result<(), Error> {
    load::chosen(&options.plan).map_or(Ok(()), |what| {
        let why =
            "says how the model's kernels are chosen, which is not possible while its hidden states go to two heads";
        Err(Error::Request(format!("{what} {why}; leave one of them out")))
    })
}

/// Whether this names the model's own layer, and no file.
fn is_mtp(source: &Path) -> bool {
    source == Path::new(MTP) && !source.exists()
}

/// Whether a model writes texts, whose last tokens can be taken back: of recurrent layers only where states are kept for that.
fn writes(model: &Model, keeps_states: bool) -> Result<(), &'static str> {
    let (spec, graph): (_, &Graph) = (model.spec(), model.graph());
    match () {
        () if spec.encoder.is_some() => Err("it is an encoder and writes no texts"),
        () if spec.output.head.is_some() => Err("it judges texts and writes none"),
        () if graph.state_len() > 0 && !keeps_states => {
            Err("it has recurrent layers, whose states cannot be taken back")
        }
        () => Ok(()),
    }
}

/// How the vocabulary of `draft` differs from that of `own`; what is unused at the end of either does not count.
fn difference(own: &Tokenizer, draft: &Tokenizer) -> Option<String> {
    let used = |tokenizer: &Tokenizer| {
        (0..tokenizer.vocab() as u32).rev().find(|id| tokenizer.kind(*id) != TokenKind::Unused).map_or(0, |id| id + 1)
    };
    let (own_used, draft_used) = (used(own), used(draft));
    if own_used != draft_used {
        return Some(format!("it has {draft_used} tokens, not {own_used}"));
    }
    let first = (0..own_used).find(|id| own.piece(*id) != draft.piece(*id))?;
    let [other, piece] = [draft, own].map(|tokenizer| tokenizer.piece(first).unwrap_or_default());
    Some(format!("its token {first} is {other:?}, not {piece:?}"))
}
