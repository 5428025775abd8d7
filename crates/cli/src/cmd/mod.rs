//! The subcommands and the options that several of them share.

mod bench;
mod chat;
mod completions;
mod config;
mod convert;
mod demand;
mod devices;
mod doctor;
#[cfg(test)]
mod documented;
mod entrance;
mod eval;
mod inspect;
mod key;
mod lab;
mod listen;
mod loader;
mod logging;
mod logits;
mod man;
mod models;
mod network;
mod perplexity;
mod plan;
mod ready;
mod release;
mod reload;
mod remote;
mod replicas;
mod routes;
mod run;
mod sampling;
mod scheduling;
mod scorer;
mod security;
mod serve;
#[cfg_attr(not(unix), path = "service_none.rs")]
mod service;
mod services;
mod settings;
mod shelf;
mod simulate;
#[cfg_attr(not(unix), path = "sockets/none.rs")]
mod sockets;
mod telemetry;
mod tokenize;
mod top;
mod trial;
mod tune;
mod welcome;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use model::Checkpoint;
use whinchat::{
    Adapter, BUILTIN, CacheOptions, Cpu, Device, GpuLayers, KernelSetting, KvType, LoadOptions, Model, Observer,
    PlanOptions, Prepared, SamplingDefaults, Stages, TemplateChoice, TemplateOrigin, Unit, WeightsCache, WeightsOrigin,
    bounds,
};

use self::bench::peak_rss_bytes;
use crate::terminal::Bars;

/// Serves language models: runs them, chats with them, and answers over the APIs that clients already speak.
#[derive(Parser)]
#[command(name = "whinchat", version, max_term_width = 100, after_help = AFTER_HELP, after_long_help = ENVIRONMENT)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Where no --model is given, whinchat-demo answers: small, to try things out, in this program.";

const ENVIRONMENT: &str = "\
Where no --model is given, whinchat-demo answers: small, to try things out, in this program.

Environment:
  WHINCHAT_MODEL   the model, where no --model is given
  WHINCHAT_CONFIG  the file with the settings of serve, without --config
  WHINCHAT_WEIGHTS_CACHE
                   where packed weights are kept, without --weights-cache
  WHINCHAT_…       each flag of serve: WHINCHAT_LISTEN, WHINCHAT_LOG, WHINCHAT_MAX_SEQUENCES
  HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE
                   for models of the Hugging Face hub, as for other programs
  NO_COLOR         no colours at a terminal";

// What each does stands where it is defined.
#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Chat(chat::Chat),
    Serve(serve::Serve),
    Service(services::Service),
    Models(models::Models),
    Release(release::Release),
    Config(config::Config),
    Top(top::Top),
    Doctor(doctor::Doctor),
    Devices(devices::Devices),
    Pull(shelf::Pull),
    List(shelf::List),
    Rm(shelf::Rm),
    #[command(visible_alias = "show")]
    Inspect(inspect::Inspect),
    Convert(convert::Convert),
    Lab(lab::Lab),
    Eval(eval::Eval),
    Perplexity(perplexity::Perplexity),
    Tokenize(tokenize::Tokenize),
    Logits(logits::Logits),
    Plan(plan::Plan),
    Tune(tune::Tune),
    Bench(bench::Bench),
    Simulate(simulate::Simulate),
    Key(key::Key),
    Completions(completions::Completions),
    Man(man::Man),
}

/// An error with an exit status of its own; others have 1.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Exit {
    /// The status.
    pub(crate) status: u8,
    /// What is said.
    pub(crate) why: String,
}

/// Parses the command line and does what it says; without a command it says what there is to do.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    Cli::parse_from(arguments).command.map_or_else(welcome::run, Command::run)
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Run(c) => c.run(),
            Command::Chat(c) => c.run(),
            Command::Serve(c) => c.run(),
            Command::Service(c) => c.run(),
            Command::Models(c) => c.run(),
            Command::Release(c) => c.run(),
            Command::Config(c) => c.run(),
            Command::Top(c) => c.run(),
            Command::Doctor(c) => c.run(),
            Command::Devices(c) => c.run(),
            Command::Pull(c) => c.run(),
            Command::List(c) => c.run(),
            Command::Rm(c) => c.run(),
            Command::Inspect(c) => c.run(),
            Command::Convert(c) => c.run(),
            Command::Lab(c) => c.run(),
            Command::Eval(c) => c.run(),
            Command::Perplexity(c) => c.run(),
            Command::Tokenize(c) => c.run(),
            Command::Logits(c) => c.run(),
            Command::Plan(c) => c.run(),
            Command::Tune(c) => c.run(),
            Command::Bench(c) => c.run(),
            Command::Simulate(c) => c.run(),
            Command::Key(c) => c.run(),
            Command::Completions(c) => c.run(),
            Command::Man(c) => c.run(),
        }
    }
}

