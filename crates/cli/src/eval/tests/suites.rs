//! What a suite is, and that every mistake in one is found at once and named.

use crate::eval::{Input, Suite};

use super::folder;

const CASE: &str = r#"{"id": "a-1", "task": "a", "prompt": "x", "expect": {"exact": "y"}}"#;

/// Loading is refused, in words that contain each of `parts`.
fn refuse(files: &[(&str, &str)], parts: &[&str]) {
    let folder = folder(files);
    let error = Suite::load(folder.path()).expect_err("wrong").to_string();
    for part in parts {
        assert!(error.contains(part), "{part} is not in\n{error}");
    }
}

/// A case is refused; `change` is what differs from one that is right.
fn refuse_case(change: (&str, &str), parts: &[&str]) {
    let mut case: serde_json::Value = serde_json::from_str(CASE).expect("JSON");
    case[change.0] = serde_json::from_str(change.1).expect("JSON");
    refuse(&[("cases.jsonl", &case.to_string())], &[&["cases.jsonl:1: "], parts].concat());
}

#[test]
fn a_folder_of_files_is_a_suite() {
    let second = r#"
{"id": "b-1", "task": "b", "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "q"}], "tools": [{"type": "function", "function": {"name": "f"}}], "max_tokens": 5, "temperature": 0.5, "seed": 7, "expect": {"tool_calls": [{"name": "f", "arguments": {}}]}}

{"id": "a-2", "task": "a", "prompt": "x", "expect": {"contains": ["y"]}}
"#;
    let settings = r#"{"name": "mine", "description": "short", "minimum": {"a": 0.5}}"#;
    let folder = folder(&[("2.jsonl", second), ("1.jsonl", CASE), ("suite.json", settings), ("notes.txt", "{")]);
    let mut suite = Suite::load(folder.path()).expect("a suite");
    assert_eq!((suite.name.as_str(), suite.description.as_deref()), ("mine", Some("short")));
    assert_eq!(suite.cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), ["a-1", "b-1", "a-2"]);
    assert_eq!((suite.tasks(), suite.minimum.get("a")), (vec!["a", "b"], Some(&0.5)));
    let [first, second, _] = &suite.cases[..] else { panic!("three cases") };
    assert_eq!((first.max_tokens, first.temperature, first.seed), (64, 0.0, 1));
    assert_eq!((second.max_tokens, second.temperature, second.seed), (5, 0.5, 7));
    assert_eq!((first.input.question(), second.input.question()), ("x", "q"));
    assert!(matches!(second.input, Input::Messages(_)) && second.tools.is_some());
    suite.limit(1);
    assert_eq!(suite.cases.len(), 2);
    let unknown = suite.select(&["c".into()]).expect_err("no such task").to_string();
    assert!(unknown.contains("\"c\"") && unknown.contains("a, b"), "{unknown}");
    suite.select(&["b".into()]).expect("a task");
    assert_eq!(suite.tasks(), ["b"]);
}

#[test]
fn a_lone_file_is_a_suite() {
    let folder = folder(&[("words.jsonl", CASE), ("suite.json", "nonsense")]);
    let suite = Suite::load(&folder.path().join("words.jsonl")).expect("a suite");
    assert_eq!((suite.name.as_str(), suite.cases.len()), ("words", 1));
    let missing = Suite::load(&folder.path().join("no.jsonl")).expect_err("absent").to_string();
    assert!(missing.contains("no.jsonl: cannot be read"), "{missing}");
}

