//! A receiver of tokens that a test holds in its hand.

use std::fmt;
use std::sync::{Arc, Mutex};

use engine::{Finish, SampledToken, SinkState, TokenEvent, TokenSink};

/// What a continuation's receiver got.
pub(crate) struct Inbox {
    /// Set by the test.
    pub(crate) state: SinkState,
    /// Tokens of the prompt that were found in the cache, once it is computed.
    pub(crate) started: Option<usize>,
    /// What the prompt's tokens are worth.
    pub(crate) scores: Option<Arc<[SampledToken]>>,
    pub(crate) tokens: Vec<u32>,
    pub(crate) finish: Option<Finish>,
    /// The engine has dropped the sink.
    pub(crate) closed: bool,
    /// The first thing that should not have happened.
    pub(crate) broken: Option<String>,
}

impl Inbox {
    /// An empty inbox with room.
    pub(crate) fn open() -> (Box<dyn TokenSink>, Arc<Mutex<Inbox>>) {
        let inbox = Arc::new(Mutex::new(Inbox {
            state: SinkState::Ready,
            started: None,
            scores: None,
            tokens: vec![],
            finish: None,
            closed: false,
            broken: None,
        }));
        (Box::new(Sink(Arc::clone(&inbox))), inbox)
    }
}

impl fmt::Display for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.tokens.len())?;
        let Some(finish) = &self.finish else { return Ok(()) };
        write!(f, ", {:?} {}+{}", finish.reason, finish.prompt_tokens, finish.generated_tokens)
    }
}

struct Sink(Arc<Mutex<Inbox>>);

impl TokenSink for Sink {
    fn state(&self) -> SinkState {
        self.0.lock().unwrap().state
    }

    fn started(&mut self, cached_tokens: usize) {
        let mut inbox = self.0.lock().unwrap();
        if inbox.started.replace(cached_tokens).is_some() || !inbox.tokens.is_empty() {
            inbox.broken = Some("it started twice or late".to_owned());
        }
    }

    fn send(&mut self, event: TokenEvent) {
        let mut inbox = self.0.lock().unwrap();
        let cached = match &event {
            TokenEvent::Prompt(_) | TokenEvent::Token(_) => inbox.started,
            TokenEvent::Finished(finish) => inbox.started.map(|_| finish.cached_tokens),
        };
        if cached != inbox.started || matches!(event, TokenEvent::Token(_)) && cached.is_none() {
            inbox.broken = Some(format!("{:?} were found, but {event:?}", inbox.started));
        }
        if inbox.finish.is_some() {
            inbox.broken = Some(format!("{event:?} after the end"));
        }
        match event {
            TokenEvent::Prompt(scores) => {
                if inbox.scores.replace(scores).is_some() || inbox.started.is_none() || !inbox.tokens.is_empty() {
                    inbox.broken = Some("the prompt was scored twice or late".to_owned());
                }
            }
            TokenEvent::Finished(finish) => inbox.finish = Some(finish),
            TokenEvent::Token(token) if inbox.state == SinkState::Ready => inbox.tokens.push(token.id),
            TokenEvent::Token(_) => inbox.broken = Some(format!("a token for a receiver that is {:?}", inbox.state)),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.lock().unwrap().closed = true;
    }
}