/// Which model.
#[derive(Args)]
struct ModelArg {
    /// A GGUF file, a safetensors folder, or a Hugging Face id (org/name, org/name:file.gguf) [default: whinchat-demo, the
    /// small model in this program]
    #[arg(long, short, value_name = "MODEL", env = "WHINCHAT_MODEL")]
    model: Option<OsString>,
}

impl ModelArg {
    /// What it is called: as given, else the built-in model.
    fn name(&self) -> Cow<'_, str> {
        self.model.as_ref().map_or(BUILTIN.into(), |name| name.to_string_lossy())
    }

    /// Opens it, downloaded if need be; says so if it was not chosen.
    fn open(&self) -> anyhow::Result<Arc<Checkpoint>> {
        if self.model.is_none() {
            eprintln!("note: this is {BUILTIN}, built in, small, to try things out; --model takes {MODELS}");
        }
        self.open_silently()
    }

    fn open_silently(&self) -> anyhow::Result<Arc<Checkpoint>> {
        match &self.model {
            Some(name) => open(name),
            None => Ok(whinchat::builtin()?),
        }
    }
}

/// What may be given as a model.
const MODELS: &str = "a .gguf file, a folder or org/name from Hugging Face";

/// Opens the model that `source` names, downloaded if need be.
fn open(source: &OsStr) -> anyhow::Result<Arc<Checkpoint>> {
    let bars = Bars::new();
    Ok(whinchat::open(source, &|stage, done, total| bars.show(stage, done, total))?)
}

/// The options with a draft model that is on this machine, downloaded if need be.
fn with_draft(options: LoadOptions) -> anyhow::Result<LoadOptions> {
    let bars = Bars::new();
    let found = |source: &PathBuf| match source.to_str() {
        Some(BUILTIN) => Ok(source.clone()),
        _ => whinchat::locate(source, &|stage, done, total| bars.show(stage, done, total)),
    };
    Ok(LoadOptions { draft_model: options.draft_model.as_ref().map(found).transpose()?, ..options })
}

/// The adapter at a path, for a model that is in memory.
fn adapter(model: &Model, path: Option<&Path>) -> anyhow::Result<Option<Arc<Adapter>>> {
    let Some(path) = path else { return Ok(None) };
    // Its name is nobody's business here.
    model.change_adapters(&[("lora".to_owned(), Some(path.to_string_lossy().into_owned()))]).context("--lora")?;
    Ok(model.adapter("lora"))
}

/// A text of the command line; `-` reads it from stdin.
fn text_or_stdin(text: String) -> anyhow::Result<String> {
    if text == "-" { std::io::read_to_string(std::io::stdin().lock()).context("reading stdin") } else { Ok(text) }
}

