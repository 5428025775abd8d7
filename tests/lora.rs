//! LoRA adapters beside a model, as people use them: what a merged model says, on the command line and over HTTP.
#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Server, program, root};

const PROMPT: &str = "The cat";

/// An adapter of the small model as PEFT saves it, in a folder of its own: of all layers' queries, values and last matrices.
fn adapter(folder: &Path, name: &str, rank: usize) -> PathBuf {
    let out = folder.join(name);
    std::fs::create_dir(&out).expect("made");
    let config = json!({ "peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj", "v_proj", "down_proj"] });
    std::fs::write(out.join("adapter_config.json"), config.to_string()).expect("written");
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut tensor = |name: String, dims: [usize; 2], size: f32| {
        let start = data.len();
        let number = |i: usize| size * ((i * i * 31 + i * 17 + name.len() * rank) % 23) as f32 / 11.0 - size;
        data.extend((0..dims[0] * dims[1]).flat_map(|i| number(i).to_le_bytes()));
        header.insert(name, json!({ "dtype": "F32", "shape": dims, "data_offsets": [start, data.len()] }));
    };
    for layer in 0..2 {
        for (module, rows, cols) in
            [("self_attn.q_proj", 96, 48), ("self_attn.v_proj", 32, 48), ("mlp.down_proj", 48, 80)]
        {
            let stem = format!("base_model.model.model.layers.{layer}.{module}");
            tensor(format!("{stem}.lora_A.weight"), [rank, cols], 0.2);
            tensor(format!("{stem}.lora_B.weight"), [rows, rank], 0.3);
        }
    }
    let header = Value::Object(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    std::fs::write(out.join("adapter_model.safetensors"), file).expect("written");
    out
}

fn tiny() -> String {
    root().join("tests/data/tiny").display().to_string()
}

/// What a run says, or why it fails.
fn run(args: &[&str]) -> Result<String, String> {
    let output = program().args(args).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn says(more: &[&str]) -> Result<String, String> {
    run(&[&["run", "--raw", "--temperature", "0", "-n", "16", PROMPT], more].concat())
}

/// What the model says that an adapter is merged into.
fn merged(folder: &Path, adapter: &Path) -> String {
    let out = folder.join("merged.gguf").display().to_string();
    let adapter = adapter.display().to_string();
    run(&["convert", &tiny(), "--lora", &adapter, "--out", &out, "--type", "f32", "--force"]).expect("merged");
    says(&["--model", &out]).expect("it runs")
}

#[test]
fn the_command_line_answers_with_an_adapter() {
    let folder = tempfile::tempdir().expect("a folder");
    let tone = adapter(folder.path(), "tone", 2);
    let path = tone.display().to_string();
    let plain = says(&["--model", &tiny()]).expect("it runs");
    let adapted = says(&["--model", &tiny(), "--lora", &path]).expect("it runs");
    assert_eq!(adapted, merged(folder.path(), &tone));
    assert_ne!(adapted, plain);
    let bench =
        ["bench", "--model", &tiny(), "--prompt", "8", "--generate", "2", "--batch", "3", "--json", "--lora", &path];
    let bench: Value = serde_json::from_str(&run(&bench).expect("it runs")).expect("JSON");
    assert!(bench["decode_tok_s"].as_f64().is_some_and(|rate| rate > 0.0), "{bench}");
    for (args, expected) in [
        (
            ["--model", &tiny(), "--lora", "/nowhere"],
            "/nowhere: file: does not exist; give the folder of a PEFT adapter or a GGUF file",
        ),
        (["--model", "whinchat-demo", "--lora", &path], "take the adapter's own base model"),
    ] {
        let error = says(&args).expect_err(expected);
        assert!(error.contains(expected), "{error}\n does not say\n{expected}");
    }
}

#[test]
fn a_server_answers_with_adapters_that_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let [tone, other] = [("tone", 2), ("other", 3)].map(|(name, rank)| adapter(folder.path(), name, rank));
    let line = |text: String| text.trim_end_matches('\n').to_owned();
    let plain = line(says(&["--model", &tiny()]).expect("it runs"));
    let [toned, othered] = [&tone, &other].map(|adapter| line(merged(folder.path(), adapter)));
    assert!(plain != toned && toned != othered);
    let server = Server::tiny(&["--admin", "--lora", &format!("tone={}", tone.display())]);
    let ask = |model: &str| {
        let body = json!({ "model": model, "prompt": PROMPT, "max_tokens": 16, "temperature": 0 }).to_string();
        let (status, body) = server.fetch("POST /v1/completions", &[], body.as_bytes());
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        (status, body["choices"][0]["text"].as_str().map(str::to_owned))
    };
    let check = |model: &str, said: Option<&String>| {
        assert_eq!(ask(model), (said.map_or(404, |_| 200), said.cloned()), "{model}");
    };
    check("tiny:tone", Some(&toned));
    check("tiny:other", None);
    let models = |args: &[&str]| {
        let url = format!("http://{}", server.address);
        run(&[&["models", "--server", &url][..], args].concat()).expect("it is done")
    };
    let said = models(&["lora", "tiny", &format!("other={}", other.display())]);
    assert!(said.contains("tiny has its adapters"), "{said}");
    // All at once, in the same batches.
    std::thread::scope(|scope| {
        let all = [("tiny", &plain), ("tone", &toned), ("tiny:other", &othered)];
        let clients = (0..9).map(|i| scope.spawn(move || check(all[i % 3].0, Some(all[i % 3].1))));
        clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().expect("it is answered"));
    });
    models(&["lora", "tiny", "tone="]);
    check("tiny:tone", None);
    check("other", Some(&othered));
    check("tiny", Some(&plain));
}

#[test]
fn a_server_does_not_start_without_its_adapters() {
    for (lora, expected) in [
        ("tone=/nowhere", "The adapter tone was not loaded: /nowhere: file: does not exist"),
        ("tone", "expected NAME=PATH with = between"),
        ("a:b=/nowhere", "expected a name without : and @"),
    ] {
        let error = run(&["serve", "--listen", "127.0.0.1:0", "--model", &tiny(), "--lora", lora]).expect_err(expected);
        assert!(error.contains(expected), "{error}\n does not say\n{expected}");
    }
}
