//! Mirrored requests: what a candidate would have said, and nobody sees.
//!
//! Both models read the answer that was given, each in one prefill. At each of its tokens that shows how likely the model finds the token,
//! and which one it would have taken. So nothing is sampled, and a candidate is compared on every token and not until the first that
//! differs. Where answers take the most likely token, they are the same if and only if the models agree everywhere.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use answer::{
    Answer, Ask, Ending, Event, Generation, Input, LoadedModel, Priority, PromptText, PromptToken, Sampling, Service,
};
use release::{Choice, Comparison, Ended, Event as Happened};
use text::EncodeOptions;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use super::Named;
use crate::models::Lease;
use crate::releases::Told;
use crate::wire::blocking;
use crate::{App, Problem};

/// Requests that wait to be mirrored at most; those that come then are not.
const WAITING: usize = 256;

/// How long a mirrored request waits for a moment in which nobody else has anything to do: so many times what a model takes to read an
/// answer. Who leaves no such moment loses two hundredths of the time to it.
const PATIENCE: u32 = 50;

/// What reading an answer takes, until it is known; and at most, as far as patience goes.
const A_READ: Duration = Duration::from_millis(4);
const LONG_READ: Duration = Duration::from_millis(200);

/// How often it is looked whether somebody has something to do.
const SOON: Duration = Duration::from_millis(2);

/// Takes requests to be mirrored, one after the other.
#[derive(Default)]
pub(crate) struct Mirrors(OnceLock<mpsc::Sender<Mirrored>>);

/// A request, and how it was answered.
pub(super) struct Mirrored {
    pub(super) named: Arc<Named>,
    pub(super) choice: Choice,
    pub(super) ask: Ask,
    pub(super) answer: Answer,
}

impl App {
    /// Mirrors a request when there is time for it.
    pub(super) fn mirror(self: &Arc<Self>, mirrored: Mirrored) {
        let sender = self.routes.mirrors.0.get_or_init(|| {
            let (sender, waiting) = mpsc::channel(WAITING);
            tokio::spawn(work(Arc::downgrade(self), waiting));
            sender
        });
        if let Err(error) = sender.try_send(mirrored) {
            let mirrored = error.into_inner();
            mirrored.over(false);
        }
    }
}

async fn work(app: Weak<App>, mut waiting: mpsc::Receiver<Mirrored>) {
    let mut reader = Reader { takes: A_READ };
    while let Some(mirrored) = waiting.recv().await.map(Arc::new) {
        let Some(app) = app.upgrade() else { return };
        match reader.compared(&app, &mirrored).await {
            Ok(comparison) => {
                mirrored.over(false);
                comparison.into_iter().for_each(|comparison| mirrored.tell(comparison));
            }
            Err(problem) => {
                let blamed = !super::pass::is_request(&problem);
                mirrored.over(blamed);
                // An answer that does not come differs as much as one can.
                let divergence = Some(mirrored.most());
                let worst = Comparison { exact: false, first_difference: Some(0), divergence };
                blamed.then_some(worst).into_iter().for_each(|worst| mirrored.tell(worst));
            }
        }
    }
}

impl Mirrored {
    fn over(&self, failed: bool) {
        self.named.route().record_mirror(&self.choice, &Ended { failed, seconds: f64::NAN });
    }

    /// The most that an answer counts as diverging.
    fn most(&self) -> f64 {
        let shadow = self.named.trial.as_ref().and_then(|trial| trial.about().beginning.plan.shadow);
        shadow.or(self.named.setup.plan.shadow).map(|shadow| shadow.limits).unwrap_or_default().most
    }

    fn tell(&self, comparison: Comparison) {
        let comparison = Comparison { divergence: comparison.divergence.map(short), ..comparison };
        match &self.named.trial {
            Some(trial) => trial.tell(Told::Event(Happened::Compared(comparison), None)),
            None => self.named.compare(&comparison),
        }
    }
}

/// So few digits that a journal gives it back as it was.
fn short(value: f64) -> f64 {
    (value.clamp(-1e6, 1e6) * 1e6).round() / 1e6
}

/// What a model says of each token of an answer.
struct Read {
    tokens: Vec<u32>,
    likely: Vec<f64>,
    best: Vec<u32>,
}

fn compare(stable: &Read, candidate: &Read) -> Comparison {
    // Other tokens cannot be compared one by one.
    let scores = (stable.tokens == candidate.tokens).then_some((&stable.likely[..], &candidate.likely[..]));
    Comparison::of(&stable.best, &candidate.best, scores)
}

/// Lets models read answers while nobody else has anything to do.
struct Reader {
    /// How long the last one took.
    takes: Duration,
}

