//! The contents of a sequence: its tokens, and for each of its continuations the receiver, the mask and the seed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use graph::{Adapter, OutputRow};

use super::Drawn;
use super::drafts::Drafts;
use super::ledger::Ledger;
use crate::panics::Guarded;
use crate::{
    Drafts as DraftCounts, Draw, Finish, FinishReason, MaskState, RequestId, SampledToken, Sampler, SamplingParams,
    SequenceId, SinkState, StopRules, TokenEvent, TokenMask, TokenSet, TokenSink,
};

/// A prompt, the tokens after it, and their receivers. Until the prompt is computed it stands for several continuations of
/// a request; then it is forked.
pub(crate) struct Stream {
    pub(super) spec: Arc<Spec>,
    pub(super) tokens: Vec<u32>,
    pub(super) outputs: Vec<Output>,
    pub(super) stalled_since: Option<Duration>,
    /// Tokens of the prompt that were found in the cache.
    pub(super) cached: usize,
    pub(super) drafts: Drafts,
    scores: Scores,
    /// No token could be chosen: what was computed for it may be wrong, and is not for others.
    spoiled: bool,
}

/// What the tokens of a prompt are worth, as far as it is computed.
#[derive(Clone, Default)]
struct Scores {
    tokens: Vec<SampledToken>,
    /// All of them, once the prompt is computed.
    whole: Option<Arc<[SampledToken]>>,
    /// Why there cannot be more.
    failure: Option<String>,
}

/// What all continuations of a request have in common.
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) request: RequestId,
    /// The request's name in the ledger.
    pub(super) key: SequenceId,
    pub(super) prompt: usize,
    pub(super) params: SamplingParams,
    pub(super) stop: StopRules,
    pub(super) prompt_logprobs: Option<usize>,
    /// Longest prompt and answer.
    pub(super) longest: usize,
    /// What the answer is likely to be.
    pub(super) expected: Arc<[u32]>,
    pub(super) adapter: Option<Arc<Adapter>>,
}

impl Spec {
    /// Stop tokens that come too early after so many tokens.
    fn banned(&self, generated: usize) -> &[u32] {
        if generated < self.stop.min_tokens { &self.stop.tokens } else { &[] }
    }
}

/// A continuation.
pub(super) struct Output {
    /// Its name once it is a sequence of its own.
    pub(super) id: SequenceId,
    pub(super) sink: Guarded<dyn TokenSink>,
    pub(super) mask: Option<Guarded<dyn TokenMask>>,
    pub(super) seed: u64,
}

impl Stream {
    pub(super) fn new(spec: Arc<Spec>, prompt: &[u32], outputs: Vec<Output>) -> Stream {
        let (tokens, scores, drafts) = (prompt.to_vec(), Scores::default(), Drafts::default());
        Stream { spec, tokens, outputs, stalled_since: None, cached: 0, drafts, scores, spoiled: false }
    }

    /// As it goes on in another engine, where its request has this name, and its continuations have names from `first` on. Drafts
    /// begin anew, and so does scoring a prompt that was not computed whole.
    pub(super) fn moved(mut self, key: SequenceId, first: u64) -> Stream {
        self.spec = Arc::new(Spec { key, ..(*self.spec).clone() });
        self.outputs.iter_mut().zip(first..).for_each(|(output, id)| output.id = SequenceId(id));
        self.drafts = Drafts::default();
        self.stalled_since = None;
        if self.generated() == 0 {
            self.scores = Scores::default();
        }
        self
    }

    /// Its tokens, if what is computed of them may be used by others.
    pub(super) fn shareable(&self) -> &[u32] {
        if self.spoiled { &[] } else { &self.tokens }
    }

    /// Where the prompt's first and last message end: what ends an answer ends messages too.
    pub(super) fn ends(&self) -> Vec<usize> {
        let is_end = |token: &u32| self.spec.stop.tokens.contains(token);
        let prompt = &self.tokens[..self.spec.prompt];
        let ends = [prompt.iter().position(is_end), prompt.iter().rposition(is_end)];
        ends.into_iter().flatten().map(|at| at + 1).collect()
    }

