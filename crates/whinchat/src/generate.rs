//! A model in memory, and the ways to have text from it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use answer::{
    Adapter, Ask, Blocking, Cancel, Chat, Ending, Generation, InferBatch, InferRequest, Inference, Input, LoadedModel,
    ModelInfo, Pooling, PromptText, Sampling,
};
use engine::{EngineConfig, Observer, Policy, SavedPrefix, Setup};
use model::GenerationConfig;
use text::{ChatPrompt, ChatTemplate, Dialect, Tokenizer, TokenizerConfig};

use kernels::{Cpu, Tuning};

use crate::adapters;
use crate::load::Parts;
use crate::sampling::suggested;
use crate::template::{self, Resolved};
use crate::{
    Error, LoadOptions, Prepared, Progress, SamplingDefaults, Stages, TemplateOrigin, WeightsOrigin, load, machine,
    vocab,
};

/// A model in memory, run by an engine on its own thread. Dropping it ends the engine.
pub struct Model {
    loaded: LoadedModel,
    template: Option<TemplateOrigin>,
    weights: WeightsOrigin,
    tuning: Option<Tuning>,
}

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// How tokens are chosen, where not as the model suggests.
    pub sampling: Sampling,
    /// When the text ends (default: after 256 tokens).
    pub ending: Ending,
}

impl GenerateOptions {
    /// The defaults, with so many tokens at most.
    pub fn max_tokens(tokens: usize) -> GenerateOptions {
        let ending = Ending { max_tokens: Some(tokens), ..Ending::default() };
        GenerateOptions { sampling: Sampling::default(), ending }
    }

    /// Asks for one answer to `input`.
    pub fn ask(&self, input: Input) -> Ask {
        Ask { sampling: self.sampling.clone(), ending: self.ending.clone(), ..Ask::new(input) }
    }
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions::max_tokens(256)
    }
}

impl Model {
    /// Loads the model that is in this program ([`crate::BUILTIN`]): small, for trying things out, no download.
    ///
    /// # Errors
    /// If the memory is short.
    pub fn builtin() -> Result<Model, Error> {
        Model::start(&load::prepare(crate::builtin()?, &LoadOptions::default())?, &|_, _, _| {})
    }

    /// Loads a GGUF file, a safetensors folder, a Hugging Face id (`org/name`, `org/name:file.gguf`) or, where no file is
    /// called that, the built-in model by its name (`whinchat-demo`).
    ///
    /// # Errors
    /// If the model cannot be found, read or brought into memory.
    pub fn load(source: impl AsRef<Path>) -> Result<Model, Error> {
        Model::load_with(source, &LoadOptions::default(), &|_, _, _| {})
    }

    /// As [`Model::load`], with options and someone who hears how it goes.
    ///
    /// # Errors
    /// As [`Model::load`], and if an option contradicts the model.
    pub fn load_with(source: impl AsRef<Path>, options: &LoadOptions, progress: Progress) -> Result<Model, Error> {
        Model::start(&load::prepare(load::open(source, progress)?, options)?, progress)
    }

    /// Brings a prepared model into memory and starts its engine.
    ///
    /// # Errors
    /// If the memory is short or the files give wrong data.
    pub fn start(prepared: &Prepared, progress: Progress) -> Result<Model, Error> {
        Model::start_on(prepared.cpu(), prepared, (), progress)
    }

    /// As [`Model::start`], on a CPU whose clones other models use: they share its threads, and their steps take turns.
    /// `observer` hears what the engine does.
    ///
    /// # Errors
    /// As [`Model::start`].
    pub fn start_on(
        cpu: Cpu,
        prepared: &Prepared,
        observer: impl Observer + 'static,
        progress: Progress,
    ) -> Result<Model, Error> {
        Model::start_with((cpu, prepared), Stages::default(), observer, progress)
    }

