//! Encoders, Qwen3-Embedding and Qwen3-Reranker through the library: vectors and scores are those of sentence-transformers
//! (xtask/goldens/encoder_texts.py) and of the models' makers (xtask/goldens/qwen3_texts.py), whatever shares a batch.

use std::path::{Path, PathBuf};

use answer::{LoadedModel, Pair, PromptText};
use lab::ConvertOptions;
use model::WeightType;
use serde_json::{Value, json};
use whinchat::{CacheOptions, GenerateOptions, KvType, LoadOptions, Model, TemplateChoice};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

fn model(name: &str) -> Model {
    loaded(&folder(name), LoadOptions::default())
}

fn loaded(files: &Path, options: LoadOptions) -> Model {
    let cache = CacheOptions { kv_type: KvType::F32, ..CacheOptions::default() };
    let options = LoadOptions { cache, ..options };
    Model::load_with(files, &options, &|_, _, _| {}).unwrap_or_else(|e| panic!("{}: {e}", files.display()))
}

/// A fixture as `convert` writes it, in F32.
fn converted(name: &str, into: &Path) -> PathBuf {
    let out = into.join(format!("{name}.gguf"));
    let checkpoint = whinchat::open(folder(name), &|_, _, _| {}).expect("the fixture");
    let options = ConvertOptions { weights: WeightType::parse("F32").expect("a type"), ..ConvertOptions::new(&out) };
    lab::convert(&checkpoint, &options, &|_, _, _| {}).unwrap_or_else(|e| panic!("{name}: {e}"));
    out
}

fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(folder(name).join("expected.json")).expect("the fixture");
    serde_json::from_str(&text).expect("JSON")
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

/// Rounding of rows to BF16, which weights of safetensors are stored in.
const ROUNDED: f64 = 4e-3;
/// Sums in another order.
const EXACT: f64 = 2e-5;

/// Whether the numbers are those, within what is told.
fn check(what: &str, within: f64, numbers: &[f32], wanted: &Value) {
    let wanted: Vec<f64> = wanted.as_array().expect("numbers").iter().filter_map(Value::as_f64).collect();
    assert_eq!(numbers.len(), wanted.len(), "{what}");
    let worst = numbers.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).max_by(f64::total_cmp);
    assert!(worst.is_some_and(|worst| worst < within), "{what}: off by {worst:?}");
}

#[test]
fn texts_have_the_vectors_of_sentence_transformers() {
    let into = tempfile::tempdir().expect("a folder");
    check_texts(&folder("encoder"), ROUNDED);
    // Its weights are not BF16 there.
    check_texts(&converted("encoder", into.path()), ROUNDED);
}

fn check_texts(files: &Path, within: f64) {
    let (model, expected) = (loaded(files, LoadOptions::default()), expected("encoder"));
    let texts = strings(&expected["texts"]);
    let vectors = model.embed(&texts, None).expect("vectors");
    assert_eq!(vectors.len(), texts.len());
    for (i, (text, vector)) in texts.iter().zip(&vectors).enumerate() {
        check(text, within, vector, &expected["vectors"][i]);
        assert_eq!(*vector, model.embed(&[text], None).expect("a vector")[0], "{text}: alone");
    }
    let refused = model.generate("The whinchat", &GenerateOptions::max_tokens(4)).expect_err("it writes nothing");
    assert!(refused.to_string().contains("writes no text"), "{refused}");
    // The last text has more tokens than its makers let one have.
    let loaded = model.into_loaded();
    let prompts: Vec<PromptText> = texts.iter().map(|text| PromptText::Text((*text).to_owned())).collect();
    let tokens = loaded.embedding_tokens("texts", &prompts, (None, None)).expect("tokens");
    let cut: Vec<(usize, bool)> = tokens.iter().map(|text| (text.ids.len(), text.cut)).collect();
    assert_eq!(cut.last(), Some(&(24, true)), "{cut:?}");
    assert!(cut[..cut.len() - 1].iter().all(|(_, cut)| !cut), "{cut:?}");
}

#[test]
fn pairs_have_the_scores_of_sentence_transformers() {
    let into = tempfile::tempdir().expect("a folder");
    check_pairs(&folder("reranker"));
    check_pairs(&converted("reranker", into.path()));
}

fn check_pairs(files: &Path) {
    let (loaded, expected) = (loaded(files, LoadOptions::default()).into_loaded(), expected("reranker"));
    let pairs: Vec<Vec<&str>> = expected["pairs"].as_array().expect("pairs").iter().map(strings).collect();
    let pairs: Vec<Pair> =
        pairs.iter().map(|pair| Pair { query: pair[0], document: pair[1], instruction: None }).collect();
    let tokens = loaded.pair_tokens(&pairs).expect("tokens");
    assert_eq!(tokens.cut().collect::<Vec<_>>(), [2]);
    let scores = pollster::block_on(loaded.judge(tokens).expect("a judge")).expect("scores");
    check("scores", ROUNDED, &scores, &expected["scores"]);
}