    pub(super) fn generated(&self) -> usize {
        self.tokens.len() - self.spec.prompt
    }

    /// Whether it may be longer. A prompt that is only to be scored is as long as it may be.
    fn wants_token(&self) -> bool {
        self.tokens.len() < self.spec.longest
    }

    /// Looks up `most` tokens at most that may follow what was generated.
    pub(super) fn look_up(&mut self, most: usize) {
        if most > 0 && self.generated() > 0 && self.stalled_since.is_none() {
            self.drafts.look_up((&self.tokens, self.spec.prompt), &self.spec.expected, most);
        }
    }

    /// The tokens at these positions, the last of which is its last, with so many that are drafted after it, until [`Stream::shorten`].
    pub(super) fn with_draft(&mut self, positions: Range<usize>, drafts: usize) -> &[u32] {
        let end = positions.end + drafts;
        if drafts > 0 {
            self.tokens.extend_from_slice(self.drafts.first(drafts));
        }
        &self.tokens[positions.start..end]
    }

    /// Without the tokens that are only drafted.
    pub(super) fn shorten(&mut self, tokens: usize) {
        self.tokens.truncate(tokens);
    }

    /// The row of output after its last token, if what followed the first `before` tokens is as it was drafted so far and computed, and
    /// its receiver has room.
    pub(super) fn next_row(&mut self, before: usize) -> Option<usize> {
        let came = &self.tokens[before..];
        let is_as_drafted = came.len() <= self.drafts.rows.len() && self.drafts.right(came) == came.len();
        let row = self.drafts.rows.start + came.len() - 1;
        let mut output = self.outputs.first_mut().filter(|_| is_as_drafted);
        output.as_mut().is_some_and(|output| output.state() == SinkState::Ready).then_some(row)
    }

    /// Tells that drafted tokens were computed, or accepted.
    pub(super) fn drafted(&mut self, drafts: DraftCounts, ledger: &mut Ledger) {
        ledger.drafted(self.spec.key, drafts, self.drafts.source());
        // One that panics is found to be gone before the next step.
        self.outputs.iter_mut().for_each(|output| _ = output.sink.call(|sink| sink.drafted(drafts)));
    }

    /// Takes note of whether the draft was right that followed the first `before` tokens; gives how many of the tokens from there on are
    /// computed, and what became of the draft model's.
    pub(super) fn compare(&mut self, before: usize) -> (usize, (usize, usize)) {
        let came = &self.tokens[before..];
        let drafted = std::mem::take(&mut self.drafts.rows).len();
        // The last token is always to be computed.
        let computed = self.drafts.right(came).min(drafted).min(came.len().saturating_sub(1));
        (computed, self.drafts.compare(before, came, computed))
    }

    /// Looks after its receivers; says whether anything changed.
    pub(super) fn poll(&mut self, now: Duration, ledger: &mut Ledger) -> bool {
        let (before, mut full) = ((self.outputs.len(), self.stalled_since), false);
        let (key, complete) = (self.spec.key, self.end(FinishReason::Complete));
        let answer = &self.tokens[self.spec.prompt..];
        self.outputs.retain_mut(|output| match output.state() {
            SinkState::Ready => true,
            SinkState::Full => {
                full = true;
                true
            }
            SinkState::Done => {
                ledger.ended(key, FinishReason::Complete, answer);
                output.finish(complete.clone());
                false
            }
            SinkState::Gone => {
                ledger.ended(key, FinishReason::Cancelled, answer);
                false
            }
        });
        self.stalled_since = full.then(|| before.1.unwrap_or(now));
        before != (self.outputs.len(), self.stalled_since)
    }

