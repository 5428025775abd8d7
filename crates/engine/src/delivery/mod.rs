//! What sequences consist of and who receives it: tokens, token masks, sinks, and the records of their requests.
//!
//! The scheduler knows a sequence by its name and its numbers; this is the rest of it. Before each step the receivers are
//! asked what they want, and the scheduler is told who is stalled or gone; after it they get their tokens.

mod drafts;
mod ledger;
mod lookup;
mod sampling;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use graph::{Adapted, Batch, Outputs};
use ledger::Ledger;
pub(crate) use ledger::Open;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sampling::Hands;
pub(crate) use stream::Stream as Left;
use stream::{Output, Spec, Stream};

use crate::drafter::Drafter;
use crate::executor::Spread;
use crate::handover::Migrant;
use crate::panics::Guarded;
use crate::scheduler::ensure;
use crate::{
    Arrival, Contents, Continuation, Draft, Drafts, FinishReason, Phase, PhaseKind, Prediction, Request, RequestId,
    SampledToken, Scheduler, SequenceId, TokenSink,
};

/// A continuation's next token, or why none can be chosen.
pub(crate) type Drawn = Result<SampledToken, String>;

impl Contents for Delivery {
    fn tokens(&self, id: SequenceId) -> &[u32] {
        self.streams.get(&id).map_or(&[], Stream::shareable)
    }

    fn ends(&self, id: SequenceId) -> Vec<usize> {
        self.streams.get(&id).map(Stream::ends).unwrap_or_default()
    }

    fn draft(&self, id: SequenceId) -> Option<Draft> {
        self.streams.get(&id)?.drafts.offer()
    }
}

/// The contents of all sequences.
pub(crate) struct Delivery {
    /// In the order of arrival.
    streams: BTreeMap<SequenceId, Stream>,
    pub(crate) ledger: Ledger,
    /// Continuations so far.
    arrivals: u64,
    /// For requests that bring no seed.
    seeds: ChaCha8Rng,
    hands: Hands,
    /// Who helps to choose tokens.
    spread: Arc<dyn Spread>,
    /// Tokens of a sequence to draft at most.
    most: usize,
    /// Drafts where a sequence's own text says little.
    pub(crate) drafter: Option<Drafter>,
    /// Sequences that got more tokens in this step than the one that was chosen, how many, and how many of all are computed.
    pub(crate) longer: Vec<(SequenceId, usize, usize)>,
}

impl Delivery {
    pub(crate) fn new((seed, most): (u64, usize), drafter: Option<Drafter>, spread: Arc<dyn Spread>) -> Delivery {
        Delivery {
            streams: BTreeMap::new(),
            ledger: Ledger::default(),
            arrivals: 0,
            seeds: ChaCha8Rng::seed_from_u64(seed),
            hands: Hands::default(),
            spread,
            most,
            drafter,
            longer: Vec::new(),
        }
    }

    /// Takes a request that came at the time `arrived`; gives its sequences for the scheduler. More continuations than can
    /// run at once compute the prompt once for each group that can.
    pub(crate) fn open(
        &mut self,
        request: Request,
        arrived: Duration,
        scheduler: &Scheduler,
    ) -> Vec<(SequenceId, Arrival)> {
        let (limits, key) = (scheduler.limits(), SequenceId(self.arrivals));
        self.ledger.open(key, &request, arrived);
        let arrival = Arrival::of(&request, arrived, limits.context);
        let Request { id, prompt, params, stop, prompt_logprobs, expected, rows, continuations, .. } = request;
        let (prompt, seed) = (prompt.tokens(), params.seed);
        let longest = arrival.longest;
        let (request, prompt_len) = (id, prompt.len());
        let spec = Spec {
            request,
            key,
            prompt: prompt_len,
            params,
            stop,
            prompt_logprobs,
            longest,
            expected,
            adapter: rows.adapter,
        };
        let spec = Arc::new(spec);
        let mut outputs = self.outputs(seed, continuations);
        let mut sequences = Vec::new();
        while !outputs.is_empty() {
            let group: Vec<Output> = outputs.drain(..limits.sequences.min(outputs.len())).collect();
            let name = group[0].id;
            sequences.push((name, Arrival { continuations: group.len(), ..arrival.clone() }));
            self.streams.insert(name, Stream::new(Arc::clone(&spec), prompt, group));
        }
        sequences
    }

    /// Takes everything out, for others to go on with; gives each request with its sequences, in the order in which they came.
    pub(crate) fn leave(&mut self, arrivals: Vec<(SequenceId, Arrival)>) -> Vec<Migrant> {
        let mut requests: BTreeMap<SequenceId, Vec<(Arrival, Stream)>> = BTreeMap::new();
        for (id, arrival) in arrivals {
            let Some(stream) = self.streams.remove(&id) else { continue };
            let continuations = stream.outputs.len();
            requests.entry(stream.spec.key).or_default().push((Arrival { continuations, ..arrival }, stream));
        }
        let migrant = |(key, sequences)| Some(Migrant { record: self.ledger.leave(key)?, sequences });
        requests.into_iter().filter_map(migrant).collect()
    }

