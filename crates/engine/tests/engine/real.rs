//! A real graph on the reference interpreter: what the scheduler does to a sequence does not change a bit of its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    BackendExecutor, Continuation, DraftModel, Drafts, Engine, EngineConfig, Eviction, Observer, Prompt, Request,
    RequestId, RequestRecord, SampledToken, SamplingParams, Setup, SinkState, StepReport, StopRules, TokenEvent,
    TokenSink,
};
use graph::testing::{ToyConfig, ToyRecurrence, toy_model, uniform, upload};
use graph::{Adapter, Backend, Change, Graph, Interpreter, KvType, Limits, Op};

use crate::drafter::Timed;

/// Keeps tokens with their log-probabilities, which tell more than the tokens do.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<Vec<SampledToken>>>);

impl TokenSink for Tokens {
    fn state(&self) -> SinkState {
        SinkState::Ready
    }

    fn send(&mut self, event: TokenEvent) {
        if let TokenEvent::Token(token) = event {
            self.0.lock().unwrap().push(token);
        }
    }
}

/// An engine with a cache of `kv_blocks` blocks of four positions.
fn engine(toy: &ToyConfig, kv_blocks: usize, prefix_cache: Option<Eviction>) -> Engine<BackendExecutor<Interpreter>> {
    let (graph, weights) = toy_model(toy);
    let weights = upload(&Interpreter, &graph, &weights);
    engine_of(&graph, weights, kv_blocks, prefix_cache)
}

/// Of any graph.
pub(crate) fn engine_of(
    graph: &Graph,
    weights: Vec<Arc<Vec<f32>>>,
    kv_blocks: usize,
    prefix_cache: Option<Eviction>,
) -> Engine<BackendExecutor<Interpreter>> {
    drafting((graph, weights), kv_blocks, prefix_cache, (0, Arc::default()))
}

/// Of any graph, with so many drafted tokens at most; keeps the records of requests.
fn drafting(
    (graph, weights): (&Graph, Vec<Arc<Vec<f32>>>),
    kv_blocks: usize,
    prefix_cache: Option<Eviction>,
    (max_draft, records): (usize, Arc<Mutex<Vec<RequestRecord>>>),
) -> Engine<BackendExecutor<Interpreter>> {
    let (max_batch_tokens, max_sequences) = (16, 8);
    let config = EngineConfig {
        max_batch_tokens,
        max_sequences,
        context: 40,
        prefix_cache,
        max_draft,
        ..EngineConfig::default()
    };
    Engine::new(executor(graph, weights, kv_blocks), config, Recorder(records))
}

/// Computes a graph, with so many blocks of four positions.
fn executor(graph: &Graph, weights: Vec<Arc<Vec<f32>>>, kv_blocks: usize) -> BackendExecutor<Interpreter> {
    let state_slots = if graph.state_len() > 0 { 8 } else { 0 };
    let limits = Limits { max_tokens: 16, max_outputs: 8, kv_blocks, block_len: 4, kv_type: KvType::F32, state_slots };
    let program = Interpreter.compile(graph, weights, limits).unwrap();
    BackendExecutor::new(Interpreter, program, limits, graph.output_width())
}

/// A request for `n` continuations; where their tokens will be.
fn submit(engine: &mut Engine<BackendExecutor<Interpreter>>, id: u64, prompt: usize, n: usize) -> Vec<Tokens> {
    ask(engine, id, (0..prompt as u32).map(|i| (i * i + 7 * id as u32) % 67).collect(), n)
}

/// A request for one continuation with other settings; where its tokens will be.
fn ask_with(
    engine: &mut Engine<BackendExecutor<Interpreter>>,
    id: u64,
    tokens: Vec<u32>,
    adjust: impl FnOnce(&mut SamplingParams),
) -> Tokens {
    let sink = Tokens::default();
    let mut request =
        Request::new(RequestId(id), Prompt::new(tokens).unwrap(), vec![Continuation::new(Box::new(sink.clone()))]);
    request.params = SamplingParams { seed: Some(id), logprobs: Some(4), ..SamplingParams::default() };
    request.stop = StopRules { max_tokens: 14, ..StopRules::default() };
    adjust(&mut request.params);
    engine.submit(request, Duration::ZERO);
    sink
}

/// Keeps the records of requests.
struct Recorder(Arc<Mutex<Vec<RequestRecord>>>);

