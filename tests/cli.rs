//! The program as people run it: every subcommand on the small model in tests/data, and on real files where they are.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn tiny() -> String {
    root().join("tests/data/tiny").display().to_string()
}

/// A file of `../shared/assets`, or a line that says what is skipped.
fn shared(name: &str) -> Option<String> {
    let path = root().join("../shared/assets").join(name);
    if !path.exists() {
        eprintln!("skipped: ../shared/assets/{name} is absent");
    }
    path.exists().then(|| path.display().to_string())
}

fn whinchat(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

/// The program with no network, no input and no settings of who runs the tests.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command.args(args).env("HF_HUB_OFFLINE", "1").env_remove("WHINCHAT_MODEL").stdin(Stdio::null());
    command
}

/// What a run that succeeds prints; nothing else may be said when stderr is no terminal.
fn stdout(args: &[&str]) -> String {
    let output = whinchat(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn expected() -> Value {
    let text = std::fs::read_to_string(root().join("tests/data/tiny/expected.json")).expect("the fixture");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn run_prints_what_transformers_generates() {
    for case in expected()["cases"].as_array().expect("cases") {
        let prompt = case["prompt"].as_str().expect("a prompt");
        if prompt.starts_with('@') {
            continue;
        }
        let text = stdout(&["run", "--raw", "--model", &tiny(), "--temperature", "0", "-n", "24", prompt]);
        assert_eq!(text, line(&case["text"]), "{prompt}");
    }
}

#[test]
fn run_asks_a_model_that_chats_by_its_template() {
    let expected = expected();
    let said = |i: usize| expected["chat"]["messages"][i]["content"].as_str().expect("a text");
    let asked = ["run", "--model", &tiny(), "--temperature", "0", "-n", "24", "--system", said(0)];
    let wanted = line(&expected["cases"].as_array().and_then(|cases| cases.last()).expect("a case")["text"]);
    assert_eq!(stdout(&[&asked[..], &[said(1)]].concat()), wanted);
    assert_eq!(piped(&mut command(&asked), said(1)), wanted);
    assert_eq!(piped(command(&asked).arg("-"), said(1)), wanted);
    let echoed = |raw: &[&str]| stdout(&[&["run", "--model", &tiny(), "--echo", "-n", "1"], raw, &["hi"]].concat());
    assert!(!echoed(&[]).starts_with("hi") && echoed(&[]).contains("hi"));
    assert!(echoed(&["--raw"]).starts_with("hi"));
}

/// An answer as it is printed: it ends its line.
fn line(text: &Value) -> String {
    format!("{}\n", text.as_str().expect("a text"))
}

/// What the program prints when `input` is piped into it.
fn piped(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[cfg(unix)]
#[test]
fn alone_it_says_what_there_is_to_do() {
    let text = stdout(&[]);
    assert!(text.lines().count() <= 15, "{text}");
    let program = env!("CARGO_BIN_EXE_whinchat");
    for part in ["chat", "serve", "run", "--model", "help"] {
        assert!(text.lines().any(|line| line.contains(program) && line.contains(part)), "{part} is not in\n{text}");
    }
    // What needs no network and ends by itself does what it says, and so where the program is called by a relative path.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("bin")).expect("a folder");
    std::os::unix::fs::symlink(program, folder.path().join("bin/whinchat")).expect("a link");
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).current_dir(&folder).env_remove("WHINCHAT_MODEL").stdin(Stdio::null());
        let output = shell.output().expect("there is a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = shell("bin/whinchat");
    let line = |part: &str| {
        text.lines().find_map(|line| Some(line[line.find("bin/whinchat")?..].to_owned()).filter(|l| l.contains(part)))
    };
    assert!(shell(&line("help").expect("a line")).contains("Usage: whinchat"));
    let (run, _) = line("run \"")
        .expect("a line")
        .rsplit_once("   ")
        .map(|(run, what)| (run.to_owned(), what.to_owned()))
        .expect("a command and words");
    assert!(!shell(&run).is_empty());
}

/// Python's own pseudo-terminal plays the person.
#[cfg(unix)]
#[test]
fn alone_at_a_terminal_it_does_what_is_chosen() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3 to play the person at the terminal");
        return;
    }
    let mut python = Command::new("python3");
    python.arg(root().join("tests/welcome_terminal.py")).arg(env!("CARGO_BIN_EXE_whinchat"));
    let output = python.env_remove("WHINCHAT_MODEL").output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn without_a_model_the_built_in_one_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text.txt");
    std::fs::write(&text, "The whinchat is a bird. ".repeat(20)).expect("written");
    let (text, out) = (text.display().to_string(), folder.path().join("logits.npy").display().to_string());
    let commands: &[&[&str]] = &[
        &["run", "--temperature", "0", "-n", "8", "Who are you?"],
        &["chat"],
        &["inspect", "--memory"],
        &["tokenize", "--json", "Who are you?"],
        &["perplexity", "--context", "16", &text],
        &["logits", "--tokens", "1,2,3", "--out", &out],
        &["bench", "--prompt", "4", "--generate", "2", "--batch", "1"],
    ];
    for args in commands {
        let output = whinchat(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        assert_eq!(
            (said.matches("whinchat-demo").count(), said.matches("--model").count()),
            (1, 1),
            "{args:?}: {said}"
        );
        // By its name it was chosen: nothing need be said.
        let named = whinchat(&[args, &["--model", "whinchat-demo"][..]].concat());
        assert_eq!(String::from_utf8_lossy(&named.stderr), "", "{args:?}");
        if args[0] != "bench" {
            assert_eq!(named.stdout, output.stdout, "{args:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_before_the_built_in_model_of_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(
        root().join("tests/data/tiny").canonicalize().expect("it is there"),
        folder.path().join("whinchat-demo"),
    )
    .expect("a link");
    let check = |at: &Path, args: &[&str], environment: Option<&str>, tiny: bool| {
        let mut command = command(&[&["inspect", "--metadata"], args].concat());
        let output = command.current_dir(at).envs(environment.map(|model| ("WHINCHAT_MODEL", model))).output();
        let shown = String::from_utf8(output.expect("the program starts").stdout).expect("UTF-8");
        assert_eq!(shown.contains("hidden_size = 48"), tiny, "{args:?} {environment:?}: {shown}");
        assert_eq!(shown.contains("general.architecture"), !tiny, "{args:?} {environment:?}: {shown}");
    };
    let (here, elsewhere) = (folder.path(), &root());
    check(here, &[], None, false);
    check(here, &["whinchat-demo"], None, true);
    check(here, &["--model", "whinchat-demo"], None, true);
    check(elsewhere, &["whinchat-demo"], None, false);
    check(elsewhere, &[], Some(&tiny()), true);
    check(elsewhere, &[], Some("whinchat-demo"), false);
    check(elsewhere, &["--model", "whinchat-demo"], Some(&tiny()), false);
    check(elsewhere, &["whinchat-demo"], Some(&tiny()), false);
}

#[test]
fn tokenize_gives_the_ids_of_transformers() {
    for case in expected()["cases"].as_array().expect("cases") {
        let prompt = case["prompt"].as_str().expect("a prompt");
        if prompt.starts_with('@') {
            continue;
        }
        let line = stdout(&["tokenize", "--model", &tiny(), "--json", prompt]);
        let got: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(got["ids"], case["ids"], "{prompt}");
        assert_eq!(got["pieces"].as_array().map(Vec::len), case["ids"].as_array().map(Vec::len));
    }
    let bare: Value =
        serde_json::from_str(&stdout(&["tokenize", "--model", &tiny(), "--no-special", "--json", "a"])).expect("JSON");
    assert_eq!(bare["ids"].as_array().map(Vec::len), Some(1));
}

#[test]
fn logits_are_a_numpy_file_with_a_row_for_each_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("logits.npy").display().to_string();
    assert_eq!(stdout(&["logits", "--model", &tiny(), "--tokens", "0,304,294,322,274,273", "--out", &file]), "");
    let bytes = std::fs::read(&file).expect("written");
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && header.contains("'shape': (6, 331)"), "{header}");
    assert_eq!(bytes.len(), 128 + 6 * 331 * 4);
    let last: Vec<f32> =
        bytes[128 + 5 * 331 * 4..].chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let best = (0..331).max_by(|a, b| last[*a].total_cmp(&last[*b]));
    assert_eq!(best, expected()["cases"][0]["greedy"][0].as_u64().map(|id| id as usize));
}

#[test]
fn recurrent_models_are_measured_and_scored() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("logits.npy").display().to_string();
    // Longer than what is scored at once, so that the state is carried on.
    let tokens: Vec<String> = (0..100).map(|i| ((7 * i * i + 13 * i + 5) % 71).to_string()).collect();
    for name in ["gguf-qwen35", "gguf-lfm2", "gguf-granitehybrid", "gguf-mamba2"] {
        let model = root().join(format!("crates/model/tests/data/{name}.gguf")).display().to_string();
        let lines =
            stdout(&["bench", "--model", &model, "--prompt", "16", "--generate", "4", "--batch", "1,3", "--json"]);
        assert_eq!(lines.lines().count(), 2, "{name}: {lines}");
        let logits = |tokens: &[String]| {
            stdout(&["logits", "--model", &model, "--context", "100", "--tokens", &tokens.join(","), "--out", &out]);
            std::fs::read(&out).expect("written").split_off(128)
        };
        let (all, some) = (logits(&tokens), logits(&tokens[..70]));
        assert_eq!(all.len(), 100 * 71 * 4, "{name}");
        assert!(all[..some.len()] == some, "{name}: the first rows depend on what follows");
        assert!(all.chunks(4).all(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite()), "{name}");
    }
}

#[test]
fn perplexity_and_bench_print_one_json_object_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text.txt");
    std::fs::write(&text, "the bird sings over the sea. ".repeat(20)).expect("written");
    let text = text.display().to_string();
    let output = whinchat(&["perplexity", "--model", &tiny(), "--context", "32", "--json", &text]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout).expect("UTF-8");
    let got: Value = serde_json::from_str(&line).expect("JSON");
    assert!(got["perplexity"].as_f64().is_some_and(|p| p > 1.0), "{line}");
    let lines = stdout(&["bench", "--model", &tiny(), "--prompt", "16", "--generate", "4", "--batch", "1,3", "--json"]);
    let batches: Vec<u64> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .inspect(|v| {
            let rate = |key: &str| v[key].as_f64().is_some_and(|x| x > 0.0);
            assert!(rate("prefill_tok_s") && rate("decode_tok_s") && rate("peak_rss_bytes"), "{v}");
            assert_eq!((&v["prompt_tokens"], &v["generate_tokens"]), (&16.into(), &4.into()));
        })
        .filter_map(|v| v["batch"].as_u64())
        .collect();
    assert_eq!(batches, [1, 3]);
}

#[test]
fn inspect_shows_every_part() {
    let text = stdout(&["inspect", &tiny()]);
    for part in [
        "metadata",
        "hidden_size = 48",
        "tensors",
        "model.embed_tokens.weight",
        "memory",
        "KV cache",
        "graph",
        "attention",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn completions_name_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&["completions", shell]).contains("perplexity"), "{shell}");
    }
}

