//! Which of several says the last word, what is shown of it, and what a running server takes over.

use config::{File, Resolved, Setting, Sources, changes, resolve};
use proptest::prelude::*;
use serde_json::Value;

fn setting(path: &str) -> &'static Setting {
    Setting::at(path).unwrap_or_else(|| panic!("there is no {path}"))
}

fn resolved(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Resolved {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let flags: Vec<_> = flags.iter().map(|(path, value)| (setting(path), (*value).to_owned())).collect();
    let file = Some(File { name: "w.yaml", text });
    let sources = Sources { file, variables: &variables, flags: &flags };
    resolve(&sources).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What is said, and by whom, of one setting.
fn said(resolved: &Resolved, path: &str) -> (Value, String) {
    let rows = config::json(resolved);
    let row = rows.as_array().into_iter().flatten().find(|row| row["key"] == path);
    let row = row.unwrap_or_else(|| panic!("{path} is not shown"));
    (row["value"].clone(), row["from"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_strongest_says_the_last_word() {
    let file = "profile: production\nmodel: {source: org/a}\nengine:\n  max_sequences: 8\nnetwork:\n  listen:\n  - a:1\n  - b:2\n";
    let check = |variables: &[(&str, &str)], flags: &[(&str, &str)], path: &str, value: Value, from: &str| {
        assert_eq!(said(&resolved(file, variables, flags), path), (value, from.to_owned()), "{path}");
    };
    let variables = [("WHINCHAT_MAX_SEQUENCES", "9"), ("WHINCHAT_GRACE", ""), ("WHINCHAT_LISTEN", "c:3, d:4")];
    check(&[], &[], "engine.max_batch_tokens", 512.into(), "default");
    check(&[], &[], "network.grace", "2m".into(), "profile production");
    check(&variables, &[], "network.grace", "2m".into(), "profile production");
    check(&[], &[], "engine.max_sequences", 8.into(), "w.yaml:4:18");
    check(&variables, &[], "engine.max_sequences", 9.into(), "WHINCHAT_MAX_SEQUENCES");
    check(&variables, &[("engine.max_sequences", "10")], "engine.max_sequences", 10.into(), "--max-sequences");
    check(&variables, &[], "network.listen", ["c:3", "d:4"].into_iter().collect(), "WHINCHAT_LISTEN");
    check(
        &[],
        &[("models", "b=org/b")],
        "models",
        serde_json::json!([{ "name": "b", "source": "org/b", "context": null, "kv_tokens": null, "max_sequences": null, "draft_model": null, "keep_alive": null, "lora": [] }]),
        "--also",
    );
}

#[test]
fn a_variable_that_is_nearly_one_is_noted() {
    let check = |name: &str, note: &[&str]| assert_eq!(resolved("", &[(name, "1")], &[]).notes, note);
    check("WHINCHAT_MAX_SEQUENCE", &["WHINCHAT_MAX_SEQUENCE is no setting; did you mean WHINCHAT_MAX_SEQUENCES?"]);
    check("WHINCHAT_PYTHON", &[]);
}

/// What is shown is a file that says the same.
#[test]
fn what_is_shown_can_be_read() {
    let check = |text: &str| {
        let first = resolved(text, &[], &[]);
        let again = resolved(&config::yaml(&first), &[], &[]);
        assert_eq!(again.config, first.config);
    };
    check("");
    check("# nothing\n---\n");
    check(
        "model: {source: \"a # b: c\", context: 77}\nmodels: [{name: x, source: y, context: 9}]\nlimits: {max_body: 1536KiB}\n",
    );
    check("log: {filter: \"\\u007f\\u2028\\ufeff é\\n\"}\n");
    check("&a engine:\n  pin: true\n");
}

#[test]
fn what_changes_live_is_taken_over_and_the_rest_waits() {
    let old = resolved("engine: {max_sequences: 8}\nlimits: {idle_timeout: 10s}", &[], &[]);
    let new = resolved("engine: {max_sequences: 9}\nlimits: {idle_timeout: 20s, max_bodies: 1GiB}", &[], &[]);
    let paths = |old: &Resolved, new: &Resolved| -> Vec<(&str, bool)> {
        changes(&old.config, &new.config)
            .into_iter()
            .map(|change| (change.setting.path.as_str(), change.live))
            .collect()
    };
    let all = [("engine.max_sequences", false), ("limits.max_bodies", false), ("limits.idle_timeout", true)];
    assert_eq!(paths(&old, &new), all);
    let adopted = old.adopt(&new).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(paths(&old, &adopted), [("limits.idle_timeout", true)]);
    assert_eq!(paths(&adopted, &new), [("engine.max_sequences", false), ("limits.max_bodies", false)]);
    assert_eq!(said(&adopted, "limits.idle_timeout").1, "w.yaml:2:24");
}

/// Production runs, a file wants development and what production refuses: nothing changes before a restart.
#[test]
fn halves_that_contradict_each_other_are_refused() {
    let old = resolved("profile: production\nmodel: {source: org/a}", &[], &[]);
    let new = resolved("model: {source: org/a}\nnetwork: {allowed_origins: ['*']}", &[], &[]);
    let problems = old.adopt(&new).expect_err("production is still running").to_string();
    let wanted = "w.yaml:2:28: network.allowed_origins: production names them: * lets every page of the web in; what else is new needs a restart";
    assert_eq!(problems, wanted);
}

/// Text made of the words of configurations.
fn texts() -> impl Strategy<Value = String> {
    let words = [
        "engine",
        "models",
        "max_sequences",
        "listen",
        "name",
        "source",
        "8",
        "30s",
        "yes",
        "~",
        "*a",
        "&a",
        "<<",
        "é",
        "\"",
        "'",
    ];
    let marks = [
        ": ", ":", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", " ", "|\n", "#", "---\n", "\t", "? ",
        "!!int ",
    ];
    let word = prop_oneof![proptest::sample::select(words.to_vec()), proptest::sample::select(marks.to_vec())];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in prop_oneof![texts(), ".*"]) {
        let file = Some(File { name: "w.yaml", text: &text });
        match resolve(&Sources { file, ..Sources::default() }) {
            Ok(first) => prop_assert_eq!(resolved(&config::yaml(&first), &[], &[]).config, first.config),
            Err(problems) => prop_assert!(!problems.0.is_empty() && !problems.to_string().is_empty()),
        }
    }

    #[test]
    fn every_text_is_shown_so_that_it_can_be_read(text in "[\\x00-\\x{FFFF}]{0,8}") {
        let first = resolved("", &[], &[("model.source", &text), ("network.allowed_hosts", &text)]);
        prop_assert_eq!(resolved(&config::yaml(&first), &[], &[]).config, first.config);
    }
}