impl Reader {
    /// How both models find the answer; none if there is nothing in it that could be read.
    async fn compared(&mut self, app: &Arc<App>, mirrored: &Arc<Mirrored>) -> Result<Option<Comparison>, Problem> {
        let names = [0, 1].map(|variant| mirrored.named.model(variant).to_owned());
        let stable = app.bring(&names[0], None).await?;
        let candidate = app.bring(&names[1], None).await?;
        let Some(first) = self.read(app, &stable, mirrored).await? else { return Ok(None) };
        let Some(second) = self.read(app, &candidate, mirrored).await? else { return Ok(None) };
        Ok(Some(compare(&first, &second)))
    }

    /// Lets a model read an answer behind its prompt. It stops for who comes meanwhile, and begins anew, as long as its patience lasts.
    async fn read(&mut self, app: &Arc<App>, lease: &Lease, mirrored: &Arc<Mirrored>) -> Result<Option<Read>, Problem> {
        let (own, seen) = (Arc::clone(lease.model()), Arc::clone(mirrored));
        let (prompt, answer) = blocking(Arc::clone(app), move |_| tokens(&own, &seen)).await?;
        if prompt.is_empty() || answer.is_empty() {
            return Ok(None);
        }
        let (behind, ask) = (answer.len(), scoring([prompt, answer].concat(), &mirrored.ask.service));
        let ask = lease.asking(Cow::Owned(ask));
        let until = Instant::now() + self.takes.min(LONG_READ) * PATIENCE;
        loop {
            quiet(app, until).await;
            let began = Instant::now();
            let mut generation = lease.begin(&ask)?;
            let scored = tokio::select! {
                scored = scored(&mut generation) => scored?,
                () = others(app, until) => continue,
            };
            self.takes = began.elapsed();
            return Ok(Some(Read::of(&scored[scored.len().saturating_sub(behind)..])));
        }
    }
}

/// Asks for what a model finds of every token of a prompt.
fn scoring(tokens: Vec<u32>, service: &Service) -> Ask {
    let items = vec![PromptText::Tokens(tokens)];
    Ask {
        sampling: Sampling::greedy(),
        ending: Ending { max_tokens: Some(0), ..Ending::default() },
        prompt_logprobs: Some(1),
        service: Service { priority: Priority::Low, time_limit: None, ..service.clone() },
        ..Ask::new(Input::Prompts { items, echo: false, parse_special: false, suffix: None })
    }
}

async fn scored(generation: &mut Generation) -> Result<Vec<PromptToken>, Problem> {
    let mut scored = Vec::new();
    while let Some(event) = generation.next_event().await {
        if let Event::Prompt { tokens, .. } = event? {
            scored = tokens;
        }
    }
    Ok(scored)
}

impl Read {
    fn of(scored: &[PromptToken]) -> Read {
        let likely = |token: &PromptToken| token.logprob.map_or(f64::NEG_INFINITY, f64::from);
        let best = |token: &PromptToken| token.top.first().map_or(u32::MAX, |(id, ..)| *id);
        Read {
            tokens: scored.iter().map(|token| token.token.0).collect(),
            likely: scored.iter().map(likely).collect(),
            best: scored.iter().map(best).collect(),
        }
    }
}

/// The tokens of a request's prompt and of what was answered.
fn tokens(model: &LoadedModel, mirrored: &Mirrored) -> Result<(Vec<u32>, Vec<u32>), Problem> {
    let plain = EncodeOptions { add_special: false, parse_special: false };
    let prompt = match &mirrored.ask.input {
        Input::Chat(chat) => model.chat_tokens(chat)?,
        Input::Prompts { items, parse_special, .. } => match items.first() {
            Some(PromptText::Tokens(tokens)) => tokens.clone(),
            Some(PromptText::Text(text)) => {
                model.text_tokens(text, EncodeOptions { add_special: true, parse_special: *parse_special })?
            }
            None => Vec::new(),
        },
    };
    let Answer { text, reasoning, calls, .. } = &mirrored.answer;
    // What was thought before is left out of both: the same is missing to both.
    let calls: String = calls.iter().map(|call| call.arguments.as_str()).collect();
    let said = [text, reasoning, &calls].into_iter().find(|text| !text.trim().is_empty());
    let said = said.map_or(Ok(Vec::new()), |said| model.text_tokens(said, plain))?;
    Ok((prompt, said))
}

/// Waits for a moment in which no model has anything to do, for a while.
async fn quiet(app: &App, until: Instant) {
    let mut ticks = interval(SOON);
    while Instant::now() < until && asked(app) > 0 {
        ticks.tick().await;
    }
}

/// Ends when somebody has something to do besides the one request that is this reader's own; after a while it never does.
async fn others(app: &App, until: Instant) {
    let mut ticks = interval(SOON);
    while Instant::now() < until {
        if asked(app) > 1 {
            return;
        }
        ticks.tick().await;
    }
    std::future::pending::<()>().await;
}

/// Requests that models have.
fn asked(app: &App) -> u64 {
    let of = |model: &Arc<LoadedModel>| {
        let stats = model.engine().stats();
        stats.running as u64 + stats.waiting as u64
    };
    app.loaded().iter().map(of).sum()
}