impl Observer for Recorder {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, record: &RequestRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

fn ask(engine: &mut Engine<BackendExecutor<Interpreter>>, id: u64, tokens: Vec<u32>, n: usize) -> Vec<Tokens> {
    let sinks: Vec<Tokens> = (0..n).map(|_| Tokens::default()).collect();
    let continuations = sinks.iter().map(|sink| Continuation::new(Box::new(sink.clone()))).collect();
    let request = Request::new(RequestId(id), Prompt::new(tokens).unwrap(), continuations);
    let params = SamplingParams { seed: Some(id), logprobs: Some(4), ..SamplingParams::default() };
    let stop = StopRules { max_tokens: 14, ..StopRules::default() };
    engine.submit(Request { params, stop, ..request }, Duration::ZERO);
    sinks
}

/// Runs to the end; gives the number of preemptions.
fn finish(engine: &mut Engine<BackendExecutor<Interpreter>>) -> usize {
    let mut preempted = 0;
    for _ in 0..1000 {
        preempted += engine.step(&|| Duration::ZERO).preempted;
        engine.check().unwrap();
    }
    assert!(engine.is_idle() && engine.stats().kv_blocks_used == 0);
    preempted
}

#[test]
fn drafts_change_nothing_but_how_many_steps_there_are() {
    let plain = ToyConfig::default();
    let toys = [
        (ToyConfig { window: Some(6), softcap: Some(5.0), sinks: true, ..plain.clone() }, true),
        (ToyConfig { experts: Some((5, 2)), ..plain.clone() }, true),
        // States are taken back.
        (ToyConfig { recurrent: Some(ToyRecurrence::Scan(2)), ..plain.clone() }, true),
        (plain, true),
    ];
    for (toy, drafts) in toys {
        let (graph, weights) = toy_model(&toy);
        let answers = [0, 6].map(|max_draft| {
            let (weights, records) = (upload(&Interpreter, &graph, &weights), Arc::default());
            let mut engine = drafting((&graph, weights), 24, Some(Eviction::Lru), (max_draft, Arc::clone(&records)));
            // A prompt that says the same again and again, as the answers that are chosen from few tokens do.
            let prompt: Vec<u32> = (0..18).map(|i| [5, 9, 11][i % 3]).collect();
            let favourites: Vec<(u32, f32)> = [5, 9, 11].map(|token| (token, 30.0)).into();
            let ask = |engine: &mut Engine<_>, id| {
                ask_with(engine, id, prompt.clone(), |params| params.logit_bias = favourites.clone())
            };
            // Two at once, then three one after the other.
            let mut sinks: Vec<Tokens> = (0..2).map(|id| ask(&mut engine, id)).collect();
            for id in 2..5 {
                finish(&mut engine);
                sinks.push(ask(&mut engine, id));
            }
            finish(&mut engine);
            let drafts = records.lock().unwrap().iter().map(|record| record.tokens.drafts.accepted).sum::<usize>();
            (sinks.iter().map(|sink| taken(sink).0).collect::<Vec<_>>(), drafts, engine.stats().steps)
        });
        let [(without, none, more), (with, accepted, fewer)] = answers;
        assert_eq!(with, without, "{toy:?}");
        assert!(without.iter().all(|tokens| tokens.len() == 14));
        assert_eq!((none, accepted > 0, fewer < more), (0, drafts, drafts), "{toy:?}: {accepted} accepted");
    }
}

/// A model drafts for itself, and another one of as many tokens does.
#[test]
fn a_draft_model_changes_nothing_but_how_many_steps_there_are() {
    let plain = ToyConfig::default();
    let other = ToyConfig { layers: plain.layers + 1, ..plain.clone() };
    let toys = [
        ToyConfig { window: Some(6), softcap: Some(5.0), sinks: true, ..plain.clone() },
        ToyConfig { experts: Some((5, 2)), ..plain.clone() },
        plain,
    ];
    for toy in toys {
        let answers = [None, Some(&toy), Some(&other)].map(|draft| {
            let (graph, weights) = toy_model(&toy);
            let (weights, records) = (upload(&Interpreter, &graph, &weights), Arc::default());
            let target = executor(&graph, weights, 24);
            let draft = draft.map(|toy| {
                let (graph, weights) = toy_model(toy);
                let weights = upload(&Interpreter, &graph, &weights);
                let sure = Timed::new(executor(&graph, weights, 40), &Arc::default(), (0, 0), 0);
                DraftModel { executor: Box::new(sure), context: 40, hidden: None, tokens: None }
            });
            let config = EngineConfig { max_sequences: 8, context: 40, max_draft: 6, ..EngineConfig::default() };
            let mut engine = Engine::of(target, Setup { draft, ..config.into() }, Recorder(Arc::clone(&records)));
            let greedy = |params: &mut SamplingParams| params.temperature = 0.0;
            let mut sinks: Vec<Tokens> =
                (0..3).map(|id| ask_with(&mut engine, id, vec![3, 1, 4, 1 + id as u32, 5], greedy)).collect();
            sinks.extend((3..5).map(|id| ask_with(&mut engine, id, vec![9, 2, 6], |_| {})));
            finish(&mut engine);
            let drafts = records.lock().unwrap().iter().fold([0; 2], |[all, right], record: &RequestRecord| {
                let Drafts { computed, accepted } = record.tokens.model_drafts;
                [all + computed, right + accepted]
            });
            (sinks.iter().map(|sink| taken(sink).0).collect::<Vec<_>>(), drafts)
        });
        let [(without, none), (by_itself, own), (by_other, others)] = answers;
        assert!(without == by_itself && without == by_other, "{toy:?}");
        assert!(
            none == [0; 2] && own[1] > 15 && others[0] > 0 && others[1] < others[0],
            "{toy:?}: {own:?}, {others:?}"
        );
    }
}

/// An adapter of every matrix that is multiplied with.
fn adapter(graph: &Graph, seed: u8) -> Arc<Adapter> {
    let mut state = u64::from(seed);
    let linear = |op: &Op| if let Op::Linear { weight } = op { Some(*weight) } else { None };
    let change = |weight| {
        let (shape, rank) = (graph.weight(weight).shape, 2);
        let mut random = |count: usize, size: f32| (0..count).map(|_| size * uniform(&mut state)).collect();
        (weight, Change { rank, a: random(rank * shape.cols, 0.2), b: random(rank * shape.rows, 0.4) })
    };
    let changes: Vec<_> = graph.nodes().iter().filter_map(|node| linear(&node.op)).map(change).collect();
    Arc::new(Adapter::new(graph, [seed; 32], changes).unwrap())
}

#[test]
fn sequences_with_adapters_say_what_they_say_alone() {
    let (graph, weights) = toy_model(&ToyConfig::default());
    let adapters = [None, Some(adapter(&graph, 1)), Some(adapter(&graph, 2))];
    let prompt: Vec<u32> = (0..13).map(|i| [5, 9, 11][i % 3]).collect();
    let submit = |engine: &mut Engine<_>, id: u64, adapter: &Option<Arc<Adapter>>| {
        let sink = Tokens::default();
        let continuations = vec![Continuation::new(Box::new(sink.clone()))];
        let mut request = Request::new(RequestId(id), Prompt::new(prompt.clone()).unwrap(), continuations);
        request.params = SamplingParams { seed: Some(7), logprobs: Some(4), ..SamplingParams::default() };
        request.params.logit_bias = [5, 9, 11].map(|token| (token, 20.0)).into();
        request.stop.max_tokens = 14;
        request.rows.adapter = adapter.clone();
        engine.submit(request, Duration::ZERO);
        sink
    };
    let new = |blocks, prefixes, max_draft| {
        drafting((&graph, upload(&Interpreter, &graph, &weights)), blocks, prefixes, (max_draft, Arc::default()))
    };
    let alone = adapters.each_ref().map(|adapter| {
        let mut engine = new(24, None, 0);
        let sink = submit(&mut engine, 0, adapter);
        finish(&mut engine);
        taken(&sink).0
    });
    assert!(alone[0] != alone[1] && alone[1] != alone[2] && alone.iter().all(|tokens| tokens.len() == 14));
    // Together, where drafts are computed, prefixes are found, and some give way.
    let mut engine = new(16, Some(Eviction::Lru), 6);
    let mut sinks = Vec::new();
    for id in 0..9 {
        sinks.push((id % 3, submit(&mut engine, id as u64, &adapters[id % 3])));
        engine.step(&|| Duration::ZERO);
    }
    finish(&mut engine);
    sinks.extend((9..12).map(|id| (id % 3, submit(&mut engine, id as u64, &adapters[id % 3]))));
    finish(&mut engine);
    for (i, sink) in &sinks {
        assert_eq!(taken(sink).0, alone[*i], "adapter {i}");
    }
}

#[test]
fn an_answer_that_is_expected_takes_few_steps() {
    let (graph, weights) = toy_model(&ToyConfig::default());
    let ask = |expected: &[u32]| {
        let (weights, records) = (upload(&Interpreter, &graph, &weights), Arc::default());
        let mut engine = drafting((&graph, weights), 24, None, (6, records));
        let sink = Tokens::default();
        let continuations = vec![Continuation::new(Box::new(sink.clone()))];
        let mut request = Request::new(RequestId(1), Prompt::new([3, 1, 4, 1, 5]).unwrap(), continuations);
        request.params.seed = Some(7);
        request.stop.max_tokens = 14;
        request.expected = expected.into();
        engine.submit(request, Duration::ZERO);
        finish(&mut engine);
        (taken(&sink).1, engine.stats().steps)
    };
    let (answer, steps) = ask(&[]);
    assert_eq!((answer.len(), steps), (14, 14));
    // A step for the prompt and the first token, then seven tokens a step.
    assert_eq!(ask(&answer), (answer.clone(), 3));
    // The seventh is another: two steps, then one by one until three are the same again.
    let nearly: Vec<u32> =
        answer.iter().enumerate().map(|(i, token)| if i == 6 { (token + 1) % 67 } else { *token }).collect();
    let (same, some) = ask(&nearly);
    assert!(same == answer && (4..9).contains(&some), "{some} steps");
    assert_eq!(ask(&[1, 2]).0, answer);
}

#[test]
fn preempted_sequences_say_what_undisturbed_ones_do() {
    let plain = ToyConfig::default();
    let toys = [
        ToyConfig { window: Some(6), softcap: Some(5.0), sinks: true, ..plain.clone() },
        ToyConfig { experts: Some((5, 2)), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Conv(4)), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Scan(2)), ..plain.clone() },
        plain,
    ];
    for toy in toys {
        let prompts = [(0, 5, 2), (1, 9, 1), (2, 3, 3), (3, 12, 1)];
        let mut crowded = engine(&toy, 12, Some(Eviction::Lru));
        let answers: Vec<_> = prompts.iter().map(|&(id, prompt, n)| submit(&mut crowded, id, prompt, n)).collect();
        assert!(finish(&mut crowded) > 3, "the cache is too large to tell anything");
        for ((id, prompt, n), answers) in prompts.into_iter().zip(answers) {
            let mut alone = engine(&toy, 64, None);
            let undisturbed = submit(&mut alone, id, prompt, n);
            assert_eq!(finish(&mut alone), 0);
            for (answer, undisturbed) in answers.iter().zip(&undisturbed) {
                let (answer, undisturbed) = (answer.0.lock().unwrap(), undisturbed.0.lock().unwrap());
                assert_eq!(answer.len(), 14);
                assert!(answer.iter().all(|token| token.logprob.is_some_and(f32::is_finite)));
                assert_eq!(*answer, *undisturbed, "request {id} of {toy:?}");
            }
        }
    }
}

