//! Answers of model families, cut in every way.

use proptest::prelude::*;
use serde_json::{Value, json};
use text::{CallOptions, Dialect, Part};

/// The parts of an answer that comes in `pieces`, those that belong together put together: `t` text, `r` reasoning, `c` a
/// call with its arguments.
fn parts<'a>(
    dialect: &str,
    prompt: &str,
    options: &CallOptions<'_>,
    pieces: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let mut parser = Dialect::named(dialect).expect("known").parser(prompt, options);
    let mut all: Vec<Part> = pieces.into_iter().flat_map(|piece| parser.push(piece)).collect();
    all.extend(parser.finish());
    let mut lines: Vec<String> = Vec::new();
    let mut kind = String::new();
    for part in all {
        let (next, text) = match part {
            Part::Text(text) => ("t".to_owned(), text),
            Part::Reasoning(text) => ("r".to_owned(), text),
            Part::ToolCall(delta) => {
                let first = kind != format!("c{}", delta.index);
                assert_eq!(first, delta.name.is_some(), "a call has its name once: {delta:?}");
                let name = delta.name.map(|name| name + " ").unwrap_or_default();
                (format!("c{}", delta.index), name + &delta.arguments)
            }
        };
        match lines.last_mut() {
            Some(line) if kind == next => line.push_str(&text),
            _ => lines.push(format!("{} {text}", &next[..1])),
        }
        kind = next;
    }
    lines
}

/// Checks an answer in one piece, by characters and cut in two everywhere, with calls whole and in pieces.
fn check(dialect: &str, prompt: &str, answer: &str, expected: &[&str]) {
    check_with(dialect, prompt, answer, expected, true);
}

/// The same for calls that are malformed: with calls in pieces, only that cuts change nothing.
fn check_malformed(dialect: &str, prompt: &str, answer: &str, expected: &[&str]) {
    check_with(dialect, prompt, answer, expected, false);
}

fn check_with(dialect: &str, prompt: &str, answer: &str, expected: &[&str], pieces_too: bool) {
    let tools = tools();
    for pieces in [false, true] {
        let options = CallOptions { tools: Some(&tools), parallel: true, pieces };
        let whole = parts(dialect, prompt, &options, [answer]);
        if pieces_too || !pieces {
            assert_eq!(whole, expected, "{dialect} {answer:?}, calls in pieces: {pieces}");
        }
        let chars: Vec<String> = answer.chars().map(String::from).collect();
        let by_chars = parts(dialect, prompt, &options, chars.iter().map(String::as_str));
        assert_eq!(by_chars, whole, "{dialect} {answer:?} by characters");
        for (at, _) in answer.char_indices() {
            let cut = parts(dialect, prompt, &options, [&answer[..at], &answer[at..]]);
            assert_eq!(cut, whole, "{dialect} {:?} {:?}", &answer[..at], &answer[at..]);
        }
    }
}

fn tools() -> Value {
    let tool = |name: &str| {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"}, "exact": {"type": "boolean"},
            "units": {"type": "array", "items": {"type": "string"}}, "code": {"type": "string"},
            "where": {"type": "object"}, "maybe": {"type": ["string", "null"]}}}}})
    };
    json!([tool("f"), tool("get_weather"), tool("g")])
}

#[test]
fn answers_are_cut_at_their_tags() {
    check("hermes", "", "", &[]);
    check("hermes", "", " Hello <b> \n", &["t  Hello <b> \n"]);
    check("hermes", "", "<think>\nhm\n\nso\n</think>\n\nyes", &["r hm\n\nso", "t yes"]);
    check("hermes", "", "\n<think>\n\n</think>\n\nyes\n", &["t yes\n"]);
    let two = "<tool_call>\n{\"name\": \"f\"}\n</tool_call>\n<tool_call>{\"name\": \"g\", \"arguments\": {\"a\": 1}}</tool_call>\n";
    check("hermes", "", two, &["c f {}", "c g {\"a\": 1}"]);
    let all = "<think>a</think>b <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> d";
    check("hermes", "", all, &["r a", "t b", "c f {}", "t d"]);
}

#[test]
fn prompts_may_begin_the_reasoning() {
    check("hermes", "<|assistant|><think>\n", "\nhm</think>yes", &["r hm", "t yes"]);
    check("hermes", "<|assistant|><think>\n\n</think>\n\n", "yes</think>", &["t yes</think>"]);
    check("hermes", "<think>", "it never ends ", &["r it never ends "]);
}