/// How it is brought into memory.
#[derive(Args)]
struct LoadArgs {
    #[command(flatten)]
    model: ModelArg,
    /// Longest sequence, prompt and answer [default: the model's own, at most 8192 and what the memory holds]
    #[arg(long, short, value_name = "TOKENS", allow_negative_numbers = true, value_parser = within(bounds::CONTEXT))]
    context: Option<usize>,
    /// Threads that compute [default: every core]
    #[arg(long, short, value_name = "N", allow_negative_numbers = true, value_parser = within(bounds::THREADS))]
    threads: Option<usize>,
    /// Bind each thread that computes to a core of its own: steadier on cores that nothing else uses, slower on others.
    #[arg(long)]
    pin: bool,
    /// How the KV cache is stored: q8_0 takes half the memory of f16, q4_0 a bit more than a quarter, f32 twice.
    #[arg(long, value_name = "TYPE", default_value = KvType::default().name(), value_parser = kv_types())]
    kv_type: KvType,
    /// Where packed weights are kept for the next start, which maps them instead of packing anew and shares them with every process
    /// that does: auto (large ones, beside the model or in the cache folder), on, off, or a folder.
    #[arg(long, value_name = "auto|on|off|DIR", env = "WHINCHAT_WEIGHTS_CACHE", default_value = "auto",
          value_parser = PathBufValueParser::new().map(WeightsCache::from))]
    weights_cache: WeightsCache,
    /// What computes: auto (a GPU as far as its memory goes, and the CPU the rest), cpu, gpu, gpu:1 where there are several (`whinchat
    /// devices`), or some layers each: cpu+gpu, gpu:0+gpu:1; GPUs are in builds with the feature gpu: docs/gpu.md
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    /// Layers that GPUs compute, the CPU the others: a number, or auto (as many as there is memory for) [default: of a GPU alone all,
    /// else auto]
    #[arg(long, value_name = "N|auto")]
    gpu_layers: Option<GpuLayers>,
    /// Compute operators by this kernel, such as product=held or product@64+=held/4 (`whinchat plan` lists operators), or everything by
    /// an instruction set, such as isa=avx2; once or several times [default: what `whinchat tune` found, else each operator's own choice]
    #[arg(long = "kernel", value_name = "OP=KERNEL", value_parser = |text: &str| text.parse::<KernelSetting>())]
    kernels: Vec<KernelSetting>,
    /// Compute by the plan in this file, as `whinchat plan --json` writes it, once the reference interpreter has found that it computes
    /// what the model computes [default: the plan that the rules of fusion make]
    #[arg(long = "plan", value_name = "FILE")]
    plan: Option<PathBuf>,
}

/// How a model that is loaded for answers answers.
#[derive(Args)]
struct AnswerArgs {
    /// How tokens are chosen where neither a request nor the model says: llama.cpp (temperature 0.8, top-k 40, top-p 0.95,
    /// min-p 0.05) or openai (the model's own distribution) [default: llama.cpp for GGUF files, else openai]
    #[arg(long, value_name = "WHOSE", value_parser = sampling_defaults())]
    sampling_defaults: Option<SamplingDefaults>,
    /// A smaller model with the same vocabulary, or an EAGLE-3 head, that drafts what may come next, where that is faster; or mtp, the
    /// model's own layer for that (multi-token prediction); answers are the same: docs/speculation.md
    #[arg(long, value_name = "MODEL")]
    draft_model: Option<PathBuf>,
    #[command(flatten)]
    template: TemplateArg,
}

impl AnswerArgs {
    /// # Errors
    /// If there is no such chat template.
    fn options(&self, load: &LoadArgs) -> anyhow::Result<LoadOptions> {
        let chat_template = self.template.choice()?;
        let (sampling_defaults, draft_model) = (self.sampling_defaults, self.draft_model.clone());
        Ok(LoadOptions { sampling_defaults, chat_template, draft_model, ..load.options() })
    }
}

/// By which template it chats.
#[derive(Args)]
struct TemplateArg {
    /// The chat template: a file with Jinja in it, or a built-in one (chatml, deepseek3, gemma, llama2, llama3, mistral-v3,
    /// mistral-v7, phi3, vicuna, zephyr) [default: the model's own, else chatml where its vocabulary has the marks]
    #[arg(long, value_name = "NAME|FILE")]
    chat_template: Option<PathBuf>,
}

impl TemplateArg {
    /// Read and checked, before a model is opened.
    fn choice(&self) -> anyhow::Result<Option<TemplateChoice>> {
        self.chat_template.as_ref().map(TemplateChoice::open).transpose().context("--chat-template")
    }
}