/// What the sink got, and its tokens.
fn taken(tokens: &Tokens) -> (Vec<SampledToken>, Vec<u32>) {
    let tokens = std::mem::take(&mut *tokens.0.lock().unwrap());
    let ids = tokens.iter().map(|token| token.id).collect();
    (tokens, ids)
}

#[test]
fn a_conversation_that_goes_on_from_what_the_cache_kept_says_what_it_does_without() {
    let plain = ToyConfig::default();
    let toys = [
        ToyConfig { window: Some(6), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Conv(4)), ..plain.clone() },
        ToyConfig { recurrent: Some(ToyRecurrence::Scan(2)), ..plain.clone() },
        plain,
    ];
    for toy in &toys {
        let (mut keeping, mut forgetting) = (engine(toy, 24, Some(Eviction::Lru)), engine(toy, 24, None));
        converse(&mut keeping, &mut forgetting, &format!("{toy:?}"));
    }
}

/// Two engines of the same model, of which one keeps prefixes, say the same: in two turns of a conversation, and when they are
/// asked again what is long enough for its state to be kept within.
pub(crate) fn converse(
    keeping: &mut Engine<BackendExecutor<Interpreter>>,
    forgetting: &mut Engine<BackendExecutor<Interpreter>>,
    model: &str,
) {
    let mut same = |id: u64, prompt: &[u32]| {
        let answers = [&mut *keeping, &mut *forgetting].map(|engine| {
            let sinks = ask(engine, id, prompt.to_vec(), 2);
            finish(engine);
            sinks.iter().map(taken).collect::<Vec<_>>()
        });
        assert_eq!(answers[0], answers[1], "{model}, prompt {prompt:?}");
        assert!(answers[0].iter().all(|(tokens, _)| !tokens.is_empty()), "{model}");
        let found = (keeping.stats().found_tokens, forgetting.stats().found_tokens);
        (answers[0][0].1.clone(), found)
    };
    let mut prompt: Vec<u32> = vec![3, 1, 4, 1, 5];
    prompt.extend(same(0, &prompt).0);
    prompt.extend([9, 2, 6]);
    // The first turn had 5 + 14 tokens, the last of which nobody computed: four full blocks of four.
    assert_eq!(same(1, &prompt).1, (16, 0), "{model}");
    let long: Vec<u32> = (0..36).map(|i| (i * i + 3) % 17).collect();
    assert_eq!(same(2, &long).1, (16, 0), "{model}");
    let other: Vec<u32> = long[..34].iter().copied().chain([1, 2, 3]).collect();
    assert_eq!((same(3, &other).1, same(4, &long).1), ((48, 0), (80, 0)), "{model}");
}