    /// Scores the prompt's next token by the logits of the one before it.
    pub(super) fn score(&mut self, logits: &[f32], sampler: &mut Sampler) {
        let Some(count) = self.spec.prompt_logprobs else { return };
        let Some(&next) = self.tokens.get(self.scores.tokens.len() + 1) else { return };
        match sampler.score(logits, next, count) {
            Ok(token) => self.scores.tokens.push(token),
            Err(error) => {
                self.scores.failure = Some(error.to_string());
                self.spoiled = true;
            }
        }
    }

    /// How many of the greatest logits choose the next tokens as all of them would, if no more than `most` do; 0 if all are needed.
    pub(super) fn top(&self, most: usize) -> usize {
        let is_masked = self.outputs.iter().any(|output| output.mask.is_some());
        let is_restricted = is_masked || !self.spec.banned(self.generated()).is_empty();
        if is_restricted { 0 } else { self.spec.params.top(most) }
    }

    /// Chooses a token for each continuation.
    pub(super) fn sample(
        &mut self,
        logits: OutputRow<'_>,
        sampler: &mut Sampler,
        allowed: &mut TokenSet,
        drawn: &mut Vec<Drawn>,
    ) {
        if !self.wants_token() {
            let nothing = SampledToken { id: 0, logprob: None, top: Vec::new() };
            let drawn_for_nobody = || self.scores.failure.clone().map_or(Ok(nothing.clone()), Err);
            return drawn.extend(self.outputs.iter().map(|_| drawn_for_nobody()));
        }
        let (prompt, answer) = self.tokens.split_at(self.spec.prompt);
        let banned = self.spec.banned(answer.len());
        for output in &mut self.outputs {
            let mut draw = Draw { prompt, answer, banned, allowed: None, seed: output.seed };
            let token = match (&self.scores.failure, logits) {
                (Some(why), _) => Err(why.clone()),
                (None, OutputRow::Whole(logits)) => output.allowed(logits.len(), allowed).and_then(|allowed| {
                    draw.allowed = allowed;
                    sampler.sample(logits, &self.spec.params, &draw).map_err(|error| error.to_string())
                }),
                (None, OutputRow::Top(top)) => {
                    sampler.sample_top(&top, &self.spec.params, &draw).map_err(|error| error.to_string())
                }
            };
            self.spoiled |= token.is_err();
            drawn.push(token);
        }
    }

    /// Splits off all continuations but the first.
    pub(super) fn fork(&mut self) -> Vec<(SequenceId, Stream)> {
        if self.generated() == 0 && self.spec.prompt_logprobs.is_some() {
            self.scores.whole = Some(std::mem::take(&mut self.scores.tokens).into());
        }
        let outputs = self.outputs.drain(1..);
        let fork = |output: Output| {
            let (spec, tokens, id) = (Arc::clone(&self.spec), self.tokens.clone(), output.id);
            let (cached, scores, spoiled) = (self.cached, self.scores.clone(), self.spoiled);
            let (outputs, drafts) = (vec![output], Drafts::default());
            (id, Stream { spec, tokens, outputs, stalled_since: None, cached, drafts, scores, spoiled })
        };
        outputs.map(fork).collect()
    }

    /// Takes what was chosen and delivers it to the one receiver there is; says whether it goes on.
    pub(super) fn take(&mut self, drawn: Drawn, now: Duration, ledger: &mut Ledger) -> bool {
        let end = match drawn {
            Ok(token) => {
                if self.generated() == 0 {
                    self.start(ledger);
                }
                if self.wants_token() {
                    ledger.token(self.spec.key, now);
                    self.push(token).or_else(|| self.append(now, ledger))
                } else {
                    Some(FinishReason::Length)
                }
            }
            Err(why) => Some(FinishReason::Failed(why.into())),
        };
        if let Some(reason) = &end {
            self.finish(reason, ledger);
        }
        end.is_none()
    }