    /// As [`Model::start_on`], by a policy of the caller's, whatever the options name. It is asked on the engine's thread.
    ///
    /// # Errors
    /// As [`Model::start`].
    pub fn start_with_policy(
        cpu: Cpu,
        prepared: &Prepared,
        (observer, policy): (impl Observer + 'static, Box<dyn Policy>),
        progress: Progress,
    ) -> Result<Model, Error> {
        Model::start_with((cpu, prepared), Stages { policy: Some(policy), ..Stages::default() }, observer, progress)
    }

    /// As [`Model::start_on`], with `stages` in the place of its own.
    ///
    /// # Errors
    /// As [`Model::start_on`], and if a stage is none of this model.
    pub fn start_with(
        (cpu, prepared): (Cpu, &Prepared),
        mut stages: Stages,
        observer: impl Observer + 'static,
        progress: Progress,
    ) -> Result<Model, Error> {
        let checkpoint = &prepared.checkpoint;
        let elsewhere = stages.executor.take();
        let is_elsewhere = elsewhere.is_some();
        // A vocabulary of 150,000 pieces takes as long as a gigabyte of weights that are mapped: both at once.
        let (tokenizer, parts) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| vocab::tokenizer(checkpoint));
            let parts = elsewhere.is_none().then(|| prepared.parts_on(cpu.clone(), progress)).transpose();
            // A head finds in memory what it shares with the model.
            let draft = parts.as_ref().map_or(Ok(None), |_| prepared.draft_on(&cpu, progress));
            let tokenizer = tokenizer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (tokenizer, draft.and_then(|draft| Ok((parts?, draft))))
        });
        let tokenizer = Arc::new(tokenizer?.with_config(beside_an_engine()));
        let (parts, draft) = parts?;
        let (info, origin) = known(prepared, tokenizer)?;
        let config = EngineConfig {
            max_batch_tokens: prepared.limits.max_tokens,
            context: prepared.context,
            seed: u64::from(std::process::id()) ^ since_1970().as_nanos() as u64,
            ..prepared.engine
        };
        let encoder = stages.encoder(&info)?;
        let setup = Setup { draft, ..stages.setup(config) };
        let failed = |source| Error::Io { what: "starting the engine's thread".into(), source };
        let (loaded, weights, tuning) = match (parts, elsewhere) {
            (Some(Parts { executor, embedder, judge, reading, origin, tuning }), _) => {
                let loaded = LoadedModel::start(info, executor, setup, clock, observer).map_err(failed)?;
                let loaded = loaded.with_embedder(embedder).with_judge(judge).with_reading(reading);
                (loaded.with_pair_template(pair_template(prepared)?), origin, tuning)
            }
            (None, Some(executor)) => {
                let setup = prepared.fitting(&*executor, setup)?;
                let loaded = LoadedModel::start(info, executor, setup, clock, observer).map_err(failed)?;
                (loaded, WeightsOrigin::Elsewhere, None)
            }
            (None, None) => return Err(Error::Request("nothing computes the model".to_owned())),
        };
        let loaded = encoder.into_iter().fold(loaded, LoadedModel::with_encoder);
        let loaded = loaded.with_adapters(adapters::opener(prepared, is_elsewhere));
        Ok(Model { loaded, template: origin, weights, tuning })
    }

    /// Loads LoRA adapters beside the model, each as (name, folder of PEFT or GGUF file), and takes away those without one: see
    /// [`LoadedModel::change_adapters`].
    ///
    /// # Errors
    /// If one cannot be read, is for another model, or there is none to be taken away. All is as it was then.
    pub fn change_adapters(&self, changes: &[(String, Option<String>)]) -> Result<(), Error> {
        Ok(self.loaded.change_adapters(changes)?)
    }

    /// An adapter that was loaded, for [`Ask::adapter`].
    pub fn adapter(&self, name: &str) -> Option<Arc<Adapter>> {
        self.loaded.adapter(name).map(|named| Arc::clone(&named.adapter))
    }

    /// Starts what `ask` asks for: iterate over the generation to block for its events, or await them. Dropping it cancels.
    ///
    /// # Errors
    /// If the model does not take the request or the engine takes no requests.
    pub fn begin(&self, ask: &Ask) -> Result<Generation, Error> {
        Ok(self.loaded.begin(ask)?)
    }

    /// Answers a request, whole; `cancel` ends it early, as dropping the future does.
    pub async fn infer(&self, request: impl Into<InferRequest>, cancel: &Cancel) -> Inference {
        self.loaded.infer(request, cancel).await
    }

    /// Answers many requests, and gives what became of each as it ends, with its place among them: a stream. As many are under
    /// way as run at once; an answer is the same whatever runs beside it.
    pub fn infer_batch<I>(&self, requests: I, cancel: &Cancel) -> InferBatch<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<InferRequest>,
    {
        self.loaded.infer_batch(requests, cancel)
    }

    /// The same two for threads that wait for the answers.
    pub fn blocking(&self) -> Blocking<'_> {
        self.loaded.blocking()
    }

    /// What the KV cache has of a conversation or a prompt that was asked: [`SavedPrefix::to_bytes`] outlives the process.
    /// `salt` is the request's [`Service::cache_salt`](crate::Service).
    ///
    /// # Errors
    /// If the prompt cannot be made, nothing of it is in the cache, or the engine has ended.
    pub fn save_session(&self, input: &Input, salt: Option<&str>) -> Result<SavedPrefix, Error> {
        Ok(self.loaded.save_session(input, salt, None)?)
    }

    /// Puts a saved session back into the KV cache, as if it had just been computed; gives its tokens.
    ///
    /// # Errors
    /// If it is of another model or another type of cache, there is no room, or the engine has ended.
    pub fn restore_session(&self, saved: SavedPrefix) -> Result<usize, Error> {
        Ok(self.loaded.restore_session(saved)?)
    }

    /// Answers `text` as `whinchat run` does: as a user's message if the model chats, else by going on with it.
    ///
    /// # Errors
    /// As [`Model::begin`], and if the engine fails.
    pub fn answer(&self, text: &str, options: &GenerateOptions) -> Result<String, Error> {
        self.text(&options.ask(self.input(text)))
    }

    /// Continues `prompt`, blocking until the answer is whole.
    ///
    /// # Errors
    /// As [`Model::begin`], and if the engine fails.
    pub fn generate(&self, prompt: &str, options: &GenerateOptions) -> Result<String, Error> {
        self.text(&options.ask(Input::text(prompt)))
    }

    fn text(&self, ask: &Ask) -> Result<String, Error> {
        let mut answers = self.begin(ask)?.wait()?;
        Ok(answers.pop().map(|answer| answer.text).unwrap_or_default())
    }

    /// The vectors of texts, each of length 1: texts that mean the like have vectors with a large scalar product. Rows are pooled as
    /// `pooling` says, else as the model's files do, else the last one is taken. Blocks until all are computed.
    ///
    /// # Errors
    /// If a text is empty, or longer than the context and the model is not made for vectors (else it is cut), or computing fails.
    pub fn embed(&self, texts: &[&str], pooling: Option<Pooling>) -> Result<Vec<Vec<f32>>, Error> {
        let texts: Vec<_> = texts.iter().map(|text| PromptText::Text((*text).to_owned())).collect();
        let tokens = self.loaded.embedding_tokens("texts", &texts, (None, None))?;
        let vectors = pollster::block_on(self.loaded.embed(tokens, pooling)?)?;
        Ok(vectors.into_iter().map(|vector| answer::normalized(vector, None)).collect())
    }

    /// What a text is to this model: a user's message if it chats, else something to continue.
    pub fn input(&self, text: &str) -> Input {
        match self.chats() {
            true => Input::Chat(Chat::new(serde_json::json!([{ "role": "user", "content": text }]))),
            false => Input::text(text),
        }
    }

    /// The prompt that the model's own template makes of a conversation.
    ///
    /// # Errors
    /// If the model has no template or it refuses the conversation.
    pub fn render(&self, chat: &Chat) -> Result<ChatPrompt, Error> {
        Ok(self.loaded.render(chat)?)
    }

    /// Tokens of the prompt that the model's own template makes of a conversation.
    ///
    /// # Errors
    /// As [`Model::render`].
    pub fn count(&self, chat: &Chat) -> Result<usize, Error> {
        Ok(self.loaded.chat_tokens(chat)?.len())
    }

    /// Whether its chat template has a place for what `name` is (`tools`, `tool_calls`).
    pub fn template_mentions(&self, name: &str) -> bool {
        self.loaded.info.template.as_ref().is_ok_and(|template| template.mentions(name))
    }

    /// Whether it has a chat template, be it one that cannot be used: [`Model::render`] then says why.
    pub fn chats(&self) -> bool {
        self.template.is_some()
    }

    /// Where its chat template comes from, if it has one.
    pub fn template(&self) -> Option<&TemplateOrigin> {
        self.template.as_ref()
    }

    /// Where its weights come from.
    pub fn weights(&self) -> &WeightsOrigin {
        &self.weights
    }

    /// Chooses the kernels of its plan while it runs, and says how long they take; `None` if it is computed elsewhere or on a
    /// GPU.
    pub fn tuning(&self) -> Option<&Tuning> {
        self.tuning.as_ref()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.loaded.info.name
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.loaded.info.tokenizer
    }

    /// What holds where a request is silent.
    pub fn sampling(&self) -> &Sampling {
        &self.loaded.info.sampling
    }

    /// Sequences that run at once.
    pub fn streams(&self) -> usize {
        self.loaded.streams()
    }

    /// Longest sequence, prompt and answer.
    pub fn context(&self) -> usize {
        self.loaded.context()
    }

    /// The model as a server takes it.
    pub fn into_loaded(self) -> LoadedModel {
        self.loaded
    }
}

