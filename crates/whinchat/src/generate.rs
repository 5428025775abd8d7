//! A model in memory with its engine, and the two ways to have text from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use engine::{Continuation, EngineConfig, EngineHandle, Prompt, Request, RequestId, SamplingParams, StopRules};
use model::GenerationConfig;
use text::{ChatTemplate, EncodeOptions, StopStrings, StreamDecoder, Tokenizer};

use crate::pieces::{Piece, Pieces, TextIter, TextStream};
use crate::{Error, LoadOptions, Prepared, Progress, load, vocab};

/// Tokens that may wait for a slow reader before its sequence pauses.
const QUEUE: usize = 64;

/// A model in memory, run by an engine on its own thread. Dropping it ends the engine.
pub struct Model {
    name: String,
    tokenizer: Arc<Tokenizer>,
    template: Result<ChatTemplate, String>,
    chats: bool,
    generation: GenerationConfig,
    context: usize,
    streams: usize,
    engine: EngineHandle,
    thread: Option<JoinHandle<()>>,
    next_id: AtomicU64,
}

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Most tokens to generate (default 256).
    pub max_tokens: usize,
    /// The model's end tokens are not chosen before so many (default 0).
    pub min_tokens: usize,
    /// The text ends before any of these.
    pub stop: Vec<String>,
    /// Go on past the model's end tokens.
    pub ignore_eos: bool,
    /// The prompt was made by the model's chat template ([`Model::render_chat`]), which has put the begin token itself. Else
    /// the model's own begin token is added. Control tokens written out in a prompt are taken as such in both cases.
    pub templated: bool,
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions {
            sampling: SamplingParams::default(),
            max_tokens: 256,
            min_tokens: 0,
            stop: Vec::new(),
            ignore_eos: false,
            templated: false,
        }
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
    pub fn load(source: &str) -> Result<Model, Error> {
        Model::load_with(source, &LoadOptions::default(), &|_, _, _| {})
    }

    /// As [`Model::load`], with options and someone who hears how it goes.
    ///
    /// # Errors
    /// As [`Model::load`], and if an option contradicts the model.
    pub fn load_with(source: &str, options: &LoadOptions, progress: Progress) -> Result<Model, Error> {
        Model::start(&load::prepare(load::open(source, progress)?, options)?, progress)
    }

    /// Brings a prepared model into memory and starts its engine.
    ///
    /// # Errors
    /// If the memory is short or the files give wrong data.
    pub fn start(prepared: &Prepared, progress: Progress) -> Result<Model, Error> {
        let checkpoint = &prepared.checkpoint;
        let tokenizer = Arc::new(vocab::tokenizer(checkpoint)?);
        let source = checkpoint.chat_template()?;
        let chats = source.is_some();
        let template = chat_template(source, &tokenizer);
        let mut generation = checkpoint.generation()?;
        // End of turn and the like, which files seldom list.
        for end in tokenizer.eos().iter().chain(tokenizer.ends()) {
            if !generation.eos.contains(end) {
                generation.eos.push(*end);
            }
        }
        let executor = prepared.executor(progress)?;
        let config = EngineConfig {
            max_batch_tokens: prepared.limits.max_tokens,
            max_sequences: prepared.limits.max_outputs,
            max_queue: 1024,
            context: prepared.context,
            seed: u64::from(std::process::id()) ^ since_1970().as_nanos() as u64,
        };
        let start = Instant::now();
        let (engine, thread) = engine::spawn(executor, config, move || start.elapsed(), ())
            .map_err(|source| Error::Io { what: "starting the engine's thread".into(), source })?;
        Ok(Model {
            name: checkpoint.name(),
            tokenizer,
            template,
            chats,
            generation,
            context: prepared.context,
            streams: prepared.limits.max_outputs,
            engine,
            thread: Some(thread),
            next_id: AtomicU64::new(0),
        })
    }

    /// Answers `text` as `whinchat run` does: as a user's message if the model chats, else by going on with it.
    ///
    /// # Errors
    /// As [`Model::generate`], and if the model's chat template cannot be used.
    pub fn answer(&self, text: &str, options: &GenerateOptions) -> Result<String, Error> {
        if !self.chats() {
            return self.generate(text, options);
        }
        let prompt = self.render_chat(&serde_json::json!([{ "role": "user", "content": text }]))?;
        self.generate(&prompt, &GenerateOptions { templated: true, ..options.clone() })
    }

    /// Continues `prompt`, blocking until the answer is whole.
    ///
    /// # Errors
    /// If the prompt is empty or too long, or the engine fails.
    pub fn generate(&self, prompt: &str, options: &GenerateOptions) -> Result<String, Error> {
        let mut text = String::new();
        for piece in self.pieces(prompt, options)? {
            if let Piece::Text(more) = piece? {
                text.push_str(&more);
            }
        }
        Ok(text)
    }

    /// Continues `prompt` piece by piece, blocking for each. Dropping the iterator cancels.
    ///
    /// # Errors
    /// If the prompt is empty or too long, or the engine takes no requests.
    pub fn pieces(&self, prompt: &str, options: &GenerateOptions) -> Result<TextIter, Error> {
        let (sink, receiver) = engine::channel(QUEUE, &self.engine);
        let pieces = self.submit(prompt, options, Box::new(sink))?;
        Ok(TextIter { receiver, pieces })
    }

    /// Continues `prompt` as an async stream, on any runtime. Dropping the stream cancels.
    ///
    /// # Errors
    /// If the prompt is empty or too long, or the engine takes no requests.
    pub fn stream(&self, prompt: &str, options: &GenerateOptions) -> Result<TextStream, Error> {
        let (sink, receiver) = serve::token_channel(&self.engine);
        let pieces = self.submit(prompt, options, sink)?;
        Ok(TextStream { receiver, pieces })
    }

    pub(crate) fn submit(
        &self,
        prompt: &str,
        options: &GenerateOptions,
        sink: Box<dyn engine::TokenSink>,
    ) -> Result<Pieces, Error> {
        let encode = EncodeOptions { add_special: !options.templated, parse_special: true };
        let tokens = self.tokenizer.encode(prompt, encode);
        if tokens.len() >= self.context {
            let (given, context) = (tokens.len(), self.context);
            return Err(Error::Request(format!(
                "the prompt has {given} tokens and the context takes {context}; shorten it or raise --context"
            )));
        }
        let prompt = Prompt::new(tokens.clone()).ok_or_else(|| Error::Request("the prompt is empty".into()))?;
        let end: Arc<[u32]> = if options.ignore_eos { Arc::from([]) } else { self.generation.eos.clone().into() };
        let decoder = StreamDecoder::after(Arc::clone(&self.tokenizer), &tokens);
        let pieces = Pieces::new(decoder, StopStrings::new(options.stop.clone()), Arc::clone(&end), tokens.len());
        let (max_tokens, min_tokens) = (options.max_tokens, options.min_tokens.min(options.max_tokens));
        let stop = StopRules { max_tokens, min_tokens, tokens: end };
        let id = RequestId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let request = Request::new(id, prompt, vec![Continuation::new(sink)]);
        let request = Request { params: options.sampling.clone(), stop, ..request };
        self.engine.submit(request).map_err(|e| Error::Engine(e.to_string()))?;
        Ok(pieces)
    }

    /// The prompt that the model's own template makes of a conversation (OpenAI's messages).
    ///
    /// # Errors
    /// If the model has no template or it refuses the conversation.
    pub fn render_chat(&self, messages: &serde_json::Value) -> Result<String, Error> {
        self.render_chat_with(messages, None, &serde_json::Map::new())
    }

    /// As [`Model::render_chat`], with tools (OpenAI's array) and further variables of the template.
    ///
    /// # Errors
    /// As [`Model::render_chat`].
    pub fn render_chat_with(
        &self,
        messages: &serde_json::Value,
        tools: Option<&serde_json::Value>,
        variables: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String, Error> {
        let template = self.template.as_ref().map_err(|why| Error::Request(why.clone()))?;
        let mut variables = variables.clone();
        variables.entry("now").or_insert_with(|| since_1970().as_secs().into());
        Ok(template.render(messages, tools, true, &variables)?)
    }

    /// Whether its chat template has a place for what `name` is (`tools`, `tool_calls`).
    pub fn template_mentions(&self, name: &str) -> bool {
        self.template.as_ref().is_ok_and(|template| template.mentions(name))
    }

    /// Whether it has a chat template, be it one that cannot be used: [`Model::render_chat`] then says why.
    pub fn chats(&self) -> bool {
        self.chats
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Its own suggestions for sampling, and its end tokens.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// Sequences that run at once.
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// Longest sequence, prompt and answer.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Hands the model to a server under `name`, with the thread of its engine (it ends when the server has drained).
    pub fn into_served(mut self, name: String) -> (serve::Served, Option<JoinHandle<()>>) {
        let g = std::mem::take(&mut self.generation);
        let defaults = serve::SamplingDefaults {
            temperature: g.temperature,
            top_k: g.top_k,
            top_p: g.top_p,
            min_p: g.min_p,
            repetition_penalty: g.repetition_penalty,
        };
        let served = serve::Served {
            name,
            tokenizer: Arc::clone(&self.tokenizer),
            template: std::mem::replace(&mut self.template, Err(String::new())),
            engine: self.engine.clone(),
            context: self.context,
            stop_tokens: g.eos.into(),
            defaults,
            created: since_1970().as_secs(),
        };
        (served, self.thread.take())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.engine.stop();
            let _ = thread.join();
        }
    }
}

fn since_1970() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// The model's template, or why it cannot be used: said to whoever asks for a chat, no reason not to load.
fn chat_template(source: Option<String>, tokenizer: &Tokenizer) -> Result<ChatTemplate, String> {
    let source = source.ok_or("the model has no chat template; use /v1/completions or `whinchat run`")?;
    let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
    let special = [("bos_token", piece(tokenizer.bos())), ("eos_token", piece(tokenizer.eos()))];
    ChatTemplate::new(&source, &special).map_err(|e| e.to_string())
}
