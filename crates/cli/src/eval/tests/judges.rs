//! What passes and what does not, and the reasons.

use crate::eval::{Suite, judge};
use text::Dialect;
use whinchat::{Answer, Event, Reason, Usage};

use super::folder;

const GRAMMAR: &str = r#"root ::= ("The " | "A ") ("wren" | "whinchat") " sings" [.!] | "\"Oh!\"""#;

/// An answer that ended by itself passes, or fails for a reason that contains the text.
fn check(expect: &str, answer: &str, fails: Option<&str>) {
    check_ended(expect, answer, Reason::Stop, fails);
}

fn check_ended(expect: &str, answer: &str, reason: Reason, fails: Option<&str>) {
    let case = format!(r#"{{"id": "1", "task": "a", "prompt": "x", "expect": {expect}}}"#);
    let folder = folder(&[("cases.jsonl", &case), ("g.gbnf", GRAMMAR)]);
    let suite = Suite::load(folder.path()).expect("a suite");
    let mut said =
        Answer { reason: Some(reason), usage: Usage { prompt: 3, generated: 7, reasoning: 0 }, ..Answer::default() };
    let mut parser = Dialect::named("hermes").expect("a dialect").parser("", &text::CallOptions::default());
    let parts = parser.push(answer).into_iter().chain(parser.finish());
    parts.for_each(|part| {
        said.add(match part {
            text::Part::Text(text) => Event::Text { choice: 0, text, logprobs: Vec::new() },
            text::Part::Reasoning(text) => Event::Reasoning { choice: 0, text },
            text::Part::ToolCall(call) => Event::ToolCall { choice: 0, call },
        });
    });
    let verdict = judge(&suite.cases[0].expect, &said);
    match (fails, &verdict) {
        (None, Ok(())) => {}
        (Some(part), Err(why)) if why.contains(part) => {}
        _ => panic!("{expect} {answer:?}: {verdict:?}, not {fails:?}"),
    }
}

#[test]
fn exact_answers_are_equal_but_for_outer_white_space() {
    check(r#"{"exact": "34"}"#, "34", None);
    check(r#"{"exact": "34"}"#, " 34\n", None);
    check(r#"{"exact": ["a b", "c"]}"#, "c", None);
    check(r#"{"exact": ["a b", "c"]}"#, "a  b", Some("not what is expected"));
    check(r#"{"exact": "a"}"#, "A", Some("not what is expected"));
    check(r#"{"exact": "a"}"#, "", Some("not what is expected"));
}

#[test]
fn contained_texts_all_appear() {
    check(r#"{"contains": ["a", "b"]}"#, "xbxa", None);
    check(r#"{"contains": "a"}"#, "cat", None);
    check(r#"{"contains": ["a", "z"]}"#, "abc", Some("\"z\" does not appear"));
}

#[test]
fn json_is_the_whole_answer_and_equal_by_value() {
    check(r#"{"json": {"a": [1, null], "b": "x"}}"#, "\n{\"b\": \"x\", \"a\": [1.0, null]}", None);
    check(r#"{"json": 5}"#, "5", None);
    check(r#"{"json": {"a": 1}}"#, "{\"a\": 1} so", Some("not JSON: trailing characters"));
    check(r#"{"json": {"a": 1}}"#, "```json\n{\"a\": 1}\n```", Some("not JSON"));
    check(r#"{"json": {"a": {"b": 1}}}"#, "{\"a\": {\"b\": 2}}", Some("at /a/b: expected 1, got 2"));
    check(r#"{"json": null}"#, "null", None);
}

#[test]
fn tool_calls_are_exactly_these() {
    let oslo = r#"{"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}]}"#;
    check(oslo, r#"<tool_call>{"name": "weather", "arguments": {"days": 2.0, "city": "Oslo"}}</tool_call>"#, None);
    check(
        oslo,
        "\n<tool_call>\n{\"arguments\": {\"city\": \"Oslo\", \"days\": 2}, \"name\": \"weather\"}\n</tool_call>\n",
        None,
    );
    check(oslo, "It is sunny.", Some("calls no tool"));
    check(oslo, r#"Sure: <tool_call>{"name": "weather", "arguments": {}}</tool_call>"#, Some("text beside"));
    check(
        oslo,
        r#"<tool_call>{"name": "weather", "arguments": {"city": "Bonn", "days": 2}}</tool_call>"#,
        Some("call 1: at /arguments/city: expected \"Oslo\", got \"Bonn\""),
    );
    check(
        oslo,
        r#"<tool_call>{"name": "time", "arguments": {"city": "Oslo", "days": 2}}</tool_call>"#,
        Some("at /name"),
    );
    check(
        oslo,
        r#"<tool_call>{"name": "weather", "arguments": {"city": "Oslo", "days": 2, "x": 0}}</tool_call>"#,
        Some("at /arguments/x: expected nothing"),
    );
    check(
        oslo,
        r#"<tool_call>{"name": "weather"}</tool_call>"#,
        Some("at /arguments/city: expected \"Oslo\", got nothing"),
    );
    check(oslo, r#"<tool_call>{"name": "weather", </tool_call>"#, Some("calls no tool"));
    check(
        oslo,
        r#"<tool_call>{"name": "weather", "arguments": {}}"#,
        Some("at /arguments/city: expected \"Oslo\", got nothing"),
    );
    let two = r#"{"tool_calls": [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"x": "</tool_call>"}}]}"#;
    let (f, g) = (
        r#"<tool_call>{"name": "f", "arguments": {}}</tool_call>"#,
        r#"<tool_call>{"name": "g", "arguments": {"x": "</tool_call>"}}</tool_call>"#,
    );
    check(two, &format!("{f}\n{g}"), None);
    check(two, &format!("{g}{f}"), Some("call 1: at /name"));
    check(two, f, Some("2 are expected, not 1"));
    check(two, &format!("{f} and {g}"), Some("text beside"));
}

#[test]
fn every_sentence_is_the_grammars() {
    let expect = r#"{"grammar": "g.gbnf"}"#;
    check(expect, "The wren sings.", None);
    check(expect, " The wren sings! A whinchat sings.\n\n\"Oh!\" The wren sings.", None);
    check(expect, "The wren sings. It flies.", Some("no such sentence: It flies."));
    check(expect, "The wren sings. The", Some("no such sentence: The"));
    check(expect, "", Some("has no sentence"));
}

#[test]
fn cut_off_answers_fail_where_the_whole_counts() {
    let cut = |expect, answer, fails| check_ended(expect, answer, Reason::Length, fails);
    let reason = Some("cut off after 7 tokens");
    cut(r#"{"exact": "a"}"#, "a", reason);
    cut(r#"{"json": 1}"#, "1", reason);
    cut(r#"{"tool_calls": [{"name": "f", "arguments": {}}]}"#, "<tool_call>", reason);
    cut(r#"{"grammar": "g.gbnf"}"#, "The wren sings.", reason);
    cut(r#"{"contains": "a"}"#, "cat", None);
}