    /// Takes in a request that was begun elsewhere; gives its sequences for the scheduler, with how many tokens each has.
    pub(crate) fn adopt(&mut self, migrant: Migrant) -> Vec<(SequenceId, Arrival, usize)> {
        let Migrant { record, sequences } = migrant;
        let key = SequenceId(self.arrivals);
        let mut adopted = Vec::new();
        for (arrival, stream) in sequences {
            let (first, tokens) = (self.arrivals, stream.tokens.len());
            self.arrivals += stream.outputs.len() as u64;
            self.streams.insert(SequenceId(first), stream.moved(key, first));
            adopted.push((SequenceId(first), arrival, tokens));
        }
        self.ledger.adopt(key, record);
        adopted
    }

    /// What was expected of a sequence's request, and when that came.
    pub(crate) fn prediction(&self, id: SequenceId) -> Option<(Prediction, Duration)> {
        self.ledger.prediction(self.streams.get(&id)?.spec.key)
    }

    /// Tells the receivers of a sequence that it is in the queue.
    pub(crate) fn admitted(&mut self, id: SequenceId) {
        let outputs = self.streams.get_mut(&id).into_iter().flat_map(|stream| &mut stream.outputs);
        // One that panics is found to be gone before the next step.
        outputs.for_each(|output| _ = output.sink.call(TokenSink::admitted));
    }

    /// Asks all receivers what they want, and tells the scheduler what changed. Looks up what may follow.
    pub(crate) fn poll(&mut self, now: Duration, scheduler: &mut Scheduler) {
        let Delivery { streams, ledger, most, .. } = self;
        streams.retain(|&id, stream| {
            stream.look_up(*most);
            if stream.poll(now, ledger) {
                scheduler.stall(id, stream.stalled_since);
                scheduler.narrow(id, stream.outputs.len());
            }
            !stream.outputs.is_empty()
        });
    }

    /// Takes note of what the scheduler decided at the time `now`, and fills the batch with it. Of rows that are sampled it asks for the
    /// greatest logits alone where `top` of them suffice.
    pub(crate) fn fill(&mut self, now: Duration, scheduler: &Scheduler, batch: &mut Batch, top: usize) {
        for id in scheduler.started() {
            self.ledger.started(self.streams[id].spec.key, now);
        }
        self.preempted(scheduler.preempted());
        batch.clear();
        batch.copies.extend_from_slice(scheduler.copies());
        batch.state_copies.extend_from_slice(scheduler.state_copies());
        for sequence in scheduler.batch() {
            let positions = sequence.cached()..sequence.cached() + sequence.rows();
            let Some(stream) = self.streams.get_mut(&sequence.id()) else { continue };
            let (table, state) = (scheduler.table(sequence), sequence.state());
            let tokens = stream.with_draft(positions, sequence.drafts());
            let rows = batch.push_with_state(tokens, sequence.cached(), table, state);
            stream.drafts.reading.computes(sequence.cached(), rows.clone());
            let adapted =
                stream.spec.adapter.iter().map(|adapter| Adapted { rows: rows.clone(), adapter: Arc::clone(adapter) });
            batch.adapters.extend(adapted);
            stream.shorten(sequence.tokens());
            batch.outputs.extend(sequence.scored_rows().map(|row| (rows.start + row) as u32));
            batch.top.resize(batch.outputs.len(), 0);
            if sequence.completes() {
                let chosen = rows.end - 1 - sequence.drafts();
                batch.outputs.extend(chosen as u32..rows.end as u32);
                batch.top.resize(batch.outputs.len(), stream.top(top) as u32);
                stream.drafts.rows = batch.outputs.len() - sequence.drafts()..batch.outputs.len();
            }
        }
        if batch.top.iter().all(|&top| top == 0) {
            batch.top.clear();
        }
    }

    /// Takes note of sequences that lost their blocks.
    pub(crate) fn preempted(&mut self, sequences: &[SequenceId]) {
        for id in sequences {
            self.ledger.preempted(self.streams[id].spec.key);
        }
    }

    /// Takes note of what the step between these times has computed.
    pub(crate) fn computed(&mut self, started: Duration, ended: Duration, scheduler: &Scheduler) {
        for sequence in scheduler.batch() {
            let answers = sequence.generated() > 0 && sequence.cached() >= sequence.arrival().prompt;
            let kind = if answers { PhaseKind::Decode } else { PhaseKind::Prefill };
            let key = self.streams[&sequence.id()].spec.key;
            self.ledger.computed(key, Phase { kind, started, ended, rows: sequence.rows() + sequence.drafts() });
        }
    }

