//! From an [`Ask`] to a running [`Generation`]: template, tokens, limits, submission.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::{
    Continuation, Prompt, Request, RequestRows, SamplingParams, StopRules, SubmitError, TokenMask, TokenSink,
};
use text::{
    CallOptions, ChatPrompt, ConstraintMatcher, Conversation, EncodeOptions, MessageError, MessageErrorKind, Parser,
    StopStrings, TemplateError,
};

use crate::choice::{Choice, Scored};
use crate::mask::MaskMaker;
use crate::model::next_id;
use crate::pipeline::{Pipeline, Shown};
use crate::queue::queue;
use crate::steering;
use crate::{
    Ask, Chat, Event, Generation, Input, Kind, LoadedModel, Problem, PromptText, Reason, Service, Tally, Usage,
};

impl LoadedModel {
    /// Starts what `ask` asks for. Blocks while it renders and tokenizes, not while the engine computes.
    ///
    /// # Errors
    /// If the model does not take the request, has no room for it, or has failed.
    pub fn begin(&self, ask: &Ask) -> Result<Generation, Problem> {
        self.check_continues()?;
        self.check_room(ask)?;
        let prompts = self.prompts(&ask.input)?;
        self.check_vocabulary(ask)?;
        let room = ask.ending.max_tokens != Some(0);
        prompts.iter().try_for_each(|prompt| self.check_length(prompt.tokens.len(), room))?;
        check_scores(ask, &prompts)?;
        let rendered = prompts.first().and_then(|prompt| prompt.rendered.as_deref()).unwrap_or_default();
        let matcher = self.matcher(ask, rendered)?;
        Starter { matcher, ..Starter::new(self, ask, &prompts)? }.start(prompts)
    }

