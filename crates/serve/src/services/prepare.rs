//! From an [`Ask`] to a running [`Generation`]: model, template, tokens, limits, submission. Blocks while it tokenizes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Continuation, Penalties, Prompt, Request, RequestId, SamplingParams, StopRules, SubmitError};
use serde_json::Value;
use text::{EncodeOptions, TemplateError};

use super::channel::{TokenReceiver, token_channel};
use super::choice::Choice;
use super::generation::{Event, Generation, Reason, Tally};
use super::pipeline::{Piece, Pipeline};
use super::{Ask, Chat, Input, Kind, Problem, PromptText, Sampling};
use crate::{App, Served};

/// Starts what `ask` asks for.
///
/// # Errors
/// If the model is not there, does not take the request, or has no room for it.
pub(crate) fn begin(app: &App, ask: Ask) -> Result<Generation, Problem> {
    let served = app.model(ask.model.as_deref())?;
    let prompts = prompts(&served, &ask.input)?;
    check_vocabulary(&served, &ask)?;
    let room = ask.ending.max_tokens != Some(0);
    for prompt in &prompts {
        check_length(&served, prompt.tokens.len(), room)?;
    }
    Starter::new(app, &served, ask, &prompts).start(prompts)
}

/// A prompt in tokens, and the text that its answers start with.
struct Encoded {
    tokens: Vec<u32>,
    param: String,
    echo: Option<String>,
}

fn prompts(served: &Served, input: &Input) -> Result<Vec<Encoded>, Problem> {
    match input {
        Input::Chat(chat) => {
            let text = render(served, chat)?;
            let tokens = served.tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: true });
            Ok(vec![Encoded { tokens, param: "messages".into(), echo: None }])
        }
        Input::Prompts { items, echo } => {
            items.iter().enumerate().map(|(i, item)| encode(served, item, i, *echo, items.len())).collect()
        }
    }
}

fn encode(served: &Served, item: &PromptText, i: usize, echo: bool, of: usize) -> Result<Encoded, Problem> {
    let param = if of == 1 { "prompt".into() } else { format!("prompt[{i}]") };
    let tokens = match item {
        // Control tokens are recognised: who uses this endpoint writes the model's format by hand.
        PromptText::Text(text) => {
            served.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true })
        }
        PromptText::Tokens(tokens) => tokens.clone(),
    };
    check_tokens(served, &param, tokens.iter().copied())?;
    let echo = echo.then(|| match item {
        PromptText::Text(text) => text.clone(),
        PromptText::Tokens(tokens) => served.tokenizer.decode(tokens, true),
    });
    Ok(Encoded { tokens, param, echo })
}

fn render(served: &Served, chat: &Chat) -> Result<String, Problem> {
    let template = served.template.as_ref().map_err(|why| {
        let message = format!("The model {} cannot chat: {why}.", served.name);
        Problem::of(Kind::Unsupported, "messages", message)
    })?;
    let mut variables = chat.variables.clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    variables.entry("now").or_insert_with(|| now.as_secs().into());
    let text = template
        .render(&chat.messages, chat.tools.as_ref(), chat.add_generation_prompt, &variables)
        .map_err(|e: TemplateError| Problem::of(Kind::InvalidValue, "messages", e.to_string()))?;
    if chat.continue_final_message { cut_after_last(&chat.messages, text) } else { Ok(text) }
}

/// Ends the prompt where the last message's text does, dropping what the template puts after a message.
fn cut_after_last(messages: &Value, mut text: String) -> Result<String, Problem> {
    let last = messages.as_array().and_then(|all| all.last());
    let content = last.and_then(|message| message["content"].as_str()).unwrap_or_default().trim_end();
    let Some(at) = text.rfind(content) else {
        let message = "The model's chat template changes the last message, so that it cannot be continued.";
        return Err(Problem::of(Kind::InvalidValue, "continue_final_message", message));
    };
    text.truncate(at + content.len());
    Ok(text)
}

fn check_vocabulary(served: &Served, ask: &Ask) -> Result<(), Problem> {
    check_tokens(served, "logit_bias", ask.sampling.logit_bias.iter().map(|(id, _)| *id))?;
    check_tokens(served, "stop_token_ids", ask.ending.token_ids.iter().copied())
}

fn check_tokens(served: &Served, param: &str, ids: impl IntoIterator<Item = u32>) -> Result<(), Problem> {
    let vocab = served.tokenizer.vocab();
    let Some(id) = ids.into_iter().find(|id| *id as usize >= vocab) else { return Ok(()) };
    let message = format!("{param}: token {id} is not in the model's vocabulary (0 to {}).", vocab.saturating_sub(1));
    Err(Problem::of(Kind::InvalidValue, param, message))
}

fn check_length(served: &Served, tokens: usize, room: bool) -> Result<(), Problem> {
    let context = served.context;
    if tokens + usize::from(room) <= context {
        return Ok(());
    }
    let message = format!(
        "The prompt has {tokens} tokens; with room for an answer it may have at most {} in this model's context of \
         {context} tokens. Shorten it.",
        context.saturating_sub(usize::from(room))
    );
    Err(Problem::new(Kind::ContextLength, message))
}

