//! Chat templates against what Python's jinja2 makes of them in transformers (xtask/goldens/text.py).

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use text::{ChatPrompt, ChatTemplate, Conversation, TemplateError, builtin_template, builtin_template_names};

fn golden() -> Value {
    serde_json::from_str(include_str!("fixtures/templates.json")).expect("the fixture is JSON")
}

fn check(golden: &Value, name: &str, source: &str, failures: &mut Vec<String>) {
    let special: Vec<(&str, &str)> = (golden["special"].as_object().expect("a map").iter())
        .map(|(name, text)| (name.as_str(), text.as_str().expect("text")))
        .collect();
    let python = |conversation: &str| {
        let results = golden["results"].as_array().expect("a list").iter();
        results.clone().find(|r| r["template"] == name && r["conversation"] == conversation)
    };
    let template = match ChatTemplate::new(source, &special) {
        Ok(template) => template,
        Err(e) if python("turns").is_some_and(|result| result["error"].is_string()) => return drop(e),
        Err(e) => panic!("{name}: {e}"),
    };
    for (title, conversation) in golden["conversations"].as_object().expect("a map") {
        let Some(wanted) = python(title) else { continue };
        let got = render(&template, conversation, &golden["now"]);
        let same = match &got {
            Ok(got) => wanted["text"] == got.text() || wanted["sha256"] == sha256(got.text()),
            Err(_) => wanted["error"].is_string(),
        };
        if !same {
            failures.push(format!("{name}, {title}:\n  ours   {got:?}\n  python {wanted}"));
        }
    }
}

fn render(template: &ChatTemplate, conversation: &Value, now: &Value) -> Result<ChatPrompt, TemplateError> {
    template.render(&Conversation {
        messages: &conversation["messages"],
        tools: Some(&conversation["tools"]).filter(|tools| !tools.is_null()),
        add_generation_prompt: conversation["add_generation_prompt"] == true,
        continue_final_message: conversation["continue_final_message"] == true,
        variables: conversation["extra"].as_object(),
        now: now.as_i64(),
    })
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
fn arguments_are_what_a_template_can_use() {
    let call = json!([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}]);
    let check = |expression: &str, expected: &str| {
        let source = format!(
            "{{% for m in messages %}}{{% for c in m.tool_calls %}}{{{{ c.function.arguments{expression} }}}}\
             {{% endfor %}}{{% endfor %}}"
        );
        let template = ChatTemplate::new(&source, &[]).expect("valid");
        assert_eq!(template.render(&Conversation::new(&call)).expect("takes it").text(), expected);
    };
    check(" | tojson", "{\"a\": 1}");
    check(".get('a', 0) + 1", "2");
    check(".strip() + '!'", "{\"a\": 1}!");
    check(" ~ '!'", "{\"a\": 1}!");
}

/// All templates there are: the built-in ones, and those of models.
fn all_templates() -> Vec<(String, String)> {
    let built_in =
        builtin_template_names().map(|name| (name.to_owned(), builtin_template(name).expect("it is").to_owned()));
    let folder = crate::common::asset("templates").into_iter();
    let files = folder.flat_map(|folder| std::fs::read_dir(folder).expect("a folder")).map(|entry| {
        let path = entry.expect("an entry").path();
        (path.display().to_string(), std::fs::read_to_string(&path).expect("text"))
    });
    built_in.chain(files).collect()
}