    /// Tells the end to all receivers.
    pub(super) fn finish(&mut self, reason: &FinishReason, ledger: &mut Ledger) {
        let (finish, answer) = (self.end(reason.clone()), &self.tokens[self.spec.prompt..]);
        for mut output in self.outputs.drain(..) {
            ledger.ended(self.spec.key, reason.clone(), answer);
            output.finish(finish.clone());
        }
    }

    fn end(&self, reason: FinishReason) -> Finish {
        let (prompt_tokens, cached_tokens) = (self.spec.prompt, self.cached);
        Finish { reason, prompt_tokens, cached_tokens, generated_tokens: self.generated() }
    }

    /// Tells its receiver that the prompt is computed, and what its tokens are worth.
    fn start(&mut self, ledger: &mut Ledger) {
        ledger.cached(self.spec.key, self.cached);
        let scores = self.scores.whole.take();
        if let Some(output) = self.outputs.first_mut() {
            let cached = self.cached;
            let _ = output.sink.call(|sink| sink.started(cached));
            scores.into_iter().for_each(|scores| output.send(TokenEvent::Prompt(scores)));
        }
    }

    /// Adds the tokens that its mask leaves no choice of; says why there are no more, if there are none. Where more is said of
    /// tokens than a mask knows, each is chosen.
    fn append(&mut self, now: Duration, ledger: &mut Ledger) -> Option<FinishReason> {
        if !self.spec.params.takes_forced_tokens() {
            return None;
        }
        let forced = match self.outputs.first_mut()?.forced() {
            Ok(forced) => forced,
            Err(why) => return Some(FinishReason::Failed(why.into())),
        };
        forced.into_iter().find_map(|id| {
            ledger.token(self.spec.key, now);
            self.push(SampledToken { id, logprob: None, top: Vec::new() })
        })
    }

    /// Adds a token; says why it is the last, if it is.
    fn push(&mut self, token: SampledToken) -> Option<FinishReason> {
        let id = token.id;
        self.tokens.push(id);
        let output = self.outputs.first_mut()?;
        output.send(TokenEvent::Token(token));
        if self.spec.stop.tokens.contains(&id) {
            return Some(FinishReason::Stop(id));
        }
        match output.accept(id) {
            Err(why) => Some(FinishReason::Failed(why.into())),
            Ok(MaskState::Complete) => Some(FinishReason::Complete),
            Ok(MaskState::Open) => (!self.wants_token()).then_some(FinishReason::Length),
        }
    }
}

impl Output {
    /// One that panics, or has panicked, is gone.
    fn state(&mut self) -> SinkState {
        self.sink.call(|sink| sink.state()).unwrap_or(SinkState::Gone)
    }

    fn send(&mut self, event: TokenEvent) {
        // One that panics is found to be gone before the next step.
        let _ = self.sink.call(|sink| sink.send(event));
    }

    fn finish(&mut self, finish: Finish) {
        self.send(TokenEvent::Finished(finish));
    }

    /// The tokens that its mask allows, in `set`; `None` without a mask.
    fn allowed<'s>(&mut self, vocab: usize, set: &'s mut TokenSet) -> Result<Option<&'s TokenSet>, String> {
        let Some(mask) = &mut self.mask else { return Ok(None) };
        set.reset(vocab);
        let filled = mask.call(|mask| mask.fill(set)).map_err(panicked)?;
        filled.map_err(|error| error.to_string())?;
        Ok(Some(set))
    }

    fn forced(&mut self) -> Result<Vec<u32>, String> {
        let Some(mask) = &mut self.mask else { return Ok(Vec::new()) };
        mask.call(TokenMask::forced).map_err(panicked)?.map_err(|error| error.to_string())
    }

    fn accept(&mut self, token: u32) -> Result<MaskState, String> {
        let Some(mask) = &mut self.mask else { return Ok(MaskState::Open) };
        mask.call(|mask| mask.accept(token)).map_err(panicked)?.map_err(|error| error.to_string())
    }
}

fn panicked(message: String) -> String {
    format!("the token mask panicked: {message}")
}