    /// The prompt that the model's chat template makes of a conversation.
    ///
    /// # Errors
    /// If the model has no template or it refuses the conversation.
    pub fn render(&self, chat: &Chat) -> Result<ChatPrompt, Problem> {
        let template = self.info.template.as_ref().map_err(|why| {
            let message = format!("The model {} cannot chat: {why}.", self.info.name);
            Problem::of(Kind::Unsupported, "messages", message)
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let prompt = template.render(&Conversation {
            messages: &chat.messages,
            tools: chat.tools.as_ref(),
            add_generation_prompt: chat.add_generation_prompt,
            continue_final_message: chat.continue_final_message,
            variables: Some(&chat.variables),
            now: i64::try_from(now).ok(),
        })?;
        Ok(prompt)
    }

    /// The tokens of what [`LoadedModel::render`] gives.
    ///
    /// # Errors
    /// As [`LoadedModel::render`].
    pub fn chat_tokens(&self, chat: &Chat) -> Result<Vec<u32>, Problem> {
        Ok(self.encoder.encode_chat(&self.render(chat)?)?)
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// If what makes them is elsewhere and cannot be asked.
    pub fn text_tokens(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, Problem> {
        Ok(self.encoder.encode(text, options)?)
    }

    /// How many tokens all prompts of an input have.
    ///
    /// # Errors
    /// As [`LoadedModel::begin`].
    pub fn prompt_tokens(&self, input: &Input) -> Result<usize, Problem> {
        Ok(self.prompts(input)?.iter().map(|prompt| prompt.tokens.len()).sum())
    }

    /// The tokens of the first prompt.
    pub(crate) fn first_prompt(&self, input: &Input) -> Result<Vec<u32>, Problem> {
        Ok(self.prompts(input)?.into_iter().next().map(|prompt| prompt.tokens).unwrap_or_default())
    }

    fn prompts(&self, input: &Input) -> Result<Vec<Encoded>, Problem> {
        match input {
            Input::Chat(chat) => {
                let prompt = self.render(chat)?;
                let tokens = self.encoder.encode_chat(&prompt)?;
                Ok(vec![Encoded { tokens, param: "messages".into(), echo: None, rendered: Some(prompt.into_text()) }])
            }
            Input::Prompts { items, echo, parse_special, suffix } => {
                let name = |i| if items.len() == 1 { "prompt".into() } else { format!("prompt[{i}]") };
                let one = |(i, item)| {
                    let tokens = match suffix.as_deref().filter(|suffix| !suffix.is_empty()) {
                        None => {
                            self.encode(item, EncodeOptions { add_special: true, parse_special: *parse_special })?
                        }
                        Some(suffix) => self.gap(item, suffix)?,
                    };
                    self.encoded(item, name(i), *echo, tokens)
                };
                items.iter().enumerate().map(one).collect()
            }
        }
    }

    fn encode(&self, item: &PromptText, options: EncodeOptions) -> Result<Vec<u32>, Problem> {
        match item {
            PromptText::Text(text) => self.text_tokens(text, options),
            PromptText::Tokens(tokens) => Ok(tokens.clone()),
        }
    }

    /// The tokens of a prompt whose answer fills the gap before `suffix`.
    fn gap(&self, item: &PromptText, suffix: &str) -> Result<Vec<u32>, Problem> {
        let tokenizer = &self.info.tokenizer;
        let fill = tokenizer.fill_in().ok_or_else(|| {
            let message =
                format!("suffix: the model {} has no tokens for a gap to fill in. Leave it out.", self.info.name);
            Problem::of(Kind::Unsupported, "suffix", message)
        })?;
        let plain = EncodeOptions { add_special: false, parse_special: false };
        let (before, after) = (self.encode(item, plain)?, self.text_tokens(suffix, plain)?);
        Ok(tokenizer.around_gap(fill, &before, &after))
    }

    fn encoded(&self, item: &PromptText, param: String, echo: bool, tokens: Vec<u32>) -> Result<Encoded, Problem> {
        let tokenizer = &self.info.tokenizer;
        self.check_tokens(&param, tokens.iter().copied())?;
        let echo = echo.then(|| match item {
            PromptText::Text(text) => text.clone(),
            PromptText::Tokens(tokens) => tokenizer.decode(tokens, true),
        });
        Ok(Encoded { tokens, param, echo, rendered: None })
    }

    /// Whether the queue takes so many continuations now.
    ///
    /// # Errors
    /// If it does not, or the engine takes no requests.
    pub fn check_queue(&self, continuations: usize) -> Result<(), Problem> {
        self.engine().check_room(continuations).map_err(|error| refused(self, error, continuations))
    }

    /// A full queue says so before anything is tokenized.
    fn check_room(&self, ask: &Ask) -> Result<(), Problem> {
        let prompts = match &ask.input {
            Input::Chat(_) => 1,
            Input::Prompts { items, .. } => items.len(),
        };
        self.check_queue(prompts.saturating_mul(ask.n))
    }

    fn check_vocabulary(&self, ask: &Ask) -> Result<(), Problem> {
        self.check_tokens("logit_bias", ask.sampling.logit_bias.iter().map(|(id, _)| *id))?;
        self.check_tokens("allowed_token_ids", ask.sampling.steering.allowed.iter().flatten().copied())?;
        self.check_tokens("stop_token_ids", ask.ending.token_ids.iter().copied())
    }

    pub(crate) fn check_tokens(&self, param: &str, ids: impl IntoIterator<Item = u32>) -> Result<(), Problem> {
        let vocab = self.info.tokenizer.vocab();
        let Some(id) = ids.into_iter().find(|id| *id as usize >= vocab) else { return Ok(()) };
        let message =
            format!("{param}: token {id} is not in the model's vocabulary (0 to {}).", vocab.saturating_sub(1));
        Err(Problem::of(Kind::InvalidValue, param, message))
    }

    pub(crate) fn check_length(&self, tokens: usize, room: bool) -> Result<(), Problem> {
        let context = self.context();
        if tokens + usize::from(room) <= context {
            return Ok(());
        }
        let message = format!(
            "The prompt has {tokens} tokens; with room for an answer it may have at most {} in this model's context of \
             {context} tokens. Shorten it or raise --context.",
            context.saturating_sub(usize::from(room))
        );
        Err(Problem::new(Kind::ContextLength, message))
    }
}

/// A prompt in tokens, and how its answers begin.
struct Encoded {
    tokens: Vec<u32>,
    /// The field that it comes from.
    param: String,
    /// The text that each answer starts with.
    echo: Option<String>,
    /// The text of a conversation, whose answer has reasoning and tool calls taken out of it.
    rendered: Option<String>,
}

impl From<MessageError> for Problem {
    fn from(error: MessageError) -> Problem {
        let kind = match error.kind {
            MessageErrorKind::Missing => Kind::Missing,
            MessageErrorKind::Type => Kind::InvalidType,
            MessageErrorKind::Value => Kind::InvalidValue,
            MessageErrorKind::Unsupported => Kind::Unsupported,
        };
        Problem::of(kind, error.field, error.problem)
    }
}

impl From<TemplateError> for Problem {
    fn from(error: TemplateError) -> Problem {
        match error {
            TemplateError::Message(error) => error.into(),
            other => Problem::of(Kind::InvalidValue, "messages", other.to_string()),
        }
    }
}

/// What all prompts of a request share.
struct Starter<'a> {
    model: &'a LoadedModel,
    ask: &'a Ask,
    params: SamplingParams,
    stop: StopRules,
    tally: Arc<Tally>,
    /// At the beginning of what the answers have to fit.
    matcher: Option<ConstraintMatcher>,
    /// What the answers are likely to be.
    expected: Arc<[u32]>,
}

impl<'a> Starter<'a> {
    fn new(model: &'a LoadedModel, ask: &'a Ask, prompts: &[Encoded]) -> Result<Starter<'a>, Problem> {
        let sampling = ask.sampling.or(&model.info.sampling);
        let params = steering::params(&sampling, ask.logprobs, &model.info.tokenizer, &model.breakers)?;
        let tokens = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        let tally = Arc::new(Tally::new(tokens, Arc::clone(&model.clock)));
        let text = ask.prediction.as_deref().unwrap_or_default();
        let expected = model.text_tokens(text, EncodeOptions { add_special: false, parse_special: false })?.into();
        Ok(Starter { model, ask, params, stop: stop_rules(model, ask), tally, matcher: None, expected })
    }

    /// Submits all prompts or none.
    fn start(self, prompts: Vec<Encoded>) -> Result<Generation, Problem> {
        let (mut sinks, reader) = queue((prompts.len() * self.ask.n, self.ask.n), self.model.engine(), &self.tally);
        let scored = self.prompt_logprobs().is_some();
        let computed = self.stop.max_tokens > 0 || scored;
        let mut requests = Vec::with_capacity(prompts.len());
        for encoded in &prompts {
            let rest = sinks.split_off(self.ask.n);
            requests.push(self.request(encoded, std::mem::replace(&mut sinks, rest))?);
        }
        let of = |i: usize| &prompts[i / self.ask.n];
        let choices = (0..prompts.len() * self.ask.n).map(|i| self.choice(i, of(i))).collect();
        let mut generation = Generation::new(choices, Arc::clone(&self.tally), reader);
        for choice in 0..generation.choices() {
            // A prompt that is scored comes with its scores.
            if let Some(text) = of(choice).echo.clone().filter(|_| !(scored && self.ask.logprobs.is_some())) {
                generation.begin_with(Event::Text { choice, text, logprobs: Vec::new() });
            }
            if !computed {
                generation.begin_with(Event::Finished {
                    choice,
                    reason: Reason::Length,
                    stop: None,
                    usage: Usage { prompt: of(choice).tokens.len(), ..Usage::default() },
                });
            }
        }
        if computed {
            let continuations = requests.iter().map(|request| request.continuations.len()).sum();
            let refused = |error| refused(self.model, error, continuations);
            self.model.engine().submit_all(requests).map_err(refused)?;
        }
        Ok(generation)
    }

    fn request(&self, encoded: &Encoded, sinks: Vec<Box<dyn TokenSink>>) -> Result<Request, Problem> {
        let Some(prompt) = Prompt::new(encoded.tokens.as_slice()) else {
            let message = format!("{}: the prompt has no tokens. Write at least one.", encoded.param);
            return Err(Problem::of(Kind::InvalidValue, encoded.param.as_str(), message));
        };
        let (params, stop) = (self.params.clone(), self.stop.clone());
        let continuations = sinks.into_iter().map(|sink| Continuation { sink, mask: self.mask(encoded) }).collect();
        let Service { priority, time_limit, tenant, cache_salt, interposed } = &self.ask.service;
        let id = next_id();
        self.tally.submitted(id);
        Ok(Request {
            params,
            stop,
            priority: *priority,
            deadline: time_limit.map(|limit| self.model.engine().now().saturating_add(limit)),
            tenant: tenant.as_deref().map(Arc::from),
            cache_salt: cache_salt.as_deref().map(Arc::from),
            prompt_logprobs: self.prompt_logprobs(),
            expected: Arc::clone(&self.expected),
            rows: RequestRows { adapter: self.ask.adapter.clone(), interposed: interposed.clone() },
            ..Request::new(id, prompt, continuations)
        })
    }

    fn choice(&self, index: usize, encoded: &Encoded) -> Choice {
        let shown = match self.ask.skip_special_tokens {
            false => Shown::All,
            true if encoded.rendered.is_some() => Shown::Markers(Arc::clone(&self.model.markers)),
            true => Shown::Markers(Arc::from([])),
        };
        let ending = &self.ask.ending;
        let stops = StopStrings::new(ending.strings.clone()).including(ending.include);
        let parser = self.parser(encoded);
        let pipeline = Pipeline::new(&self.model.info.tokenizer, &encoded.tokens, stops, parser, shown);
        let echo = encoded.echo.clone().zip(self.ask.logprobs);
        let tokens = if self.prompt_logprobs().is_some() { encoded.tokens.as_slice().into() } else { Arc::from([]) };
        let scored = Scored { tokens, echo, alternatives: self.ask.prompt_logprobs };
        Choice { scored, ..Choice::new(index, pipeline, Arc::clone(&self.stop.tokens), encoded.tokens.len()) }
    }

    /// A prompt that is repeated is scored as the answer is; one may be scored for itself.
    fn prompt_logprobs(&self) -> Option<usize> {
        let echoed = self.ask.logprobs.filter(|_| matches!(self.ask.input, Input::Prompts { echo: true, .. }));
        echoed.max(self.ask.prompt_logprobs)
    }
}

impl Starter<'_> {
    /// An answer that begins within reasoning is free until that ends.
    fn mask(&self, encoded: &Encoded) -> Option<Box<dyn TokenMask>> {
        let matcher = self.matcher.clone()?;
        let ends = self.parser(encoded).map(|parser| parser.reasoning_ends()).unwrap_or_default();
        Some(Box::new(self.model.masks.get_or_init(MaskMaker::start).mask(matcher.after(&ends))))
    }

    fn parser(&self, encoded: &Encoded) -> Option<Parser> {
        let (Some(text), Input::Chat(chat)) = (&encoded.rendered, &self.ask.input) else { return None };
        let options =
            CallOptions { tools: chat.tools.as_ref(), parallel: chat.parallel_tool_calls, pieces: self.ask.pieces };
        Some(self.model.info.dialect.parser(text, &options))
    }
}

/// Log-probabilities of prompts in a request at most: each takes memory, here and where it is read.
const MAX_SCORES: usize = 1 << 22;

/// Whether a request asks for no more log-probabilities of its prompts than there is memory for.
fn check_scores(ask: &Ask, prompts: &[Encoded]) -> Result<(), Problem> {
    let echoed = ask.logprobs.filter(|_| prompts.iter().any(|prompt| prompt.echo.is_some()));
    let Some(count) = echoed.max(ask.prompt_logprobs) else { return Ok(()) };
    let param = if ask.prompt_logprobs.is_some() { "prompt_logprobs" } else { "echo" };
    let tokens: usize = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
    let asked = tokens.saturating_mul(ask.n).saturating_mul(count + 1);
    if asked <= MAX_SCORES {
        return Ok(());
    }
    let message = format!(
        "{param} asks for {asked} log-probabilities of {tokens} tokens of prompts ({count} alternatives, n = {}); \
         there may be {MAX_SCORES}. Ask for fewer, or in several requests.",
        ask.n
    );
    Err(Problem::of(Kind::InvalidValue, param, message))
}

fn stop_rules(model: &LoadedModel, ask: &Ask) -> StopRules {
    let own = if ask.ending.ignore_eos { &[] } else { &model.info.stop_tokens[..] };
    let tokens = own.iter().chain(&ask.ending.token_ids).copied().collect();
    let max_tokens = ask.ending.max_tokens.unwrap_or(model.context());
    StopRules { max_tokens, min_tokens: ask.ending.min_tokens, tokens }
}

fn refused(model: &LoadedModel, error: SubmitError, continuations: usize) -> Problem {
    match error {
        SubmitError::TooMany { .. } => Problem::of(Kind::InvalidValue, "n", format!("The request asks for {error}.")),
        SubmitError::TooManyTokens { .. } => {
            Problem::of(Kind::InvalidValue, "prompt", format!("The request has {error}."))
        }
        SubmitError::Full => full(model, continuations),
        SubmitError::FullOfTokens { tokens, .. } => {
            let retry_after = model.engine().room_for_tokens_within(tokens);
            let message =
                format!("Too many long prompts are waiting: this request has {error}. {}", again(retry_after));
            Problem { retry_after, ..Problem::new(Kind::Busy, message) }
        }
        SubmitError::Draining => Problem::new(Kind::Draining, "The model takes no more requests. Try again later."),
        SubmitError::Failed(why) => Problem::new(Kind::Failed, format!("The model's engine has failed: {why}.")),
    }
}

/// The queue has no room for so many continuations.
fn full(model: &LoadedModel, continuations: usize) -> Problem {
    let engine = model.engine();
    let (most, retry_after) = (engine.max_queue(), engine.room_within(continuations));
    let message = format!(
        "Too many requests are waiting: {} of {most} places in the queue are free, this request needs {continuations}. {}",
        engine.queue_free(),
        again(retry_after)
    );
    Problem { retry_after, ..Problem::new(Kind::Busy, message) }
}

/// When to come back.
fn again(within: Option<Duration>) -> String {
    let when = within.map_or_else(String::new, |time| format!(" in about {:.0} seconds", time.as_secs_f64().ceil()));
    format!("Try again{when}.")
}