/// Which device computes which layers, in words, where that is not the CPU alone.
fn placed(prepared: &Prepared) -> Option<String> {
    let placed = prepared.placed();
    let is_cpu = placed.iter().all(|stage| stage.unit == Unit::Cpu) && placed.len() == 1;
    (!is_cpu).then(|| placed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// A whole number within a range.
fn within(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(range).map(|number| number as usize)
}

fn sampling_defaults() -> impl TypedValueParser<Value = SamplingDefaults> {
    PossibleValuesParser::new(["llama.cpp", "openai"]).map(|name| match name.as_str() {
        "llama.cpp" => SamplingDefaults::LlamaCpp,
        _ => SamplingDefaults::OpenAi,
    })
}

fn kv_types() -> impl TypedValueParser<Value = KvType> {
    let by_name = |name: String| KvType::all().find(|kv_type| kv_type.name() == name).expect("one of the names");
    PossibleValuesParser::new(KvType::all().map(KvType::name)).map(by_name)
}

impl LoadArgs {
    fn options(&self) -> LoadOptions {
        let LoadArgs { context, threads, pin, kv_type, gpu_layers, .. } = *self;
        let cache = CacheOptions { kv_type, weights: self.weights_cache.clone(), ..CacheOptions::default() };
        let (file, device) = (self.plan.clone(), self.device.clone());
        let plan = PlanOptions { file, device, gpu_layers, ..PlanOptions::default() }.with(&self.kernels);
        LoadOptions { context, threads, pin, cache, plan, ..LoadOptions::default() }
    }

    /// The kernels that were given, as they were.
    fn kernel_texts(&self) -> Vec<String> {
        let text = |setting: &KernelSetting| match setting {
            KernelSetting::Rule(rule) => rule.to_string(),
            KernelSetting::Isa(isa) => format!("isa={}", isa.name()),
        };
        self.kernels.iter().map(text).collect()
    }

    /// Loads the model with its engine; says so if it chats by a template that nobody chose.
    fn load_with(&self, options: &LoadOptions) -> anyhow::Result<Model> {
        let prepared = self.prepare(options)?;
        prepared.check_continues()?;
        let model = self.start(&prepared)?;
        if let Some(origin @ TemplateOrigin::Fallback) = model.template() {
            eprintln!("note: the chat template is {origin}; --chat-template takes another one");
        }
        if let WeightsOrigin::Kept { path, bytes } = model.weights() {
            let (path, size) = (path.display(), indicatif::HumanBytes(*bytes));
            eprintln!(
                "note: packed weights are kept for the next start, in {path} ({size}); --weights-cache off keeps none"
            );
        }
        Ok(model)
    }

    /// Brings the model into memory, with its engine.
    fn start(&self, prepared: &Prepared) -> anyhow::Result<Model> {
        self.start_on(prepared.cpu(), prepared, Stages::default(), ())
    }

    /// As [`LoadArgs::start`], on the threads of others, and observed; with stages that are elsewhere.
    fn start_on(
        &self,
        cpu: Cpu,
        prepared: &Prepared,
        stages: Stages,
        observer: impl Observer + 'static,
    ) -> anyhow::Result<Model> {
        let bars = Bars::new();
        let progress = |stage: &str, done, total| bars.show(stage, done, total);
        let model = Model::start_with((cpu, prepared), stages, observer, &progress);
        // What is wrong with a file names the file itself.
        model.map_err(|e| match e {
            whinchat::Error::Backend(_) => anyhow::Error::new(e).context(format!("cannot load {}", self.model.name())),
            other => other.into(),
        })
    }

    /// Opens the model without bringing it into memory.
    fn prepare(&self, options: &LoadOptions) -> anyhow::Result<Prepared> {
        self.resolve(self.model.open()?, options)
    }

    /// Resolves the options against the opened model.
    fn resolve(&self, checkpoint: Arc<Checkpoint>, options: &LoadOptions) -> anyhow::Result<Prepared> {
        let prepared = whinchat::prepare(checkpoint, &with_draft(options.clone())?)?;
        if let Some(placed) = placed(&prepared) {
            eprintln!("note: {placed}");
        }
        let own = prepared.model.spec().context;
        if prepared.context > own {
            eprintln!("warning: a context of {}, but the model was made for {own} positions", prepared.context);
        }
        if let (true, Some(available)) = (prepared.memory.is_short(), prepared.memory.available) {
            let memory = &prepared.memory;
            let [weights, pool, left] =
                [memory.weights + memory.draft_weights, memory.kv_pool + memory.draft_kv_pool, available]
                    .map(indicatif::HumanBytes);
            eprintln!("warning: weights take {weights} and the KV cache up to {pool}, but {left} of memory are left");
        }
        Ok(prepared)
    }
}