#[test]
fn every_template_takes_what_clients_send() {
    let call =
        |arguments: Value| json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}});
    let called = |content: &str, arguments: Value| -> Value {
        let mut messages = json!([
            {"role": "user", "content": "w?"},
            {"role": "assistant", "tool_calls": [call(arguments)]},
            {"role": "tool", "tool_call_id": "c1", "content": "8"},
        ]);
        if content == "null" {
            messages[1]["content"] = Value::Null;
        }
        messages
    };
    for (name, source) in all_templates() {
        let template = ChatTemplate::new(&source, &[("bos_token", "<s>"), ("eos_token", "</s>")]).expect("valid");
        let render = |messages: Value| {
            let conversation = Conversation { now: Some(0), ..Conversation::new(&messages) };
            template
                .render(&conversation)
                .map(ChatPrompt::into_text)
                .unwrap_or_else(|e| panic!("{name}: {e}: {messages}"))
        };
        let same = |a: Value, b: Value| assert_eq!(render(a), render(b), "{name}");
        same(called("null", json!({"x": 1})), called("missing", json!("{\"x\": 1}")));
        same(called("null", json!("")), called("null", Value::Null));
        same(
            json!([{"role": "developer", "content": ["a"]}, {"role": "user", "content": [{"type": "input_text", "text": "b"}]}]),
            json!([{"role": "system", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": ["b"]}]),
        );
        assert!(
            render(json!([{"role": "system", "content": "QQ"}, {"role": "user", "content": "b"}])).contains("QQ"),
            "{name}"
        );
        for messages in [
            called("null", json!("{\"x\":")),
            json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": null}, {"role": "user", "content": "b"}]),
            json!([{"role": "assistant", "content": "a"}]),
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "system", "content": "c"}]),
        ] {
            render(messages);
        }
    }
}

#[test]
fn built_in_templates_write_their_formats() {
    let check = |name: &str, expected: &str| {
        let source = builtin_template(name).expect("there is one");
        let template = ChatTemplate::new(source, &[("bos_token", "<s>"), ("eos_token", "</s>")]).expect("valid");
        let messages = json!([
            {"role": "system", "content": "S"},
            {"role": "user", "content": "U"},
            {"role": "assistant", "content": "A"},
            {"role": "user", "content": "V"},
        ]);
        assert_eq!(template.render(&Conversation::new(&messages)).expect("renders").text(), expected, "{name}");
    };
    check(
        "chatml",
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n\
         <|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
    );
    check("deepseek3", "<s>S\n\n<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜>");
    check(
        "gemma",
        "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV<end_of_turn>\n\
         <start_of_turn>model\n",
    );
    check("llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]");
    check(
        "llama3",
        "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n",
    );
    check("mistral-v3", "<s>[INST] S\n\nU[/INST] A</s>[INST] V[/INST]");
    check("mistral-v7", "<s>[SYSTEM_PROMPT] S[/SYSTEM_PROMPT][INST] U[/INST] A</s>[INST] V[/INST]");
    check(
        "phi3",
        "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nV<|end|>\n<|assistant|>\n",
    );
    check("vicuna", "<s>S\n\nUSER: U\nASSISTANT: A</s>\nUSER: V\nASSISTANT:");
    check("zephyr", "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</s>\n<|assistant|>\n");
    assert!(builtin_template("nothing").is_none());
}

#[test]
fn a_message_is_continued_where_it_ends() {
    let template = ChatTemplate::new(builtin_template("chatml").expect("it is"), &[]).expect("valid");
    let go_on = |messages: Value| {
        let conversation =
            Conversation { add_generation_prompt: false, continue_final_message: true, ..Conversation::new(&messages) };
        template.render(&conversation).map(ChatPrompt::into_text).map_err(|e| e.to_string())
    };
    let user = json!({"role": "user", "content": "a"});
    let said = go_on(json!([user, {"role": "assistant", "content": "Once upon "}]));
    assert_eq!(said.as_deref(), Ok("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nOnce upon "));
    let problem = "continue_final_message needs a last message of the assistant with text.";
    assert_eq!(go_on(json!([user])).as_deref(), Err(&problem.to_owned()));
    assert_eq!(go_on(json!([user, {"role": "assistant", "content": " "}])).as_deref(), Err(&problem.to_owned()));
}

