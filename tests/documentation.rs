//! What the program says of itself is what stands in docs, and what docs/quickstart.md shows works.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder by name; none if it is absent.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let read = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path()).expect("readable");
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    entries.map(read).collect()
}

#[test]
fn committed_help_is_what_the_program_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pages, markdown) = (folder.path().join("man"), folder.path().join("cli.md"));
    let mut man = Command::new(env!("CARGO_BIN_EXE_whinchat"));
    // What is set on this machine must not be in it.
    man.env("WHINCHAT_MODEL", "set here").env("COLUMNS", "40");
    assert!(
        man.arg("man").arg("--out").arg(&pages).arg("--markdown").arg(&markdown).status().expect("it runs").success()
    );
    let again = "differs from what the program says: run `cargo xtask docs`";
    let (written, committed) = (files(&pages), files(&root().join("docs/man")));
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&written), "docs/man {again}");
    for (name, text) in &written {
        assert!(committed.get(name) == Some(text), "docs/man/{name} {again}");
        assert!(text.starts_with(".ie") && text.contains(".SH SYNOPSIS"), "{name} is no manual page");
    }
    let committed = std::fs::read_to_string(root().join("docs/cli.md")).unwrap_or_default();
    assert!(committed == std::fs::read_to_string(&markdown).expect("written"), "docs/cli.md {again}");
}

#[test]
fn a_manual_page_is_printed() {
    let page = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_whinchat")).arg("man").args(args).stdin(Stdio::null()).output();
        let output = output.expect("it runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(page(&[]).0.contains("whinchat\\-chat(1)"));
    assert!(page(&["chat"]).0.contains("\\-\\-chat\\-template\\-kwargs"));
    assert!(page(&["chatter"]).1.contains("there is no command chatter; there are run, chat"));
}

/// The server of the quickstart, on a port of its own.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whinchat"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).env_remove("WHINCHAT_MODEL").env_remove("WHINCHAT_LOG");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("API ")).expect("it says where its API is");
        let (_, rest) = line.split_once("http://").expect("an address");
        let address = rest.trim_end_matches("/v1").to_owned();
        // What it says later must have a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The blocks of a page that are to be run, with their languages.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let marked = page.split("<!-- run -->\n```").skip(1);
    marked.filter_map(|rest| rest.split_once("\n```")?.0.split_once('\n')).collect()
}

/// Python with OpenAI's client, if there is one; WHINCHAT_PYTHON may name it.
fn python() -> Option<OsString> {
    let python = std::env::var_os("WHINCHAT_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(&python).args(["-c", "import openai"]).output();
    output.is_ok_and(|output| output.status.success()).then_some(python)
}

#[cfg(unix)]
#[test]
fn the_quickstart_works() {
    let page = std::fs::read_to_string(root().join("docs/quickstart.md")).expect("the page");
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let mut path = Path::new(env!("CARGO_BIN_EXE_whinchat")).parent().expect("a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let blocks = blocks(&page);
    assert!(blocks.len() >= 6, "{blocks:?}");
    for (language, text) in blocks {
        let text = text.replace("127.0.0.1:8000", &server.address);
        let mut command = match (language, python()) {
            ("python", Some(python)) => Command::new(python),
            ("python", None) => {
                eprintln!("skipped: no Python with openai (WHINCHAT_PYTHON names one)");
                continue;
            }
            _ if text.contains("curl") && Command::new("curl").arg("--version").output().is_err() => {
                eprintln!("skipped: there is no curl");
                continue;
            }
            _ => Command::new("sh"),
        };
        let flag = if language == "python" { "-c" } else { "-ec" };
        command.arg(flag).arg(&text).env("PATH", &path).env_remove("WHINCHAT_MODEL").current_dir(&folder);
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().len() > 3, "{text}\n{said}\n{errors}");
        assert!(!said.contains(r#""error""#), "{text}\n{said}");
    }
}
