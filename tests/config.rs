//! The configuration of `whinchat serve` as an operator meets it: a file, checked and shown, and changed while the server runs.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{Server, program, root};

/// Runs `whinchat config` with these arguments in `folder`; what it says, and whether it is content.
fn config(folder: &Path, args: &[&str]) -> (bool, String) {
    let output = program().arg("config").args(args).current_dir(folder).output().expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("text"))
}

#[test]
fn a_file_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |text: &str, valid: bool, wanted: &str| {
        std::fs::write(folder.path().join("w.yaml"), text).expect("written");
        assert_eq!(config(folder.path(), &["check", "w.yaml"]), (valid, wanted.to_owned()));
    };
    check("engine:\n  max_sequences: 8\n", true, "w.yaml is valid (settings: 1, profile: development)\n");
    check("", true, "w.yaml is valid (settings: 0, profile: development)\n");
    check(
        "engine:\n  max_sequence: 8\nlog: {filter: a=b}\n",
        false,
        "error: w.yaml:2:3: engine.max_sequence: there is no such setting; did you mean max_sequences?\n  \
         2 |   max_sequence: 8\n    |   ^^^^^^^^^^^^\n",
    );
    check(
        "network:\n  allowed_origins: [example.com]\n",
        false,
        "error: w.yaml:2:20: network.allowed_origins: \"example.com\" is no origin: write http://HOST:PORT, \
         https://*.DOMAIN, null or *\n",
    );
    assert!(config(folder.path(), &["check", "none.yaml"]).1.contains("cannot read none.yaml"));
}

#[test]
fn what_holds_is_shown_with_its_origin() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("w.yaml"), "engine:\n  max_sequences: 8\n  pin: true\n").expect("written");
    let (ok, shown) = config(folder.path(), &["show", "--config", "w.yaml", "--max-sequences", "9"]);
    assert!(ok, "{shown}");
    for line in
        ["  max_sequences: 9  # --max-sequences", "  pin: true  # w.yaml:3:8", "  max_batch_tokens: 512  # default"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    std::fs::write(folder.path().join("again.yaml"), &shown).expect("written");
    assert!(config(folder.path(), &["check", "again.yaml"]).0, "what is shown is a file");
}

#[test]
fn the_schema_is_the_one_of_the_documents() {
    let (ok, schema) = config(&root(), &["schema"]);
    let documented = std::fs::read_to_string(root().join("docs/configuration.schema.json")).expect("it is there");
    assert!(ok && schema == documented, "{schema}");
}

/// A broken file changes nothing; a good one changes what can change; a signal asks for it too.
#[cfg(unix)]
#[test]
fn the_file_changes_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.yaml");
    // As editors do it: another file takes its place.
    let write = |text: &str| {
        std::fs::write(folder.path().join("new"), text).expect("written");
        std::fs::rename(folder.path().join("new"), &path).expect("renamed");
    };
    write("engine:\n  max_sequences: 4\n");
    let mut server = Server::tiny(&["--config", path.to_str().expect("text")]);
    let health = |server: &Server| -> Value {
        let (status, body) = server.fetch("GET /health", &[], b"");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["configuration"].take()
    };
    assert!(health(&server).is_null());
    assert_eq!(server.fetch("POST /tokenize", &[], &[b' '; 2000]).0, 400);

    write("engine:\n  max_sequences: 4\nlimits:\n  max_body: lots\n");
    server.line_with("the new configuration is invalid");
    server.line_with("w.yaml:4:13: limits.max_body: expected a size with its unit");
    assert_eq!(health(&server)["status"], "invalid");

    write("engine:\n  max_sequences: 5\nlimits:\n  max_body: 1KiB\n");
    let line = server.line_with("configuration reloaded");
    assert!(line.contains("limits.max_body") && line.contains("engine.max_sequences"), "{line}");
    assert_eq!(health(&server), serde_json::json!({ "status": "restart needed", "restart": ["engine.max_sequences"] }));
    assert_eq!(server.fetch("POST /tokenize", &[], &[b' '; 2000]).0, 413);

    // In place, as a script does it.
    std::fs::write(&path, "engine:\n  max_sequences: 4\n").expect("written");
    server.line_with("configuration reloaded");
    assert_eq!(health(&server)["status"], "applied");
    assert_eq!(server.fetch("POST /tokenize", &[], &[b' '; 2000]).0, 400);

    let sent = std::process::Command::new("kill").args(["-s", "HUP", &server.child.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
    server.line_with("configuration reloaded");
}