/// What is known of a model apart from its weights, and where its chat template comes from.
fn known(prepared: &Prepared, tokenizer: Arc<Tokenizer>) -> Result<(ModelInfo, Option<TemplateOrigin>), Error> {
    let checkpoint = &prepared.checkpoint;
    let own = checkpoint.chat_template()?;
    let Resolved { template, origin } =
        template::resolve(prepared.options.chat_template.as_ref(), own.as_deref(), &tokenizer);
    let generation = checkpoint.generation()?;
    let defaults = prepared.options.sampling_defaults.unwrap_or(SamplingDefaults::of(checkpoint.format()));
    let info = ModelInfo {
        name: prepared.model_name(),
        dialect: template.as_ref().map_or(Dialect::of_template(""), ChatTemplate::dialect),
        template,
        sampling: suggested(&generation).or(&defaults.sampling()),
        stop_tokens: stop_tokens(&generation, &tokenizer),
        tokenizer,
        created: since_1970().as_secs(),
    };
    Ok((info, origin))
}

/// The files' prompt that ranks a document, unless another template was chosen.
fn pair_template(prepared: &Prepared) -> Result<Option<String>, Error> {
    let chosen = prepared.options.chat_template.is_some();
    Ok(if chosen { None } else { prepared.checkpoint.pair_template()? })
}

/// The time since the first model of this process was started: engines of one model that succeed each other have the same clock.
fn clock() -> std::time::Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Long texts are tokenized by few threads that give way: the engine computes on every core.
fn beside_an_engine() -> TokenizerConfig {
    let threads = (machine::cores() / 2).max(1);
    TokenizerConfig { threads, on_start: Some(machine::give_way), ..TokenizerConfig::default() }
}

/// The tokens that end an answer: those that the files name, and end of turn and the like, which files seldom list.
fn stop_tokens(own: &GenerationConfig, tokenizer: &Tokenizer) -> Arc<[u32]> {
    let mut all = own.eos.clone();
    for end in tokenizer.eos().iter().chain(tokenizer.ends()) {
        if !all.contains(end) {
            all.push(*end);
        }
    }
    all.into()
}