#[test]
fn what_is_no_template_is_an_error() {
    for source in
        ["{% if %}", "{{ ", "{% include 'other' %}", "{% for x in y %}", "{{ ) }}", "{{ 'a }}", "{% endif %}", "{# a"]
    {
        assert!(matches!(ChatTemplate::new(source, &[]), Err(TemplateError::Syntax(_))), "{source}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(ChatTemplate::new(&deep, &[]).is_err());
}

/// Templates that would take all the time, memory or stack there is.
const HOSTILE: &[&str] = &[
    "{% for x in range(99999) %}{% for y in range(99999) %}{{ y }}{% endfor %}{% endfor %}",
    "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}",
    "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}",
    "{{ 'x' * 1000000000 }}",
    "{{ [1] * 1000000000 }}",
    "{{ 2 ** 2 ** 2 ** 2 ** 2 ** 2 ** 2 ** 2 }}",
    "{% for x in range(100) %}{{ 'x' * 10000000 }}{% endfor %}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x | replace('a', ns.x) %}{% endfor %}",
    "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
    "{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
    "{% set a = namespace(x=[], y=[]) %}{% for i in range(90) %}{% set a.x = [a.x, a.x] %}{% set a.y = [a.y, a.y] %}{% endfor %}\
     {{ a.x == a.y }}",
    "{% set l = [] %}{% for i in range(99999) %}{% set _ = l.append(l) %}{% endfor %}",
    "{% set ns = namespace() %}{% set ns.x = ns %}",
    "{% set ns = namespace() %}{% set ns.x = [{'a': ns}] %}",
    "{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{{ 'b' in s }}{% endfor %}",
    "{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{% if s == s + '' %}{% endif %}{% endfor %}",
    "{% set l = range(99999) | list %}{% for i in l %}{% if 'x' in l %}{% endif %}{% endfor %}",
    "{% set l = range(99999) | map('string') | list %}{{ l | unique | list | length }}",
    "{{ 'x' | center(10000000000) }}",
    "{{ 'a\nb' | indent(10000000000) }}",
    "{{ '%10000000000d' % 1 }}",
    "{{ '%.1000000000f' % 1 }}",
    "{{ '{:>10000000000}'.format(1) }}",
    "{{ 'x'.zfill(10000000000) }}",
    "{{ 'x'.ljust(10000000000) }}",
    "{{ [1] | batch(10000000000, 1) | list }}",
    "{{ [1] | slice(10000000000) | list }}",
    "{{ ('a' * 1000000) | list | length }}",
    "{{ range(99999) | map('string') | map('center', 10000) | list | length }}",
    "{{ raise_exception('no') }}",
    "{{ strftime_now('%Y') }}",
];

#[test]
fn hostile_templates_are_errors_in_little_time_and_stack() {
    let run = || {
        for source in HOSTILE {
            let template = ChatTemplate::new(source, &[]).expect("valid");
            let started = std::time::Instant::now();
            let messages = json!([{"role": "user", "content": "a"}]);
            let result = template.render(&Conversation::new(&messages));
            assert!(result.is_err(), "{source}");
            eprintln!("{:?} {source}", started.elapsed());
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread").join().expect("no overflow");
}

#[test]
fn nested_as_deep_as_may_be() {
    let nests = [
        ("{% if true %}", "x", "{% endif %}"),
        ("{% for a in [1] %}", "x", "{% endfor %}"),
        ("{% with %}", "x", "{% endwith %}"),
        ("{{ (", "1", ") }}"),
    ];
    for (open, inside, close) in nests {
        for depth in [1, 10, 50, 1000] {
            let (open, close) = match open.strip_prefix("{{ ") {
                Some(bracket) => (format!("{{{{ {}", bracket.repeat(depth)), format!("{} }}}}", ")".repeat(depth))),
                None => (open.repeat(depth), close.repeat(depth)),
            };
            let made = ChatTemplate::new(&format!("{open}{inside}{close}"), &[]);
            assert_eq!(made.is_ok(), depth <= 50, "{open}");
        }
    }
}

#[test]
fn templates_that_rank_are_known() {
    let ranks = |source: &str| ChatTemplate::new(source, &[]).expect("sound").ranks();
    for name in builtin_template_names() {
        assert!(!ranks(builtin_template(name).expect("it is built in")), "{name}");
    }
    let role = |name: &str| format!("{{{{ (messages | selectattr('role', 'eq', '{name}') | first).content }}}}");
    assert!(ranks(&format!("{}?{}", role("query"), role("document"))));
    assert!(!ranks(&role("query")));
    assert!(!ranks("the same for all"));
}