#[test]
fn mistakes_in_a_case_name_file_line_field_and_cure() {
    refuse_case(("id", "5"), &["id must be a string"]);
    refuse_case(("task", "\"\""), &["task must be a string with something in it"]);
    refuse_case(("max_token", "5"), &["max_token is not known", "max_tokens"]);
    refuse_case(("max_tokens", "0"), &["max_tokens must be a whole number of at least 1, but it is 0"]);
    refuse_case(("temperature", "-1"), &["temperature must be a number from 0 on"]);
    refuse_case(("seed", "0.5"), &["seed must be a whole number"]);
    refuse_case(("messages", r#"[{"role": "user", "content": "q"}]"#), &["prompt stands beside messages"]);
    refuse_case(("prompt", "\"\""), &["prompt must be a string with something in it"]);
    refuse_case(("tools", r#"[{"type": "function", "function": {"name": "f"}}]"#), &["tools go with messages"]);
    refuse_case(("expect", "{}"), &["expect must have exactly one of: exact, contains"]);
    refuse_case(("expect", r#"{"exact": "a", "json": 1}"#), &["exactly one of"]);
    refuse_case(("expect", r#"{"exakt": "a"}"#), &["expect.exakt is not known"]);
    refuse_case(("expect", r#"{"exact": ["a", 1]}"#), &["expect.exact must be a string or a list of strings"]);
    refuse_case(("expect", r#"{"exact": "a "}"#), &["expect.exact \"a \" has outer white space"]);
    refuse_case(("expect", r#"{"contains": []}"#), &["expect.contains must be"]);
    refuse_case(("expect", r#"{"tool_calls": []}"#), &["expect.tool_calls must be a list"]);
    refuse_case(("expect", r#"{"tool_calls": [{"name": "f"}]}"#), &["expect.tool_calls[0].arguments is missing"]);
    refuse_case(
        ("expect", r#"{"tool_calls": [{"name": "f", "arguments": "{}"}]}"#),
        &["expect.tool_calls[0].arguments must be an object"],
    );
    refuse_case(("expect", r#"{"grammar": "no.gbnf"}"#), &["expect.grammar cannot read no.gbnf"]);
    refuse_case(("expect", r#"{"grammar": "../x.gbnf"}"#), &["not in the suite's folder"]);
    let messages = |messages: &str, parts: &[&str]| {
        let case = format!(r#"{{"id": "1", "task": "a", "messages": {messages}, "expect": {{"exact": "y"}}}}"#);
        refuse(&[("cases.jsonl", &case)], parts);
    };
    messages("[]", &["messages must be a list with something in it"]);
    messages(r#"[{"role": "robot", "content": ""}]"#, &["messages[0].role must be system, user, assistant or tool"]);
    messages(r#"[{"role": "user"}]"#, &["messages[0].content is missing"]);
    messages(r#"[{"role": "user", "content": 5}]"#, &["messages[0].content must be a string"]);
    messages(r#"[{"role": "user", "content": "", "x": 1}]"#, &["messages[0].x is not known"]);
    refuse(&[("c.jsonl", r#"{"id": "1", "task": "a", "expect": {"exact": "y"}}"#)], &["messages are missing"]);
}

#[test]
fn mistakes_of_a_whole_suite_are_told_together() {
    let second = CASE.replace("a-1", "a-2");
    let bad = [CASE, "", "{\"id\": ", "[1]", &second, CASE].join("\n");
    let settings = r#"{"minimum": {"b": 0.5}}"#;
    refuse(
        &[("1.jsonl", &bad), ("2.jsonl", &second), ("suite.json", settings)],
        &[
            "1.jsonl:3: is not a JSON object: EOF",
            "1.jsonl:4: must be an object, but it is [1]",
            "1.jsonl:6: id \"a-1\" is the id of",
            "1.jsonl:1 already; choose another",
            "2.jsonl:1: id \"a-2\" is the id of",
            "suite.json: minimum.b is no task that has one; take it out or name one of: a",
        ],
    );
    refuse(&[], &["there are no cases"]);
    refuse(&[("1.jsonl", "\n\n")], &["there are no cases"]);
    refuse(
        &[("1.jsonl", CASE), ("suite.json", r#"{"minimum": {"a": 95}}"#)],
        &["minimum.a must be a number from 0 to 1"],
    );
    refuse(
        &[("1.jsonl", CASE), ("suite.json", r#"{"minimum_variety": {"a": 0.5}}"#)],
        &["minimum_variety.a is no task"],
    );
    refuse(&[("1.jsonl", CASE), ("suite.json", r#"{"minima": {}}"#)], &["minima is not known", "minimum_variety"]);
    let many = "{}\n".repeat(50);
    refuse(&[("1.jsonl", &many)], &["1.jsonl:20: id is missing", "and 30 more"]);
}

#[test]
fn a_broken_grammar_is_told_once_with_its_own_line() {
    let case = |id: &str| format!(r#"{{"id": "{id}", "task": "a", "prompt": "x", "expect": {{"grammar": "g.gbnf"}}}}"#);
    let cases = format!("{}\n{}\n", case("1"), case("2"));
    let folder = folder(&[("cases.jsonl", &cases), ("g.gbnf", "root ::= a\n\na ::= \"x\" a")]);
    let error = Suite::load(folder.path()).expect_err("wrong");
    assert_eq!(error.problems.len(), 1, "{error}");
    assert!(error.to_string().contains("cases.jsonl:1: expect.grammar g.gbnf, line 3: "), "{error}");
    assert!(error.to_string().contains("a → a"), "{error}");
}

/// What docs/eval.md shows is a suite.
#[test]
fn the_documented_suite_loads() {
    let page = include_str!("../../../../../docs/eval.md");
    let blocks = |kind: &str| page.split("\n```").filter_map(move |block| block.strip_prefix(kind)).collect::<Vec<_>>();
    let (json, texts) = (blocks("json\n"), blocks("text\n"));
    let [settings, case, choice] = json[..] else { panic!("three examples") };
    let grammar = texts.last().expect("a grammar");
    let story = r#"{"id": "s", "task": "stories", "prompt": "x", "expect": {"grammar": "stories.gbnf"}}"#;
    let cases = format!("{case}\n{choice}\n{story}");
    let folder = folder(&[("cases.jsonl", &cases), ("suite.json", settings), ("stories.gbnf", grammar)]);
    let suite = Suite::load(folder.path()).expect("a suite");
    assert_eq!((suite.cases.len(), suite.minimum.len(), suite.minimum_variety.len()), (3, 1, 1));
}