/// A model of Qwen3 makes the vectors that its makers do, and cuts what is longer than it reads.
fn check_vectors(files: &Path, within: f64) {
    let (model, expected) = (loaded(files, LoadOptions::default()), expected("qwen3-embedding"));
    let (what, texts) = (files.display(), strings(&expected["texts"]));
    let vectors = model.embed(&texts, None).expect("vectors");
    for (i, (text, vector)) in texts.iter().zip(&vectors).enumerate() {
        check(&format!("{what}: {text}"), within, vector, &expected["vectors"][i]);
        assert_eq!(*vector, model.embed(&[text], None).expect("a vector")[0], "{what}: {text}: alone");
        let short = answer::normalized(vector.clone(), Some(8));
        // What they have in common is longer.
        check(&format!("{what}: {text}: 8 numbers"), 2.0 * within, &short, &expected["first8"][i]);
    }
    let loaded = model.into_loaded();
    let prompts: Vec<PromptText> = texts.iter().map(|text| PromptText::Text((*text).to_owned())).collect();
    let tokens = loaded.embedding_tokens("texts", &prompts, (None, None)).expect("tokens");
    let counts: Vec<usize> = tokens.iter().map(|text| text.ids.len()).collect();
    assert_eq!(json!(counts), expected["tokens"], "{what}");
    let cut: Vec<bool> = tokens.iter().map(|text| text.cut).collect();
    assert_eq!(cut, [false, false, false, false, true], "{what}");
}

#[test]
fn embeddings_of_qwen3_are_those_of_its_makers() {
    let into = tempfile::tempdir().expect("a folder");
    check_vectors(&folder("qwen3-embedding"), ROUNDED);
    check_vectors(&folder("qwen3-embedding.gguf"), EXACT);
    check_vectors(&converted("qwen3-embedding", into.path()), EXACT);
}

/// The scores of the pairs of a fixture, and which of them are cut.
fn scores(loaded: &LoadedModel, expected: &Value, instruction: Option<&str>) -> (Vec<usize>, Vec<usize>, Vec<f32>) {
    let pairs: Vec<Vec<&str>> = expected["pairs"].as_array().expect("pairs").iter().map(strings).collect();
    let pairs: Vec<Pair> = pairs.iter().map(|pair| Pair { query: pair[0], document: pair[1], instruction }).collect();
    let tokens = loaded.pair_tokens(&pairs).unwrap_or_else(|e| panic!("{}", e.message));
    let (counts, cut) = (tokens.texts.iter().map(|text| text.ids.len()).collect(), tokens.cut().collect());
    (counts, cut, pollster::block_on(loaded.judge(tokens).expect("a judge")).expect("scores"))
}

/// A reranker of Qwen3 gives the scores that its makers do, of prompts of as many tokens, and cuts what is longer than it reads.
fn check_ranking((what, within): (&str, f64), name: &str, model: Model) {
    let (expected, loaded) = (expected(name), model.into_loaded());
    let (counts, cut, found) = scores(&loaded, &expected, None);
    assert_eq!((json!(counts), cut), (expected["tokens"].clone(), vec![4]), "{what}");
    check(what, within, &found, &expected["scores"]);
    let (.., other) = scores(&loaded, &expected, expected["instruction"].as_str());
    check(&format!("{what}: instructed"), within, &other[..1], &json!([expected["instructed"]]));
}

/// What templates of Qwen3 make of plain messages.
const CHAT: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                    {% if add_generation_prompt %}<|im_start|>assistant\n\
                    {% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}";

#[test]
fn scores_of_qwen3_are_those_of_its_makers() {
    let into = tempfile::tempdir().expect("a folder");
    let (plain, head) = ("qwen3-reranker", "qwen3-reranker-seq-cls");
    check_ranking(("safetensors", ROUNDED), plain, model(plain));
    check_ranking(("a head of one label", ROUNDED), head, model(head));
    // Whose head has the rows of yes and no, and whose prompt is a template of its own.
    check_ranking(("llama.cpp's", EXACT), plain, model("qwen3-reranker.gguf"));
    let [plain_file, head_file] = [plain, head].map(|name| converted(name, into.path()));
    check_ranking(("converted", EXACT), plain, loaded(&plain_file, LoadOptions::default()));
    check_ranking(("a head, converted", EXACT), head, loaded(&head_file, LoadOptions::default()));
    // Files of before had Qwen3's template for chats.
    let template = into.path().join("chat.jinja");
    std::fs::write(&template, CHAT).expect("written");
    let llama_cpp = folder("qwen3-reranker.gguf");
    for (name, file) in [(plain, &plain_file), (head, &head_file), (plain, &llama_cpp)] {
        let chat_template = Some(TemplateChoice::open(&template).expect("sound"));
        let options = LoadOptions { chat_template, ..LoadOptions::default() };
        check_ranking((&format!("{}, in a chat", file.display()), EXACT), name, loaded(file, options));
    }
}