/// What all prompts of a request share.
struct Starter<'a> {
    app: &'a App,
    served: &'a Served,
    ask: Ask,
    params: SamplingParams,
    stop: StopRules,
    tally: Arc<Tally>,
    open: Vec<Choice>,
    ready: VecDeque<Event>,
}

impl<'a> Starter<'a> {
    fn new(app: &'a App, served: &'a Served, ask: Ask, prompts: &[Encoded]) -> Starter<'a> {
        let params = params(&ask.sampling, served, ask.logprobs);
        let stop = stop_rules(&ask, served);
        let tally = Arc::new(Tally::new(prompts.iter().map(|prompt| prompt.tokens.len()).sum()));
        Starter { app, served, ask, params, stop, tally, open: Vec::new(), ready: VecDeque::new() }
    }

    /// Submits every prompt. If one is refused, dropping `self` cancels those before it.
    fn start(mut self, prompts: Vec<Encoded>) -> Result<Generation, Problem> {
        for prompt in prompts {
            self.start_one(&prompt)?;
        }
        Ok(Generation::new(self.served.name.clone(), self.tally, self.open, self.ready))
    }

    fn start_one(&mut self, encoded: &Encoded) -> Result<(), Problem> {
        let Some(prompt) = Prompt::new(encoded.tokens.as_slice()) else {
            let message = format!("{}: the prompt has no tokens. Write at least one.", encoded.param);
            return Err(Problem::of(Kind::InvalidValue, encoded.param.as_str(), message));
        };
        if self.stop.max_tokens == 0 {
            (0..self.ask.n).for_each(|_| self.add_ended(encoded));
            return Ok(());
        }
        let continuations = (0..self.ask.n).map(|_| Continuation::new(self.add(encoded))).collect();
        let request = Request::new(RequestId(self.app.next_id()), prompt, continuations);
        let request = Request { params: self.params.clone(), stop: self.stop.clone(), ..request };
        self.served.engine.submit(request).map_err(refused)
    }

    fn add(&mut self, prompt: &Encoded) -> Box<dyn engine::TokenSink> {
        let (sink, receiver) = token_channel(&self.served.engine);
        self.add_choice(Some(receiver), prompt);
        sink
    }

    fn add_ended(&mut self, prompt: &Encoded) {
        self.add_choice(None, prompt);
        self.ready.push_back(Event::Finished { choice: self.open.len() - 1, reason: Reason::Length });
    }

    fn add_choice(&mut self, tokens: Option<TokenReceiver>, prompt: &Encoded) {
        let index = self.open.len();
        let stops = self.ask.ending.strings.clone();
        let pipeline =
            Pipeline::new(self.served.tokenizer.clone(), &prompt.tokens, stops, self.ask.skip_special_tokens);
        let (stop_tokens, tally) = (self.stop.tokens.clone(), self.tally.clone());
        self.open.push(Choice { index, tokens, pipeline, stop_tokens, tally });
        if let Some(text) = prompt.echo.clone() {
            self.ready.push_back(Event::Text { choice: index, piece: Piece { text, logprobs: Vec::new() } });
        }
    }
}

/// What the request says, else what the model suggests, else neutral.
fn params(asked: &Sampling, served: &Served, logprobs: Option<usize>) -> SamplingParams {
    let (model, neutral) = (&served.defaults, SamplingParams::default());
    let repetition = asked.repetition_penalty.or(model.repetition_penalty).unwrap_or(neutral.penalties.repetition);
    let frequency = asked.frequency_penalty.unwrap_or(neutral.penalties.frequency);
    let presence = asked.presence_penalty.unwrap_or(neutral.penalties.presence);
    SamplingParams {
        temperature: asked.temperature.or(model.temperature).unwrap_or(neutral.temperature),
        top_k: asked.top_k.or(model.top_k).unwrap_or(neutral.top_k),
        top_p: asked.top_p.or(model.top_p).unwrap_or(neutral.top_p),
        min_p: asked.min_p.or(model.min_p).unwrap_or(neutral.min_p),
        typical_p: asked.typical_p.unwrap_or(neutral.typical_p),
        penalties: Penalties { repetition, frequency, presence },
        logit_bias: asked.logit_bias.clone(),
        seed: asked.seed,
        logprobs,
    }
}

fn stop_rules(ask: &Ask, served: &Served) -> StopRules {
    let own = if ask.ending.ignore_eos { &[] } else { &served.stop_tokens[..] };
    let tokens = own.iter().chain(&ask.ending.token_ids).copied().collect();
    let max_tokens = ask.ending.max_tokens.unwrap_or(served.context);
    StopRules { max_tokens, min_tokens: ask.ending.min_tokens, tokens }
}

fn refused(error: SubmitError) -> Problem {
    match &error {
        SubmitError::Full => Problem::new(Kind::Busy, "Too many requests are waiting. Try again later."),
        SubmitError::TooMany { .. } => Problem::of(Kind::InvalidValue, "n", format!("{error}.")),
        SubmitError::Failed(why) => Problem::new(Kind::Internal, format!("The model has failed: {why}")),
        SubmitError::Draining => Problem::new(Kind::Draining, "The server is going down. Try again later."),
    }
}