    /// Delivers the tokens of a sequence that were chosen in the step that ended at the time `now`; each continuation is a
    /// sequence of its own from then on. Adds those that go on to `living`.
    pub(crate) fn deliver(
        &mut self,
        id: SequenceId,
        drawn: &mut impl Iterator<Item = Drawn>,
        computed: (Outputs<'_>, Duration),
        living: &mut Vec<SequenceId>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let forks = stream.fork();
        living.extend(self.take(id, drawn, computed));
        for (id, fork) in forks {
            self.streams.insert(id, fork);
            living.extend(self.take(id, drawn, computed));
        }
    }

    /// Ends a sequence, and tells its receivers why.
    pub(crate) fn finish(&mut self, id: SequenceId, reason: &FinishReason) {
        if let Some(mut stream) = self.streams.remove(&id) {
            stream.finish(reason, &mut self.ledger);
        }
    }

    /// The sequences of the requests that `chosen` names.
    pub(crate) fn sequences(&self, chosen: impl Fn(RequestId) -> bool) -> Vec<SequenceId> {
        self.streams.iter().filter(|(_, stream)| chosen(stream.spec.request)).map(|(id, _)| *id).collect()
    }

    /// The request that a sequence is of.
    pub(crate) fn request(&self, id: SequenceId) -> Option<RequestId> {
        self.streams.get(&id).map(|stream| stream.spec.request)
    }

    /// Whether a request has sequences that have not ended.
    pub(crate) fn has(&self, request: RequestId) -> bool {
        self.streams.values().any(|stream| stream.spec.request == request)
    }

    /// Sequences that have no token yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.streams.values().filter(|stream| stream.generated() == 0).count()
    }

    /// Checks that the scheduler knows the same sequences, with the same numbers.
    pub(crate) fn check(&self, scheduler: &Scheduler) -> Result<(), String> {
        let known = scheduler.running().len() + scheduler.waiting().len();
        ensure(known == self.streams.len(), || format!("{known} sequences, {} streams", self.streams.len()))?;
        for sequence in scheduler.running().iter().chain(scheduler.waiting()) {
            let stream = self.streams.get(&sequence.id());
            let held = stream.map(|s| (s.tokens.len(), s.outputs.len(), s.stalled_since));
            let planned = (sequence.tokens(), sequence.continuations(), sequence.stalled_since());
            ensure(held == Some(planned), || format!("{:?}: {planned:?}, but {held:?}", sequence.id()))?;
        }
        self.check_drafts()?;
        self.ledger.check(self.streams.values().map(|stream| (stream.spec.key, stream.outputs.len())))
    }

    /// Delivers the next token of a sequence with one continuation, and those after it for which the draft was right; gives its
    /// name if it goes on.
    fn take(
        &mut self,
        id: SequenceId,
        drawn: &mut impl Iterator<Item = Drawn>,
        (logits, now): (Outputs<'_>, Duration),
    ) -> Option<SequenceId> {
        let drawn = drawn.next().expect("a token was drawn for each continuation");
        let stream = self.streams.get_mut(&id)?;
        let (before, drafted) = (stream.tokens.len(), stream.drafts.rows.len());
        if drafted > 0 {
            stream.drafted(Drafts { computed: drafted, accepted: 0 }, &mut self.ledger);
        }
        let mut goes_on = stream.take(drawn, now, &mut self.ledger);
        while goes_on && let Some(row) = stream.next_row(before) {
            stream.drafted(Drafts { computed: 0, accepted: 1 }, &mut self.ledger);
            let drawn = self.hands.choose(stream, logits.row(row));
            goes_on = stream.take(drawn, now, &mut self.ledger);
        }
        let (computed, by_model) = stream.compare(before);
        self.drafter.iter_mut().for_each(|model| model.learn(by_model));
        if !goes_on {
            self.streams.remove(&id);
            return None;
        }
        let more = stream.tokens.len() - before - 1;
        self.longer.extend((more + drafted > 0).then_some((id, more, computed)));
        Some(id)
    }

    fn outputs(&mut self, seed: Option<u64>, continuations: Vec<Continuation>) -> Vec<Output> {
        let seed = seed.unwrap_or_else(|| self.seeds.next_u64());
        let first = self.arrivals;
        self.arrivals += continuations.len() as u64;
        let output = |(Continuation { sink, mask }, i)| {
            let (sink, mask) = (Guarded::new(sink), mask.map(Guarded::new));
            Output { id: SequenceId(first + i), sink, mask, seed: seed.wrapping_add(i) }
        };
        continuations.into_iter().zip(0..).map(output).collect()
    }
}