#[test]
fn what_ranks_writes_nothing_and_says_what_it_cannot() {
    for name in ["qwen3-reranker.gguf", "qwen3-reranker-seq-cls"] {
        let refused =
            model(name).generate("The whinchat", &GenerateOptions::max_tokens(4)).expect_err("it writes nothing");
        assert!(refused.to_string().contains("writes no text"), "{name}: {refused}");
    }
    let short = LoadOptions { context: Some(48), ..LoadOptions::default() };
    let pair = [Pair { query: "birds", document: "It flies.", instruction: None }];
    let refused = loaded(&folder("qwen3-reranker"), short).into_loaded().pair_tokens(&pair).expect_err("no room");
    assert!(refused.message.contains("raise --context"), "{}", refused.message);
}

/// A copy of a fixture.
fn copied(name: &str) -> tempfile::TempDir {
    let into = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(folder(name)).expect("the fixture").map(|file| file.expect("a file")) {
        std::fs::copy(file.path(), into.path().join(file.file_name())).expect("it is copied");
    }
    into
}

#[test]
fn tokens_that_files_name_are_the_answers() {
    let into = copied("qwen3-reranker");
    let scores = |config: Value| {
        std::fs::create_dir_all(into.path().join("1_LogitScore")).expect("a folder");
        std::fs::write(into.path().join("1_LogitScore/config.json"), config.to_string()).expect("written");
        let loaded = loaded(into.path(), LoadOptions::default()).into_loaded();
        let tokens = loaded.pair_tokens(&[Pair { query: "a", document: "b", instruction: None }]).expect("tokens");
        loaded.judge(tokens).map(|scores| pollster::block_on(scores).expect("scores")[0]).map_err(|why| why.message)
    };
    let tokenizer = model("qwen3-reranker").tokenizer().clone();
    let [yes, no] = ["yes", "no"].map(|word| tokenizer.id(word).expect("a token"));
    let usual = scores(json!({ "true_token_id": yes, "false_token_id": no })).expect("a score");
    let turned = scores(json!({ "true_token_id": no, "false_token_id": yes })).expect("a score");
    assert!((usual - 0.5).abs() > 1e-3 && (usual + turned - 1.0).abs() < 1e-5, "{usual} {turned}");
    let [one, other] =
        [yes, no].map(|id| scores(json!({ "true_token_id": id, "false_token_id": null })).expect("a score"));
    let logit = |score: f32| (score / (1.0 - score)).ln();
    assert!((logit(one) - logit(other) - logit(usual)).abs() < 1e-3, "{one} {other} {usual}");
    let why = scores(json!({ "true_token_id": 100_000 })).expect_err("it has no such token");
    assert!(why.contains("1_LogitScore"), "{why}");
}

#[test]
fn labels_say_which_number_is_yes() {
    let into = copied("qwen3-reranker-seq-cls");
    let check = |labels: Value, expected: Result<(), &str>| {
        let weights = std::fs::read(folder("qwen3-reranker-seq-cls/model.safetensors")).expect("weights");
        std::fs::write(into.path().join("model.safetensors"), doubled(&weights)).expect("written");
        let config = folder("qwen3-reranker-seq-cls/config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(config).expect("a file")).expect("JSON");
        config["id2label"] = labels;
        std::fs::write(into.path().join("config.json"), config.to_string()).expect("written");
        let loaded = loaded(into.path(), LoadOptions::default()).into_loaded();
        let tokens = loaded.pair_tokens(&[Pair { query: "a", document: "b", instruction: None }]).expect("tokens");
        let found = loaded.judge(tokens).map(|scores| pollster::block_on(scores).expect("scores"));
        match (found, expected) {
            // Yes is as likely as no.
            (Ok(found), Ok(())) => assert!((found[0] - 0.5).abs() < 1e-6, "{found:?}"),
            (Err(why), Err(part)) => assert!(why.message.contains(part), "{}", why.message),
            (found, _) => panic!("{:?}", found.map_err(|why| why.message).err()),
        }
    };
    check(json!({ "0": "no", "1": "Yes" }), Ok(()));
    check(json!({ "0": "good", "1": "bad" }), Err("has 2 labels"));
}

/// The weights with a head of two labels, both of whose rows are that of the one.
fn doubled(file: &[u8]) -> Vec<u8> {
    let (len, rest) = file.split_first_chunk().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let mut header: Value = serde_json::from_slice(header).expect("JSON");
    let [start, end] = [0, 1].map(|i| header["score.weight"]["data_offsets"][i].as_u64().expect("a place") as usize);
    let more = [&data[start..end], &data[start..end]].concat();
    header["score.weight"]["shape"][0] = json!(2);
    header["score.weight"]["data_offsets"] = json!([data.len(), data.len() + more.len()]);
    // Where the one was is nothing any more.
    header["unused"] = json!({ "dtype": "BF16", "shape": [(end - start) / 2], "data_offsets": [start, end] });
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data, &more].concat()
}