/// A run that must fail says so on stderr in one line that contains each of `parts`, and prints nothing.
fn check_error(args: &[&str], parts: &[&str]) {
    let output = whinchat(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
    for part in parts {
        assert!(stderr.contains(part), "{args:?}: {part} is not in\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
}

/// What a file calls itself reaches the terminal as text only.
#[test]
fn names_cannot_command_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("odd.gguf").display().to_string();
    stdout(&["convert", &tiny(), "--out", &file, "--name", "\u{1b}[31mred\u{7}\u{9b}1m\r\nx"]);
    let shown = stdout(&["inspect", &file]);
    assert!(shown.starts_with("[31mred  1m  x\n"), "{shown:.80}");
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
}

/// File systems know bytes, not text.
#[cfg(target_os = "linux")]
#[test]
fn paths_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join(OsStr::from_bytes(b"m\xff"));
    std::fs::create_dir(&copy).expect("a folder");
    for file in std::fs::read_dir(tiny()).expect("the fixture").flatten() {
        std::fs::copy(file.path(), copy.join(file.file_name())).expect("copied");
    }
    let written = copy.join(OsStr::from_bytes(b"\xfe.gguf"));
    let text = copy.join("tokenizer.json");
    let runs: [(&[&str], &[&OsStr]); 5] = [
        (&["inspect"], &[copy.as_os_str()]),
        (&["run", "x", "-n", "1", "--model"], &[copy.as_os_str()]),
        (&["convert"], &[copy.as_os_str(), OsStr::new("--out"), written.as_os_str()]),
        (&["inspect", "--model"], &[written.as_os_str()]),
        (&["perplexity", "--context", "16", "--model"], &[written.as_os_str(), text.as_os_str()]),
    ];
    for (args, more) in runs {
        let output = command(args).args(more).output().expect("the program starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A proxy of SOCKS 5 that hears a host's name and then plays a hub that knows no model.
#[test]
fn downloads_go_by_a_socks_proxy() {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = format!("socks5h://{}", listener.local_addr().expect("an address"));
    let played = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it connects");
        let mut take = |length: usize| {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).expect("it speaks");
            bytes
        };
        // RFC 1928: methods, then the address as a name.
        let methods = take(2)[1];
        take(methods.into());
        stream.write_all(&[5, 0]).expect("it reads");
        let mut take = |length: usize| {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).expect("it speaks");
            bytes
        };
        let head = take(5);
        assert_eq!(head[..4], [5, 1, 0, 3], "it asks for a name");
        let name = String::from_utf8(take(head[4].into())).expect("text");
        take(2);
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it asks");
            head.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").expect("it reads");
        (name, String::from_utf8(head).expect("text"))
    });
    let cache = tempfile::tempdir().expect("a folder");
    let mut command = command(&["inspect", "https://huggingface.co/org/name"]);
    for proxy in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "all_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(proxy);
    }
    command.env("ALL_PROXY", proxy).env("HF_ENDPOINT", "http://hub.example").env("HF_HOME", cache.path());
    let output = command.env_remove("HF_HUB_OFFLINE").env_remove("HF_HUB_CACHE").output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("http://hub.example has no org/name for you (HTTP 404)"), "{said}");
    let (name, head) = played.join().expect("no panic");
    assert!(name == "hub.example" && head.starts_with("GET /api/models/org/name/revision/main"), "{name}: {head}");
}

