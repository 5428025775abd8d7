//! The library as people `cargo add` it, on the small model in tests/data.

#[path = "../../../tests/support/predicting.rs"]
mod predicting;

use std::path::Path;
use std::sync::{Arc, Mutex};

use predicting::{eagle3, predicting};
use serde_json::Value;
use whinchat::{
    CacheOptions, Cancel, Ending, Error, Event, GenerateOptions, Generation, InferRequest, Inference, Input, KvType,
    LoadOptions, Model, Observer, Pooling, Reason, Sampling, SavedPrefix,
};

fn folder() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny").display().to_string()
}

fn model() -> Model {
    Model::load(folder()).expect("the fixture loads")
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { sampling: Sampling::greedy(), ..GenerateOptions::max_tokens(max_tokens) }
}

fn begin(model: &Model, prompt: &str, options: &GenerateOptions) -> Generation {
    model.begin(&options.ask(Input::text(prompt))).expect("a generation")
}

/// Prompts with what transformers generates for them greedily.
fn cases() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(&folder()).join("expected.json")).expect("the fixture");
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    let cases = expected["cases"].as_array().expect("cases").iter();
    let plain = cases.filter(|case| case["prompt"] != "@chat");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    plain.map(|case| (text(&case["prompt"]), text(&case["text"]))).collect()
}

