//! Chat templates against what Python's jinja2 makes of them in transformers (xtask/goldens/text.py).

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use text::ChatTemplate;

fn golden() -> Value {
    serde_json::from_str(include_str!("fixtures/templates.json")).expect("the fixture is JSON")
}

fn check(golden: &Value, name: &str, source: &str, failures: &mut Vec<String>) {
    let special: Vec<(&str, &str)> = (golden["special"].as_object().expect("a map").iter())
        .map(|(name, text)| (name.as_str(), text.as_str().expect("text")))
        .collect();
    let template = ChatTemplate::new(source, &special).unwrap_or_else(|e| panic!("{name}: {e}"));
    let results = golden["results"].as_array().expect("a list");
    for result in results.iter().filter(|r| r["template"] == name) {
        let conversation = &golden["conversations"][result["conversation"].as_str().expect("a name")];
        let mut extra: Map<String, Value> = conversation["extra"].as_object().expect("a map").clone();
        extra.insert("now".into(), golden["now"].clone());
        let tools = Some(&conversation["tools"]).filter(|t| !t.is_null());
        let prompt = conversation["add_generation_prompt"] == true;
        let got = template.render(&conversation["messages"], tools, prompt, &extra);
        // Parts are joined for templates that cannot take them, where transformers fails.
        let ours_alone = result["conversation"] == "parts" && !template.takes_parts();
        let same = match (&got, result["text"].as_str().or(result["sha256"].as_str())) {
            (Ok(got), Some(wanted)) => got == wanted || sha256(got) == wanted || ours_alone,
            (Err(_), None) => true,
            // We let templates loop over no tools.
            (Ok(_), None) => ours_alone || result["error"] == "TypeError: 'NoneType' object is not iterable",
            (Err(_), Some(_)) => false,
        };
        if !same {
            failures.push(format!("{name}, {}:\n  ours   {got:?}\n  python {result}", result["conversation"]));
        }
    }
}

/// The fixture has renderings of models' templates as hashes alone: their text is their owners'.
fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn small_templates_render_as_in_python() {
    let golden = golden();
    let mut failures = Vec::new();
    for (name, source) in golden["built_in"].as_object().expect("a map") {
        check(&golden, name, source.as_str().expect("text"), &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn templates_of_models_render_as_in_python() {
    let Some(folder) = crate::common::asset("templates") else { return };
    let golden = golden();
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = format!("shared/{}", path.file_name().expect("a name").to_string_lossy());
        check(&golden, &name, &std::fs::read_to_string(&path).expect("text"), &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn arguments_as_text_are_parsed_for_those_who_want_objects() {
    let call = serde_json::json!([{"tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}]);
    let check = |expression: &str, expected: &str| {
        let source = format!("{{{{ messages[0].tool_calls[0].function.arguments{expression} }}}}");
        let template = ChatTemplate::new(&source, &[]).expect("valid");
        assert_eq!(template.render(&call, None, true, &Map::new()).expect("takes it"), expected);
    };
    check(" | tojson", "{\"a\": 1}");
    check(".a + 1", "2");
    check(".strip() + '!'", "{\"a\": 1}!");
}

#[test]
fn lists_may_be_nested_as_deep_as_fuel_lasts() {
    let nest = "{% set ns = namespace(x=[]) %}{% for a in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}";
    let template = ChatTemplate::new(nest, &[]).expect("valid");
    let text = template.render(&serde_json::json!([]), None, true, &Map::new()).expect("renders");
    assert_eq!(text.len(), 180_002);
}

#[test]
fn what_is_no_template_or_runs_away_is_an_error() {
    let none = Map::new();
    let render =
        |source: &str| ChatTemplate::new(source, &[]).and_then(|t| t.render(&serde_json::json!([]), None, true, &none));
    for source in [
        "{% if %}",
        "{{ ",
        "{% for x in range(99999) %}{% for y in range(99999) %}{{ y }}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 1000000000 }}",
        "{% for x in range(100) %}{{ 'x' * 10000000 }}{% endfor %}",
        "{{ raise_exception('no') }}",
        "{{ strftime_now('%Y') }}",
        "{% include 'other' %}",
        "{% set ns = namespace(x=[]) %}{% for a in range(999) %}{% for b in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}\
         {% endfor %}",
    ] {
        assert!(render(source).is_err(), "{source}");
    }
}