#[test]
fn mistakes_get_a_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let junk = folder.path().join("junk.gguf").display().to_string();
    std::fs::write(&junk, b"<html>not a model</html>").expect("written");
    check_error(&["run", "--model", "no/such/file.gguf", "x"], &["no/such/file.gguf"]);
    check_error(&["run", "--model", "org/name", "x"], &["org/name", "HF_HUB_OFFLINE"]);
    check_error(&["run", "--model", "https://example.com/m.gguf", "x"], &["no address of a model", "give its path"]);
    check_error(&["serve", "--port", "80"], &["--listen 127.0.0.1:80"]);
    check_error(&["serve", "--host", "0.0.0.0"], &["--listen 0.0.0.0:8000"]);
    check_error(&["serve", "--allowed-origins", "example.com"], &["\"example.com\" is no origin", "http://HOST:PORT"]);
    check_error(&["serve", "--listen", "unix:/no/such/folder/x"], &["unix:/no/such/folder/x", "a folder that exists"]);
    check_error(&["run", "--model", &junk, "x"], &["junk.gguf"]);
    check_error(&["run", "--model", &tiny(), "--temperature", "-1", "x"], &["--temperature"]);
    check_error(&["run", "--model", &tiny(), "--context", "4", "--raw", "The whinchat"], &["6 tokens", "--context"]);
    check_error(&["logits", "--model", &tiny(), "--tokens", "1,999", "--out", &junk], &["999", "330"]);
    check_error(&["perplexity", "--model", &tiny(), &junk], &["tokens", "--context 512"]);
    check_error(&["serve", "--model", &tiny(), "--listen", "nowhere"], &["nowhere"]);
    check_error(&["run", "--model", "", "x"], &["name is empty", "whinchat-demo"]);
    check_error(&["run", "--model", &tiny(), ""], &["message is empty", "--raw"]);
    check_error(&["run", "--model", "./whinchat-demo", "x"], &["./whinchat-demo"]);
    check_error(&["run", "--model", &tiny(), "-n", "-1", "x"], &["--max-tokens"]);
    check_error(&["run", "--model", &tiny(), "--threads", "0", "x"], &["--threads", "1..=1024"]);
    check_error(&["run", "--model", &tiny(), "--threads", "60000", "x"], &["--threads", "1..=1024"]);
    check_error(&["bench", "--model", &tiny(), "--batch", "0"], &["--batch"]);
    check_error(&["perplexity", "--model", &tiny(), "--chunks", "0", &junk], &["--chunks"]);
    let nowhere = folder.path().join("none/logits.npy").display().to_string();
    check_error(&["logits", "--model", &tiny(), "--tokens", "1", "--out", &nowhere], &["none/logits.npy"]);
}