async fn collect(mut generation: Generation) -> (String, Reason) {
    let mut text = String::new();
    loop {
        match generation.next_event().await.expect("it ends with Finished").expect("no error") {
            Event::Text { text: more, .. } => text += &more,
            Event::Finished { reason, .. } => return (text, reason),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn generate_and_stream_give_what_transformers_does() {
    let model = model();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (prompt, wanted) in cases() {
        assert_eq!(model.generate(&prompt, &greedy(24)).expect("an answer"), wanted, "{prompt}");
        let streamed = runtime.block_on(collect(begin(&model, &prompt, &greedy(24))));
        assert_eq!(streamed, (wanted, Reason::Length), "{prompt}");
    }
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let model = model();
    let (prompt, whole) = cases().remove(0);
    let middle: String = whole.chars().skip(8).take(3).collect();
    let mut options = greedy(24);
    options.ending.strings = vec![middle.clone()];
    // Iterating blocks for each event.
    let events: Vec<Event> = begin(&model, &prompt, &options).map(|event| event.expect("no error")).collect();
    let Some((Event::Finished { reason, .. }, rest)) = events.split_last() else { panic!("{events:?}") };
    let text: String =
        rest.iter().map(|e| if let Event::Text { text, .. } = e { text.as_str() } else { panic!("{e:?}") }).collect();
    assert_eq!(Some(text.as_str()), whole.split(&middle).next());
    assert_eq!(*reason, Reason::Stop);
}

#[test]
fn mistakes_are_said_before_anything_runs() {
    let model = model();
    let long = "a b c d e f ".repeat(200);
    let refused = |prompt: &str| match model.generate(prompt, &greedy(4)) {
        Err(Error::Request(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(&long).contains("context of 256"));
    assert!(matches!(Model::load("no/such/model.gguf"), Err(Error::Model(_))));
}

/// Many streams that are dropped leave room for the next one.
#[test]
fn dropping_a_stream_cancels_it() {
    let model = model();
    for _ in 0..200 {
        let ending = Ending { max_tokens: Some(200), ignore_eos: true, ..Ending::default() };
        drop(begin(&model, "The", &GenerateOptions { ending, ..greedy(200) }));
    }
    let (prompt, wanted) = cases().remove(1);
    assert_eq!(model.generate(&prompt, &greedy(24)).expect("an answer"), wanted);
}

#[test]
fn texts_have_the_vectors_of_transformers() {
    let text = std::fs::read_to_string(Path::new(&folder()).join("embeddings.json")).expect("the fixture");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let texts: Vec<&str> = cases.iter().map(|case| case["text"].as_str().expect("a text")).collect();
    let cache = CacheOptions { kv_type: KvType::F32, ..CacheOptions::default() };
    let options = LoadOptions { cache, ..LoadOptions::default() };
    let model = Model::load_with(folder(), &options, &|_, _, _| {}).expect("the fixture loads");
    for (name, pooling) in [("mean", Pooling::Mean), ("cls", Pooling::First), ("last", Pooling::Last)] {
        let vectors = model.embed(&texts, Some(pooling)).expect("vectors");
        for ((case, vector), text) in cases.iter().zip(&vectors).zip(&texts) {
            let wanted: Vec<f64> = case[name].as_array().expect("numbers").iter().filter_map(Value::as_f64).collect();
            assert_eq!(vector.len(), wanted.len(), "{name}, {text}");
            let far = vector.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(far < 2e-4, "{name}, {text}: {far}");
            assert_eq!(*vector, model.embed(&[text], Some(pooling)).expect("a vector")[0], "{name}, {text}: alone");
        }
    }
    assert_eq!(model.embed(&texts, None).expect("vectors"), model.embed(&texts, Some(Pooling::Last)).expect("vectors"));
    assert!(model.embed(&[""], None).is_ok(), "the begin of the sequence is a token");
}

/// A session goes from one model in memory to another one of the same weights, and changes no answer.
#[test]
fn a_session_is_restored_elsewhere() {
    let (old, new) = (model(), model());
    let prompt = "The whinchat sits on a fence and sings of the summer that has gone, and of the one that comes.";
    let infer = |model: &Model| {
        let asked = InferRequest::new(greedy(24).ask(Input::text(prompt)));
        match model.blocking().infer(asked, &Cancel::new()) {
            Inference::Success(done) => (done.answers[0].text.clone(), done.cached_tokens),
            other => panic!("{other:?}"),
        }
    };
    let (answer, cached) = infer(&old);
    let saved = old.save_session(&Input::text(prompt), None).expect("it has just been asked");
    assert!(cached == 0 && saved.tokens.len() >= 16, "{cached} {}", saved.tokens.len());
    let saved = SavedPrefix::from_bytes(&saved.to_bytes()).expect("undamaged");
    let tokens = saved.tokens.len();
    assert_eq!(new.restore_session(saved).expect("the same weights"), tokens);
    assert_eq!(infer(&new), (answer, tokens));
}

/// Hears how many tokens the drafts of a draft model or of the model's own layer had, and how many were right.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<[usize; 2]>>);

impl Observer for Heard {
    fn step(&mut self, _: &engine::StepReport) {}

    fn ended(&mut self, record: &engine::RequestRecord) {
        let mut sum = self.0.lock().expect("nobody panics");
        for engine::Drafts { computed, accepted } in [record.tokens.model_drafts, record.tokens.head_drafts] {
            *sum = [sum[0] + computed, sum[1] + accepted];
        }
    }
}

/// The model in this program drafts for itself: what it drafts is right, and its answers are the same, greedy or drawn.
#[test]
fn a_model_that_drafts_for_itself_is_right() {
    let heard = Heard::default();
    let [without, with] = [None, Some("whinchat-demo".into())].map(|draft_model| {
        let options = LoadOptions { draft_model, threads: Some(2), context: Some(256), ..LoadOptions::default() };
        let prepared = whinchat::prepare(whinchat::builtin().expect("it is in here"), &options).expect("it fits");
        assert_eq!(prepared.draft().is_some(), options.draft_model.is_some());
        assert_eq!(prepared.memory.draft_kv_pool > 0, options.draft_model.is_some());
        let model = Model::start_on(prepared.cpu(), &prepared, heard.clone(), &|_, _, _| {}).expect("it starts");
        let drawn = |seed| {
            let sampling = Sampling { seed: Some(seed), temperature: Some(0.8), ..Sampling::default() };
            GenerateOptions { sampling, ..GenerateOptions::max_tokens(48) }
        };
        let all = [greedy(48), drawn(1), drawn(2)];
        all.map(|options| model.answer("Tell me about birds.", &options).expect("an answer"))
    });
    assert_eq!(with, without);
    let [computed, accepted] = *heard.0.lock().expect("nobody panics");
    assert!(computed > 0 && accepted <= computed && 2 * accepted > computed, "{accepted} of {computed}");
}

#[test]
fn a_draft_model_has_the_same_vocabulary_and_writes_texts() {
    let refused = |draft: &Path, part: &str| {
        let options = LoadOptions { draft_model: Some(draft.into()), ..LoadOptions::default() };
        let checkpoint = whinchat::open(folder(), &|_, _, _| {}).expect("the fixture opens");
        let why = whinchat::prepare(checkpoint, &options).err().expect("it is refused").to_string();
        assert!(why.starts_with("--draft-model ") && why.contains(part), "{why}");
    };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    refused(&data.join("encoder"), "it cannot draft: it is an encoder");
    refused(Path::new("whinchat-demo"), " tokens, not 331; a draft model has the same tokenizer");
    // One that differs in one token.
    let copy = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(folder()).expect("the fixture").map(|file| file.expect("a file").path()) {
        std::fs::copy(&file, copy.path().join(file.file_name().expect("it has a name"))).expect("it is copied");
    }
    let path = copy.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&path).expect("it is there")).expect("JSON");
    let vocab = tokenizer["model"]["vocab"].as_object_mut().expect("a vocabulary");
    let (piece, id) =
        vocab.iter().max_by_key(|(_, id)| id.as_u64()).map(|(p, id)| (p.clone(), id.clone())).expect("one");
    vocab.remove(&piece);
    vocab.insert("qqqqq".into(), id.clone());
    let merges = tokenizer["model"]["merges"].as_array_mut().expect("merges");
    merges.retain(|merge| {
        !serde_json::to_string(merge).expect("text").replace(['"', ',', ' ', '[', ']'], "").contains(&piece)
    });
    std::fs::write(&path, tokenizer.to_string()).expect("it is written");
    refused(copy.path(), &format!("its token {id} is \"qqqqq\", not {piece:?}"));
}

/// A layer of the model's own or an EAGLE-3 head drafts for it: its answers are the same, greedy or drawn, alone and at once.
#[test]
fn heads_that_draft_change_no_answer() {
    let prompts =
        ["Tell me about birds.", "The whinchat sits on a fence and sings", "One", "Two and more words than before."];
    for (is_simple, by_layer) in [(true, true), (false, true), (true, false), (false, false)] {
        let (files, heard) = (predicting(Path::new(&folder()), is_simple), Heard::default());
        let head = eagle3(files.path());
        let source = if by_layer { whinchat::MTP.into() } else { head.path().to_owned() };
        let [without, with] = [None, Some(source)].map(|draft_model| {
            let drafts = draft_model.is_some();
            let options = LoadOptions { draft_model, threads: Some(2), context: Some(256), ..LoadOptions::default() };
            let checkpoint = whinchat::open(files.path(), &|_, _, _| {}).expect("it opens");
            let prepared = whinchat::prepare(checkpoint, &options).expect("it fits");
            let found = (prepared.drafts_itself(), prepared.memory.draft_kv_pool > 0);
            assert_eq!(found, (drafts && by_layer, drafts));
            // The embedding and the head of the layer are the model's.
            assert!(!by_layer || prepared.memory.draft_weights < prepared.memory.weights / 2, "{:?}", prepared.memory);
            let model = Model::start_on(prepared.cpu(), &prepared, heard.clone(), &|_, _, _| {}).expect("it starts");
            let options = |seed| {
                let sampling = Sampling { seed: Some(seed), temperature: Some(0.8), ..Sampling::default() };
                if seed == 0 { greedy(60) } else { GenerateOptions { sampling, ..GenerateOptions::max_tokens(60) } }
            };
            let one = |prompt: &&str, seed| model.generate(prompt, &options(seed)).expect("an answer");
            let alone: Vec<String> = prompts.iter().map(|prompt| one(prompt, 0)).collect();
            let at_once = std::thread::scope(|scope| {
                let asked = prompts.iter().zip(0..).map(|(prompt, seed)| scope.spawn(move || one(prompt, seed)));
                asked.collect::<Vec<_>>().into_iter().map(|one| one.join().expect("an answer")).collect::<Vec<_>>()
            });
            (alone, at_once)
        });
        assert_eq!(with, without);
        let [computed, accepted] = *heard.0.lock().expect("nobody panics");
        // How many are drafted depends on how long steps take.
        let enough = match (is_simple, by_layer) {
            (true, true) => computed > 0 && 10 * accepted > 9 * computed,
            // Of the first drafted token it is sure and right, of the second it is wrong.
            (true, false) => computed > 0 && 4 * accepted >= computed,
            (false, _) => accepted <= computed,
        };
        assert!(enough, "{is_simple}, {by_layer}: {accepted} of {computed}");
    }
}

#[test]
fn a_layer_that_predicts_ahead_is_refused_where_it_cannot_be() {
    let refused = |folder: &Path, change: fn(&mut LoadOptions), part: &str| {
        let mut options = LoadOptions { draft_model: Some(whinchat::MTP.into()), ..LoadOptions::default() };
        change(&mut options);
        let checkpoint = whinchat::open(folder, &|_, _, _| {}).expect("the fixture opens");
        let why = whinchat::prepare(checkpoint, &options).err().expect("it is refused").to_string();
        assert!(why.starts_with("--draft-model mtp: ") && why.contains(part), "{why}");
    };
    let files = predicting(Path::new(&folder()), true);
    let why =
        "has no layer that predicts ahead (`nextn`, `eh_proj` or `mtp.` in the names of its tensors): take files that";
    refused(Path::new(&folder()), |_| (), why);
    refused(&Path::new(&folder()).join("../encoder"), |_| (), "takes no drafts: it is an encoder");
    refused(files.path(), |options| options.engine.max_draft = 0, "--draft-tokens 0 drafts nothing");
    let kernel = |options: &mut LoadOptions| options.plan.isa = Some(kernels::Isa::Portable);
    refused(files.path(), kernel, "--kernel says how the model's kernels are chosen");
    let options = LoadOptions { draft_model: Some(whinchat::MTP.into()), ..LoadOptions::default() };
    let model = Model::load_with(files.path(), &options, &|_, _, _| {}).expect("it loads");
    let why = model.change_adapters(&[("a".into(), Some("adapter".into()))]).expect_err("it is refused").to_string();
    assert!(why.contains("reads its hidden states, beside which there are no adapters"), "{why}");
}