#[test]
fn what_only_looks_like_a_tag_is_text() {
    check("hermes", "", "a <think>b</think>", &["t a <think>b</think>"]);
    check("hermes", "", "a <tool_call", &["t a <tool_call"]);
    check("hermes", "", "a </tool_call> </think>", &["t a </tool_call> </think>"]);
    check("hermes", "", "<think>a<tool_call>b</tool_call>", &["r a<tool_call>b</tool_call>"]);
    let quoted = "`<tool_call>` <tool_call>{\"name\": \"f\"}</tool_call>";
    check("hermes", "", quoted, &["t `<tool_call>`", "c f {}"]);
    check(
        "hermes",
        "",
        "```\n<tool_call>{\"name\": \"f\"}</tool_call>\n```",
        &["t ```\n<tool_call>{\"name\": \"f\"}</tool_call>\n```"],
    );
    check("plain", "<think>", "<think>a</think> <tool_call>{}", &["t <think>a</think> <tool_call>{}"]);
}

#[test]
fn calls_are_read_in_every_variant() {
    let check = |call: &str, arguments: &str| {
        check("hermes", "", &format!("<tool_call>{call}</tool_call>"), &[&format!("c f {arguments}")]);
    };
    check(r#"{"name": "f", "arguments": {"x": 1}}"#, r#"{"x": 1}"#);
    check(r#"{"arguments": {"x": [{}]}, "name": "f"}"#, r#"{"x": [{}]}"#);
    check(r#"{"name": "f", "parameters": {"x": "}"}}"#, r#"{"x": "}"}"#);
    check(r#"{"name": "f", "arguments": "{\"x\": 1}"}"#, r#"{"x": 1}"#);
    check(r#"{"name": "f", "arguments": null}"#, "{}");
    check(r#"{"id": 7, "name": "f", "arguments": {}, "why": ["a"]}"#, "{}");
    check(r#"{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}"#, r#"{"x": 1}"#);
    check(r#"[{"name": "f", "arguments": {"x": 1}}]"#, r#"{"x": 1}"#);
    check("{\"name\": \"f\", \"arguments\": {\"x\": \"a\nb\"}}", r#"{"x": "a\nb"}"#);
}

#[test]
fn malformed_calls_are_text() {
    let same = |answer: &str| check_malformed("hermes", "", answer, &[&format!("t {answer}")]);
    same("a <tool_call> {\"name");
    same("a <tool_call> {\"name\": \"f\", \"arguments\": {\"x\": 1");
    same("<tool_call>c</tool_call> d");
    same("<tool_call>{\"arguments\": {}}</tool_call>");
    same("<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>");
    same("<tool_call>{\"name\": \"f\", \"arguments\": \"{\"}</tool_call>");
    same("<tool_call>{'name': 'f'}</tool_call>");
    same("<tool_call></tool_call>");
    check("hermes", "", "<tool_call> or <tool_call>{\"name\": \"f\"}</tool_call>", &["t <tool_call> or", "c f {}"]);
    check("hermes", "", "<tool_call>{\"name\": \"f\"}", &["c f {}"]);
    check("hermes", "", "<tool_call>{\"name\": \"f\"} and", &["c f {}", "t and"]);
}

#[test]
fn parts_are_given_as_soon_as_they_are_certain() {
    let mut parser =
        Dialect::named("hermes").expect("known").parser("", &CallOptions { pieces: true, ..Default::default() });
    let mut push = |text: &str| -> String {
        let show = |part: Part| match part {
            Part::ToolCall(delta) => format!("{} {}", delta.name.unwrap_or_default(), delta.arguments),
            Part::Text(text) | Part::Reasoning(text) => text,
        };
        parser.push(text).into_iter().map(show).collect()
    };
    assert_eq!(push("a <b "), "a <b");
    assert_eq!(push("c<too"), " c");
    assert_eq!(push("l"), "");
    assert_eq!(push("s"), "<tools");
    assert_eq!(push("<tool_call>{\"name\": \"f\""), "");
    assert_eq!(push(", \"arguments\": {\"x"), "f {\"x");
    assert_eq!(push("\": 1}"), " \": 1}");
    assert_eq!(push("}</tool_call>"), "");
}

#[test]
fn only_the_first_call_is_given_if_only_one_is_wanted() {
    let one = "<tool_call>{\"name\": \"f\"}</tool_call>";
    for pieces in [false, true] {
        let options = CallOptions { parallel: false, pieces, tools: None };
        assert_eq!(parts("hermes", "", &options, [one, one, " end"]), ["c f {}", "t end"]);
        let mut parser = Dialect::named("hermes").expect("known").parser("", &options);
        parser.push("<tool_call>{\"name\": \"f\"");
        assert!(!parser.has_enough());
        parser.push("}");
        assert!(parser.has_enough());
    }
}

#[test]
fn qwen_coder_writes_elements() {
    let call = "Let me see.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nGöteborg\n</parameter>\n<parameter=days>\n2\n\
                </parameter>\n<parameter=exact>\nTrue\n</parameter>\n<parameter=units>\n[\"C\", \"F\"]\n</parameter>\n</function>\n</tool_call>";
    let expected = "c get_weather {\"city\": \"Göteborg\", \"days\": 2, \"exact\": true, \"units\": [\"C\", \"F\"]}";
    check("qwen3-coder", "", call, &["t Let me see.", expected]);
    let code = "<tool_call>\n<function=f>\n<parameter=code>\n\nif a < b:\n    \"</p\"\n\n</parameter>\n</function>\n</tool_call>\n";
    check("qwen3-coder", "", code, &["c f {\"code\": \"\\nif a < b:\\n    \\\"</p\\\"\\n\"}"]);
    check(
        "qwen3-coder",
        "",
        "<tool_call>\n<function=f>\n</function>\n<function=g>\n</function>\n</tool_call>",
        &["c f {}", "c g {}"],
    );
    check("qwen3-coder", "", "<function=f>\n</function>\n</tool_call>", &["c f {}"]);
    check("qwen3-coder", "", "<tool_call>\n{\"name\": \"f\"}\n</tool_call>", &["c f {}"]);
    check(
        "qwen3-coder",
        "<think>\n",
        "hm\n</think>\n\n<tool_call>\n<function=f>\n</function>\n</tool_call>",
        &["r hm", "c f {}"],
    );
    check(
        "qwen3-coder",
        "",
        "<tool_call>\n<function=f>\n<parameter=maybe>\nnull\n</parameter>\n<parameter=other>\n5\n</parameter>\n</function>\n</tool_call>",
        &["c f {\"maybe\": null, \"other\": 5}"],
    );
    for malformed in
        ["<tool_call>\n<function=f>\n<parameter=city>\nOslo", "<tool_call> is a tag", "<function=f>\nno</function>"]
    {
        check_malformed("qwen3-coder", "", malformed, &[&format!("t {malformed}")]);
    }
    let seed = "<seed:think>hm</seed:think><seed:tool_call><function=f><parameter=days>2</parameter></function></seed:tool_call>";
    check("seed-oss", "", seed, &["r hm", "c f {\"days\": 2}"]);
    let minimax = "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"city\">Oslo</parameter>\n</invoke>\n</minimax:tool_call>";
    check("minimax-m2", "<think>\n", &format!("hm\n</think>\n\n{minimax}"), &["r hm", "c f {\"city\": \"Oslo\"}"]);
}

#[test]
fn glm_writes_keys_and_values() {
    let call = "\n<think>hm</think>\nOne moment.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo\n</arg_value>\n\
                <arg_key>where</arg_key>\n<arg_value>{\"a\": [1]}</arg_value>\n</tool_call>\n<tool_call>f\n</tool_call>";
    check(
        "glm",
        "",
        call,
        &["r hm", "t One moment.", "c get_weather {\"city\": \"Oslo\\n\", \"where\": {\"a\": [1]}}", "c f {}"],
    );
    check("glm", "", "<tool_call>f<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>", &["c f {\"days\": 2}"]);
    check_malformed(
        "glm",
        "",
        "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1",
        &["t <tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1"],
    );
}

#[test]
fn deepseek_writes_sections() {
    let one = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>\
               <｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    check("deepseek", "", &format!("Yes.{one}"), &["t Yes.", "c f {\"a\": 1}", "c g {}"]);
    check("deepseek", "<｜Assistant｜><think>", &format!("hm</think>{one}"), &["r hm", "c f {\"a\": 1}", "c g {}"]);
    check("deepseek", "<｜Assistant｜><think>", &format!("hm{one}"), &["r hm", "c f {\"a\": 1}", "c g {}"]);
    check("deepseek", "<｜Assistant｜><think></think>", "hm", &["t hm"]);
    let r1 = "<think>\nhm\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```\
              <｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    check("deepseek", "", r1, &["r hm", "c f {\"a\": 1}", "c g {}"]);
}

#[test]
fn kimi_writes_ids() {
    let calls = "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Oslo\"}\
                 <|tool_call_end|><|tool_call_begin|>functions.f:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>";
    check("kimi-k2", "", &format!("Yes.{calls}"), &["t Yes.", "c get_weather {\"city\": \"Oslo\"}", "c f {}"]);
    check("kimi-k2", "", &format!("<think>hm{calls}"), &["r hm", "c get_weather {\"city\": \"Oslo\"}", "c f {}"]);
}

#[test]
fn mistral_writes_arrays_or_names() {
    let array = "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"123456789\"}, {\"name\": \"g\", \"arguments\": {}}]";
    check("mistral", "", array, &["c f {\"a\": 1}", "c g {}"]);
    let named = "Yes. [TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]abc[ARGS]{}";
    check("mistral", "", named, &["t Yes.", "c f {\"a\": 1}", "c g {}"]);
    check("mistral", "", "[THINK]hm[/THINK]yes", &["r hm", "t yes"]);
    check("mistral", "", "[THINK]hm[TOOL_CALLS]f{}", &["r hm", "c f {}"]);
    check_malformed("mistral", "", "[TOOL_CALLS]f[ARGS]{\"a\"", &["t [TOOL_CALLS]f[ARGS]{\"a\""]);
}

#[test]
fn commands_are_actions() {
    let call = "<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"a\": 1}}\n]<|END_ACTION|>";
    check("command-r7b", "", call, &["r hm", "c f {\"a\": 1}"]);
    check(
        "command-r7b",
        "<|START_THINKING|><|END_THINKING|>",
        "<|START_RESPONSE|>Hello.<|END_RESPONSE|>",
        &["t Hello."],
    );
}

#[test]
fn granite_and_phi_write_arrays() {
    let calls = "[{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", \"arguments\": {}}]";
    check("granite", "", &format!("<|tool_call|>{calls}"), &["c f {\"a\": 1}", "c g {}"]);
    check("granite", "", &format!("<tool_call>{calls}"), &["c f {\"a\": 1}", "c g {}"]);
    check("granite", "", "<think>hm</think><response>yes</response>", &["r hm", "t yes"]);
    check("phi", "", &format!("<|tool_call|>{calls}<|/tool_call|>"), &["c f {\"a\": 1}", "c g {}"]);
    check("phi", "", &format!("functools{calls}"), &["c f {\"a\": 1}", "c g {}"]);
    check("phi", "", "import functools as f", &["t import functools as f"]);
}

#[test]
fn llama_writes_bare_json() {
    check("llama3", "", "{\"name\": \"f\", \"parameters\": {\"a\": 1}}", &["c f {\"a\": 1}"]);
    check(
        "llama3",
        "",
        "{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
        &["c f {}", "c g {}"],
    );
    check("llama3", "", "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", &["c f {}"]);
    check("llama3", "", "<function=f>{\"a\": 1}</function>", &["c f {\"a\": 1}"]);
    for text in [
        "{\"name\": \"Bob\", \"parameters\": {}}",
        "{\"city\": \"Oslo\"}",
        "{ braces }",
        "See {\"name\": \"f\", \"parameters\": {}}",
    ] {
        check("llama3", "", text, &[&format!("t {text}")]);
    }
    let no_tools = CallOptions::default();
    assert_eq!(parts("llama3", "", &no_tools, ["{\"name\": \"f\"}"]), ["t {\"name\": \"f\"}"]);
}

#[test]
fn llama_writes_code_and_lists() {
    check("llama3", "", "<|python_tag|>brave_search.call(query=\"a b\")", &["c brave_search {\"query\":\"a b\"}"]);
    check("llama3", "", "<|python_tag|>print(1)\nx = {}", &["c python {\"code\":\"print(1)\\nx = {}\"}"]);
    check("llama3", "", "[f(a=1), get_weather(city='Oslo')]", &["c f {\"a\":1}", "c get_weather {\"city\":\"Oslo\"}"]);
    check("llama3", "", "[{\"name\": \"f\", \"parameters\": {}}]", &["c f {}"]);
    for text in ["[1, 2]", "[f] is", "[find(a=1)]", "[get_wea", "[", "[f(1)]"] {
        check("llama3", "", text, &[&format!("t {text}")]);
    }
}

#[test]
fn lfm_writes_python() {
    let call = "<|tool_call_start|>[get_weather(city=\"Oslo\", days=2, units=['C']), f()]<|tool_call_end|>Checking.";
    let expected = ["c get_weather {\"city\":\"Oslo\",\"days\":2,\"units\":[\"C\"]}", "c f {}", "t Checking."];
    check("lfm2", "", call, &expected);
    check(
        "lfm2",
        "",
        "<think>hm</think><|tool_call_start|>[{\"name\": \"f\", \"arguments\": {}}]<|tool_call_end|>",
        &["r hm", "c f {}"],
    );
    let malformed = "<|tool_call_start|>[f(]<|tool_call_end|>";
    check_malformed("lfm2", "", malformed, &[&format!("t {malformed}")]);
}

#[test]
fn gemma_writes_its_own_quotes() {
    let call = "<|channel>thought\nhm\n<channel|><|tool_call>call:get_weather{city:<|\"|>a \"b\", {c}<|\"|>,days:2,exact:true,where:{x:[1,<|\"|>y<|\"|>]},units:[]}<tool_call|>\
                <|tool_call>call:f{}<tool_call|>";
    let expected = "c get_weather {\"city\":\"a \\\"b\\\", {c}\",\"days\":2,\"exact\":true,\"where\":{\"x\":[1,\"y\"]},\"units\":[]}";
    check("gemma4", "", call, &["r hm", expected, "c f {}"]);
    check("gemma4", "<|turn>model\n<|channel>thought\n", "hm<channel|>yes", &["r hm", "t yes"]);
    check("gemma4", "", "<|tool_call>call:f{a:1}", &["c f {\"a\":1}"]);
    check_malformed("gemma4", "", "<|tool_call>call:f{a}<tool_call|>", &["t <|tool_call>call:f{a}<tool_call|>"]);
}

#[test]
fn functionary_names_whom_it_speaks_to() {
    check("functionary-v3.2", ">>>", "all\nHello {x}", &["t Hello {x}"]);
    check(
        "functionary-v3.2",
        ">>>",
        "all\nOne moment.>>>f\n{\"a\": 1}>>>g\n{}",
        &["t One moment.", "c f {\"a\": 1}", "c g {}"],
    );
    check("functionary-v3.2", ">>>", "python\nprint(1)", &["c python {\"code\":\"print(1)\"}"]);
    check("functionary-v3.2", ">>>", "all\n>>> 1 + 1\n2", &["t >>> 1 + 1\n2"]);
    check("functionary-v3.2", ">>>", "f\nno", &["t f\nno"]);
    check("functionary-v3.2", ">>>", "Hello there", &["t Hello there"]);
}

#[test]
fn harmony_speaks_in_channels() {
    let prompt = "<|start|>user<|message|>2?<|end|><|start|>assistant";
    let thought = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes. <b>";
    check("gpt-oss", prompt, thought, &["r hm", "t Yes. <b>"]);
    check("gpt-oss", prompt, &format!("{thought}<|return|>"), &["r hm", "t Yes. <b>"]);
    let call = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>";
    check("gpt-oss", prompt, call, &["r hm", "c f {\"a\": 1}"]);
    check("gpt-oss", prompt, " to=functions.f<|channel|>commentary json<|message|>{}", &["c f {}"]);
    check("gpt-oss", prompt, " to=functions.f<|channel|>commentary json<|message|><|call|>", &["c f {}"]);
    check(
        "gpt-oss",
        prompt,
        "<|channel|>analysis to=python code<|message|>print(1)<|call|>",
        &["c python {\"code\":\"print(1)\"}"],
    );
    let twice = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|>";
    check("gpt-oss", prompt, twice, &["r a\n\nb"]);
    let preamble = "<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant to=functions.f<|channel|>commentary<|message|>{}<|call|>";
    check("gpt-oss", prompt, preamble, &["t Let me see.", "c f {}"]);
    check(
        "gpt-oss",
        &format!("{prompt}<|channel|>analysis<|message|>"),
        "hm<|end|><|start|>assistant<|channel|>final<|message|>a",
        &["r hm", "t a"],
    );
    check("gpt-oss", prompt, "No header", &["t No header"]);
    check("gpt-oss", prompt, " to the point", &["t  to the point"]);
    check("gpt-oss", prompt, "<|channel|>final", &[]);
    let malformed = " to=functions.f<|channel|>commentary<|message|>{\"a\": oops<|call|>";
    check_malformed("gpt-oss", prompt, malformed, &[&format!("t {}", malformed.trim_end_matches("<|call|>"))]);
    let long = format!("<|channel|>{}<|message|>x", "y".repeat(600));
    check("gpt-oss", prompt, &long, &[&format!("t <|channel|>{}x", "y".repeat(600))]);
}

#[test]
fn a_forced_call_may_begin_in_the_prompt() {
    check("hermes", "<|im_start|>assistant\n<tool_call>\n", "{\"name\": \"f\"}\n</tool_call>", &["c f {}"]);
}

#[test]
fn templates_tell_their_dialect() {
    let check = |source: &str, expected: &str| assert_eq!(Dialect::of_template(source).name(), expected, "{source}");
    check("{{ messages[0].content }}", "plain");
    check("{{ '<tool_call>{\"name\": ' }}", "hermes");
    let Some(folder) = crate::common::asset("templates") else { return };
    for (file, expected) in [
        ("CohereForAI-c4ai-command-r7b-12-2024-tool_use", "command-r7b"),
        ("GLM-4.6", "glm"),
        ("HuggingFaceTB-SmolLM3-3B", "hermes"),
        ("Kimi-K2-Instruct", "kimi-k2"),
        ("LFM2.5-Instruct", "lfm2"),
        ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"),
        ("Qwen-Qwen2.5-7B-Instruct", "hermes"),
        ("Qwen-Qwen3-0.6B", "hermes"),
        ("Qwen3-Coder", "qwen3-coder"),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek"),
        ("deepseek-ai-DeepSeek-V3.1", "deepseek"),
        ("google-gemma-2-2b-it", "plain"),
        ("ibm-granite-granite-3.3-2B-Instruct", "granite"),
        ("meetkai-functionary-medium-v3.2", "functionary-v3.2"),
        ("meta-llama-Llama-3.1-8B-Instruct", "llama3"),
        ("meta-llama-Llama-3.2-3B-Instruct", "llama3"),
        ("microsoft-Phi-3.5-mini-instruct", "phi"),
        ("mistralai-Mistral-Nemo-Instruct-2407", "mistral"),
        ("openai-gpt-oss-120b", "gpt-oss"),
        ("unsloth-mistral-Devstral-Small-2507", "mistral"),
    ] {
        let source = std::fs::read_to_string(folder.join(format!("{file}.jinja"))).expect("a template");
        assert_eq!(Dialect::of_template(&source).name(), expected, "{file}");
    }
}

/// A soup of what a dialect is made of.
fn soup() -> impl Strategy<Value = (&'static str, String)> {
    let names: Vec<&str> = Dialect::names().collect();
    prop::sample::select(names).prop_flat_map(|name| {
        let mut words = Dialect::named(name).expect("known").markers().to_vec();
        words.extend("<think> \" ` [ ] { } ( ) : , 1 é f text a= '".split(' '));
        words.extend(
            " to=functions.f|assistant|analysis|{\"name\": \"f\", \"arguments\": {\"a\": 1}}|\"arguments\": {|[f(a=1)]"
                .split('|'),
        );
        words.extend(
            "<function=f>|<parameter=city>\n|</parameter>|</function>|>>>f\n|all\n|functools|f.call(a=\"b\")"
                .split('|'),
        );
        words.extend(
            "{\"name\": \"f\"|call:f{|a:1}|functions.f:0|f\n|<response>|```\n|\n| |<invoke name=\"f\">|\\".split('|'),
        );
        let words = prop::collection::vec(prop::sample::select(words), 0..14);
        words.prop_map(move |words| (name, words.concat()))
    })
}

const PROMPTS: [&str; 6] = ["", "<think>", "<|START_THINKING|>", "[THINK]", "<|channel>thought\n", ">>>"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn every_cut_gives_the_same_parts(
        (name, answer) in soup(),
        cuts in prop::collection::vec(0usize..200, 0..12),
        prompt in prop::sample::select(&PROMPTS[..]),
        (pieces, parallel) in any::<(bool, bool)>(),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|at| answer.is_char_boundary(*at)).collect();
        cuts.extend([0, answer.len()]);
        cuts.sort_unstable();
        let tools = tools();
        let options = CallOptions { tools: Some(&tools), parallel, pieces };
        let cut = parts(name, prompt, &options, cuts.windows(2).map(|w| &answer[w[0]..w[1]]));
        let whole = parts(name, prompt, &options, [answer.as_str()]);
        prop_assert_eq!(&cut, &whole, "{} {:?}", name, answer);
        if !pieces {
            let arguments = whole.iter().filter_map(|line| line.strip_prefix("c ")?.split_once(' '));
            for (_, arguments) in arguments {
                prop_assert!(serde_json::from_str::<serde_json::Map<String, Value>>(arguments).is_ok(), "{}", arguments);
            }
        }
    }
}