#[test]
fn a_vocabulary_alone_tokenizes_and_a_damaged_one_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokenizer.json");
    std::fs::copy(root().join("tests/data/tiny/tokenizer.json"), &file).expect("copied");
    let alone = [folder.path().display().to_string(), file.display().to_string()];
    let whole = stdout(&["tokenize", "--model", &tiny(), "--no-special", "--json", "The whinchat"]);
    for path in &alone {
        assert_eq!(stdout(&["tokenize", "--model", path, "--no-special", "--json", "The whinchat"]), whole);
    }
    std::fs::write(&file, r#"{"model": {"type": "BPE", "vocab": 5}}"#).expect("written");
    for path in &alone {
        check_error(
            &["tokenize", "--model", path, "x"],
            &["tokenizer.json: model.vocab: is not an object; take another"],
        );
    }
    check_error(&["run", "--model", &alone[0], "x"], &["only a vocabulary"]);
}

#[test]
fn every_subcommand_tells_its_options() {
    let all = ["run", "chat", "serve", "inspect", "eval", "perplexity", "tokenize", "logits", "bench", "completions"];
    for command in all {
        assert!(stdout(&[command, "--help"]).contains(&format!("Usage: whinchat {command}")), "{command}");
    }
    assert!(stdout(&["perplexity", "--help"]).contains("[default: 512]"));
}

#[test]
fn chat_answers_each_line_of_a_pipe() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    command.args(["chat", "--model", &tiny(), "--temperature", "0", "-n", "24", "--system", "Be brief. "]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let asked = expected()["chat"]["messages"][1]["content"].as_str().map(str::to_owned).expect("a message");
    write!(child.stdin.take().expect("piped"), "{asked}\n/clear\n{asked}\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let cases = expected()["cases"].clone();
    let wanted =
        cases.as_array().and_then(|cases| cases.last()).and_then(|case| case["text"].as_str()).expect("a case");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{wanted}\n{wanted}\n"));
}

/// Python's own pseudo-terminal plays the person.
#[cfg(unix)]
#[test]
fn chat_at_a_terminal_edits_remembers_and_stops() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3 to play the person at the terminal");
        return;
    }
    let state = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("python3");
    command
        .arg(root().join("tests/chat_terminal.py"))
        .args([env!("CARGO_BIN_EXE_whinchat"), &tiny()])
        .arg(state.path());
    let output = command.output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn stories260k_decodes_greedily_as_its_makers_do() {
    let (Some(model), Some(wanted)) = (shared("models/stories260K.gguf"), shared("models/stories260K.greedy200.txt"))
    else {
        return;
    };
    let text = stdout(&["run", "--model", &model, "--temperature", "0", "-n", "200", ""]);
    assert_eq!(text, std::fs::read_to_string(wanted).expect("readable") + "\n");
}
