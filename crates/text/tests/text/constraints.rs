//! Constraints: which texts each kind takes, what is refused and where, and where they begin after reasoning.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use text::{Constrainer, Constraint, ConstraintMatcher, Dialect, EncodeOptions, GgufVocab, TokenKind, Tokenizer};

/// A token for each byte, `</s>`, and two control tokens.
pub(crate) const END: u32 = 256;
static TOKENIZER: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| {
    let bytes = (0..=255).map(|byte| crate::common::letter(byte).to_string().into_bytes());
    let special = ["</s>", "<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]"];
    let kinds =
        [vec![TokenKind::Normal; 256], vec![TokenKind::Control; special.len()], vec![TokenKind::Normal]].concat();
    let tokens = bytes.chain(special.map(|text| text.as_bytes().to_vec())).chain([b"~~".to_vec()]).collect();
    let vocab = GgufVocab {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens,
        kinds,
        merges: vec![b"~ ~".to_vec()],
        ..GgufVocab::default()
    };
    Arc::new(Tokenizer::from_gguf(vocab).expect("the tests' vocabulary is valid"))
});
pub(crate) static CONSTRAINER: LazyLock<Constrainer> =
    LazyLock::new(|| Constrainer::new(&TOKENIZER, &[END]).expect("a vocabulary of bytes"));

pub(crate) fn compiled(constraint: &Constraint) -> ConstraintMatcher {
    CONSTRAINER.compile(constraint).unwrap_or_else(|e| panic!("{constraint:?}: {} at {:?}", e.message, e.path))
}

/// Whether a matcher takes the text, byte by byte as its masks allow, and lets the answer end there.
pub(crate) fn takes(mut matcher: ConstraintMatcher, text: &str) -> bool {
    let size = TOKENIZER.vocab();
    let mut words = vec![0; size.div_ceil(32)];
    let mut over = false;
    let options = EncodeOptions { add_special: false, parse_special: true };
    let tokens = TOKENIZER.encode(text, options);
    for token in tokens.into_iter().chain([END]) {
        if over {
            return token == END;
        }
        matcher.fill(&mut words).expect("a mask");
        if words[token as usize / 32] >> (token % 32) & 1 == 0 {
            return false;
        }
        over = matcher.accept(token).expect("what a mask allows fits");
    }
    true
}

fn check(constraint: Constraint, right: &[&str], wrong: &[&str]) {
    let matcher = compiled(&constraint);
    for (texts, expected) in [(right, true), (wrong, false)] {
        for text in texts {
            assert_eq!(takes(matcher.clone(), text), expected, "{constraint:?} {text:?}");
        }
    }
}

#[test]
fn each_kind_takes_its_texts() {
    let person = json!({
        "type": "object",
        "properties": { "name": { "type": "string", "maxLength": 3 }, "age": { "type": "integer", "minimum": 0 } },
        "required": ["name"],
        "additionalProperties": false,
    });
    check(
        Constraint::JsonSchema(person),
        &["{\"name\": \"Bo\"}", "{ \"name\":\"\",\n\"age\" :3}", "{\"name\": \"\\n\u{e9}\u{4f60}\"}"],
        &[
            "{}",
            "{\"name\": \"Boris\"}",
            "{\"name\": \"Bo\", \"age\": -1}",
            "{\"name\": \"Bo\", \"x\": 1}",
            "[]",
            "{\"name\": \"Bo\"",
        ],
    );
    check(Constraint::json_object(), &["{}", "{\"a\": [1, {\"b\": null}]}"], &["[]", "1", "", "{\"a\"}"]);
    check(Constraint::JsonSchema(json!(true)), &["1.5e3", "\"a\"", "[]"], &["", "x", "01"]);
    check(Constraint::Regex("[a-c]+(-[0-9]{2})?".into()), &["abc", "a-12"], &["", "d", "a-1", "a-123"]);
    check(Constraint::Regex("a/b".into()), &["a/b"], &["a"]);
    let choices = ["yes", "yes, please", "n\"o\\"].map(str::to_owned);
    check(Constraint::Choice(choices.into()), &["yes", "yes, please", "n\"o\\"], &["", "ye", "yes,", "no"]);
    let lark = "start: \"<\" NAME (\",\" NAME)* \">\"\nNAME: /[a-z]+/";
    check(Constraint::grammar(lark), &["<a>", "<a,bc>"], &["<>", "<a", "<a,>"]);
    // Two words of white space at most follow each other: without end it would be no answer.
    // White space has bounds.
    let indented = |width| format!("{{\n{}}}", " ".repeat(width));
    check(Constraint::json_object(), &["{  }", "{\r\n\t}", &indented(32)], &["{   }", "{\n\n}", &indented(33)]);
}

#[test]
fn gbnf_is_read_with_rules_that_refer_to_themselves() {
    let plain = "root ::= word (\" \" word){0,2} \".\" # a sentence\nword ::= [a-z]+ | \"\\\"\" [^\"]* \"\\\"\"";
    check(Constraint::grammar(plain), &["a.", "a bc \"D e\"."], &["", "a", "a b c d.", "A."]);
    let nested = "root ::= value\nvalue ::= list | number | \"\"\nlist ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n\
                  number ::= [0-9]+ ws\nws ::= [ \\n]*";
    check(Constraint::grammar(nested), &["1", "[]", "[ 1, [2,\n[]] ]", "", "[,]"], &["[", "[1", "1]", "x"]);
    let balanced = "root ::= (\"a\" root \"b\")?";
    check(Constraint::grammar(balanced), &["", "ab", "aabb"], &["a", "aab", "ba"]);
    let left = "root ::= root \"+\" term | term\nterm ::= [0-9] | \"(\" root \")\"";
    check(Constraint::grammar(left), &["1", "1+2", "(1+2)+3"], &["", "+", "1+", "(1"]);
    let any = "root ::= . [^a-c\\n/\\]] [\\x41-\\u00e9]";
    check(Constraint::grammar(any), &["\ndA", "\u{1f980}\u{4f60}\u{e9}"], &["xaA", "x/A", "x]A", "xd0"]);
}

#[test]
fn structural_tags_begin_at_their_triggers() {
    let tag = json!({
        "structures": [{ "begin": "<f=a>", "schema": { "type": "integer" }, "end": "</f>" },
                       { "begin": "<f=b>", "schema": { "type": "boolean" }, "end": "</f>" }],
        "triggers": ["<f="],
    });
    let right = ["Hello.", "", "A <f=a>12</f>, B <f=b>true</f>", "a < b\n"];
    check(Constraint::StructuralTag(tag), &right, &["<f=c>", "<f=a>true</f>", "<f=a>1"]);
}

fn refused(constraint: Constraint, path: &str, message: &str, unsupported: bool) {
    let error = CONSTRAINER.compile(&constraint).err().unwrap_or_else(|| panic!("{constraint:?} is taken"));
    let found = (error.path.as_str(), error.message.contains(message), error.unsupported);
    assert_eq!(found, (path, true, unsupported), "{constraint:?}: {}", error.message);
}

#[test]
fn what_cannot_be_used_is_refused_by_its_place() {
    let schema = |schema: Value| Constraint::JsonSchema(schema);
    let nested = json!({ "properties": { "not": { "items": [{}, { "not": {} }] } } });
    refused(schema(nested), ".properties.not.items[1].not", "`not` is not supported", true);
    refused(
        schema(json!({ "anyOf": [{ "type": "array", "uniqueItems": true }] })),
        ".anyOf[0].uniqueItems",
        "uniqueItems",
        true,
    );
    refused(schema(json!({ "format": "tea" })), ".format", "\"tea\" is not supported", true);
    let overlapping = json!({ "oneOf": [{ "minimum": 1 }, { "maximum": 5 }] });
    refused(schema(overlapping), ".oneOf", "use `anyOf`", true);
    refused(schema(json!(3)), "", "a schema is an object", false);
    refused(schema(json!({ "type": "tree" })), "", "tree", false);
    refused(schema(json!({ "$ref": "#/$defs/x" })), "", "x", false);
    refused(schema(json!({ "type": "string", "minLength": 5, "maxLength": 3 })), "", "nsatisfiable", false);
    // A stranger's options for the compiler are not heard.
    refused(schema(json!({ "not": {}, "x-guidance": { "lenient": true } })), ".not", "not", true);
    refused(Constraint::Regex("(a".into()), "", "", false);
    refused(Constraint::Choice(Vec::new()), "", "at least one", false);
    refused(Constraint::grammar("start: missing"), "", "missing", false);
    refused(Constraint::grammar("root ::= missing"), "", "line 1: there is no rule `missing`", false);
    refused(Constraint::grammar("start: \"a\"\n".repeat(40_000)), "", "at most 262144", false);
    refused(Constraint::StructuralTag(json!({})), ".triggers", "an array", false);
    let tag = json!({ "triggers": ["<a"], "structures": [{ "begin": "<a>", "end": "", "schema": { "not": {} } }] });
    refused(Constraint::StructuralTag(tag), ".structures[0].schema.not", "`not`", true);
}

/// They end within seconds, with an answer or a refusal.
#[test]
fn hostile_constraints_end() {
    let chain: serde_json::Map<_, _> =
        (0..6000).map(|i| (format!("a{i}"), json!({ "$ref": format!("#/$defs/a{}", i + 1) }))).collect();
    let mut deep = json!({ "type": "string" });
    for _ in 0..120 {
        deep = json!({ "items": deep });
    }
    let wide: Vec<Value> =
        (0..3000).map(|i| json!({ "properties": { format!("p{i}"): { "type": "integer" } } })).collect();
    for schema in [
        json!({ "$defs": chain, "$ref": "#/$defs/a0" }),
        deep,
        json!({ "oneOf": wide }),
        json!({ "allOf": wide }),
        json!({ "type": "string", "pattern": "(((a{1,99}){1,99}){1,99}){1,99}" }),
        json!({ "type": "array", "minItems": 1_000_000_000 }),
        json!({ "type": "string", "maxLength": 1_000_000_000 }),
        json!({ "$ref": "#" }),
    ] {
        let _ = CONSTRAINER.compile(&Constraint::JsonSchema(schema));
    }
    for source in [
        format!("start: {}\"a\"{}", "(".repeat(20_000), ")".repeat(20_000)),
        "start: start start | \"a\"?".to_owned(),
        format!("root ::= {}", "[a-z]{1000}".repeat(1000)),
        "root ::= root root | \"\"".to_owned(),
        format!("start: /{}a{}/", "(".repeat(20_000), ")".repeat(20_000)),
    ] {
        let _ = CONSTRAINER.compile(&Constraint::grammar(source));
    }
}

#[test]
fn a_constraint_begins_after_reasoning() {
    let number = compiled(&Constraint::Regex("[0-9]+".into()));
    let after = |prompt: &str| {
        let dialect = Dialect::named("hermes").expect("a dialect");
        let ends = dialect.parser(prompt, &text::CallOptions::default()).reasoning_ends();
        number.clone().after(&ends)
    };
    for (prompt, text, expected) in [
        ("assistant\n", "12", true),
        ("assistant\n", "<think>a</think>12", false),
        ("assistant\n<think>\n", "{a} 1 b</think>12", true),
        ("assistant\n<think>\n", "a</think>\n\n12", true),
        ("assistant\n<think>\n", "a</think>\n\n\n\n\n12", false),
        ("assistant\n<think>\n", "a</think>x", false),
        ("assistant\n<think>\n", "a</think>1</think>", false),
    ] {
        assert_eq!(takes(after(prompt), text), expected, "{prompt:?} {text:?}");
    }
}

#[test]
fn calls_are_written_as_the_dialect_does() {
    let tools = json!([
        { "type": "function", "function": { "name": "add", "parameters": {
            "properties": { "x": { "type": "integer" } }, "required": ["x"], "additionalProperties": false } } },
        { "type": "function", "function": { "name": "now" } },
    ]);
    let check = |name: &str, tool: Option<&str>, parallel: bool, text: &str, calls: Option<usize>| {
        let dialect = Dialect::named(name).expect("a dialect");
        let constraint = dialect.calls(&tools, (tool, parallel), "", &TOKENIZER).expect("right").expect("has a form");
        assert_eq!(takes(compiled(&Constraint::Calls(constraint)), text), calls.is_some(), "{name} {text}");
        let options = text::CallOptions { tools: Some(&tools), parallel, pieces: false };
        let mut parser = dialect.parser("", &options);
        let found = parser.push(text).into_iter().chain(parser.finish());
        let found = found.filter(|part| matches!(part, text::Part::ToolCall(_))).count();
        assert!(calls.is_none_or(|calls| calls == found), "{name} {text}: {found}");
    };
    let hermes = |name: &str, arguments: &str| {
        format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>")
    };
    let two = [hermes("add", "{\"x\": 1}"), hermes("now", "{}")].join("\n");
    check("hermes", None, true, &two, Some(2));
    check("hermes", None, false, &two, None);
    check("hermes", Some("now"), true, &hermes("now", "{\"a\": 1}"), Some(1));
    check("hermes", Some("now"), true, &hermes("add", "{\"x\": 1}"), None);
    check("hermes", None, true, &hermes("add", "{}"), None);
    check("hermes", None, true, "Hello.", None);
    check("llama3", None, true, "{\"name\": \"add\", \"parameters\": {\"x\": 1}}", Some(1));
    check("granite", None, true, &hermes("now", "{}"), Some(1));
    check("mistral", None, true, "", None);
    let call = "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"x\": 1}";
    check("gpt-oss", None, true, call, Some(1));
    check(
        "gpt-oss",
        None,
        true,
        &format!("<|channel|>analysis<|message|>x < y<|end|><|start|>assistant{call}"),
        Some(1),
    );
    check("gpt-oss", None, true, "<|channel|>analysis<|message|>x<|end|>", None);
    check("gpt-oss", None, true, "<|channel|>final<|message|>x", None);
    check("functionary", None, true, ">>>add\n{\"x\": 1}>>>now\n{}", Some(2));
    check("functionary", None, false, ">>>add\n{\"x\": 1}>>>now\n{}", None);
    check("functionary", None, true, ">>>all\nx", None);
    let command = "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"add\", \"parameters\": {\"x\": 1}}\n]<|END_ACTION|>";
    check("command", None, true, command, Some(1));
    check("command", None, true, &format!("<|START_THINKING|>I add.<|END_THINKING|>{command}"), Some(1));
    assert!(
        Dialect::named("plain")
            .expect("a dialect")
            .calls(&tools, (None, true), "", &TOKENIZER)
            .expect("right")
            .is_none()
    );
    let wrong = Dialect::named("hermes").expect("a dialect").calls(&tools, (Some("sub"), true), "", &TOKENIZER);
    assert!(wrong.expect_err("no such tool").message.contains("`sub`"));
}

#[test]
fn a_prompt_may_have_begun_the_call() {
    let tools = json!([{ "function": { "name": "now" } }]);
    let check = |prompt: &str, text: &str, expected: bool| {
        let dialect = Dialect::named("functionary").expect("a dialect");
        let calls = dialect.calls(&tools, (None, true), prompt, &TOKENIZER).expect("right").expect("a form");
        assert_eq!(takes(compiled(&Constraint::Calls(calls)), text), expected, "{prompt:?} {text:?}");
    };
    check("assistant\n\n>>>", "now\n{}", true);
    check("assistant\n\n>>>", ">>>now\n{}", false);
    check("assistant\n\n", ">>>now\n{}", true);
}

#[test]
fn arguments_may_be_written_one_by_one() {
    let tools = json!([{ "function": { "name": "mix", "parameters": {
        "$defs": { "unit": { "enum": ["C", "F"] }, "point": { "type": "object", "properties": { "x": { "type": "integer" } }, "required": ["x"] } },
        "properties": {
            "note": { "type": "string" },
            "count": { "type": "integer", "minimum": 0 },
            "unit": { "$ref": "#/$defs/unit" },
            "tags": { "type": "array", "items": { "type": "string" } },
            "at": { "$ref": "#/$defs/point" },
            "any": {},
        },
        "required": ["count", "unit"],
    } } }]);
    let check = |name: &str, text: &str, expected: Option<Value>| {
        let dialect = Dialect::named(name).expect("a dialect");
        let calls = dialect.calls(&tools, (None, true), "", &TOKENIZER).expect("right").expect("a form");
        assert_eq!(takes(compiled(&Constraint::Calls(calls)), text), expected.is_some(), "{name} {text}");
        let mut parser = dialect.parser("", &text::CallOptions { tools: Some(&tools), parallel: true, pieces: false });
        let parts = parser.push(text).into_iter().chain(parser.finish());
        let arguments = parts.filter_map(|part| match part {
            text::Part::ToolCall(call) => Some(call.arguments),
            _ => None,
        });
        if let Some(expected) = expected {
            let read: Vec<Value> = arguments.map(|text| serde_json::from_str(&text).expect("JSON")).collect();
            assert_eq!(read, [expected], "{name} {text}");
        }
    };
    let all =
        json!({ "note": "a <b> & c", "count": 3, "unit": "C", "tags": ["x", "y"], "at": { "x": 1 }, "any": true });
    let few = json!({ "count": 0, "unit": "F" });
    let lfm = |arguments: &str| format!("<|tool_call_start|>[mix({arguments})]<|tool_call_end|>");
    check(
        "lfm2",
        &lfm("note=\"a <b> & c\", count=3, unit=\"C\", tags=[\"x\", \"y\"], at={\"x\": 1}, any=true"),
        Some(all.clone()),
    );
    check("lfm2", &lfm("count=0, unit=\"F\""), Some(few.clone()));
    check("lfm2", &lfm("count=0"), None);
    check("lfm2", &lfm("count=-1, unit=\"F\""), None);
    check("lfm2", &lfm("count=0, unit=\"K\""), None);
    let gemma = |arguments: &str| format!("<|tool_call>call:mix{{{arguments}}}<tool_call|>");
    check(
        "gemma4",
        &gemma(
            "note:<|\"|>a <b> & c<|\"|>,count:3,unit:<|\"|>C<|\"|>,tags:[<|\"|>x<|\"|>,<|\"|>y<|\"|>],at:{x:1},any:true",
        ),
        Some(all.clone()),
    );
    check("gemma4", &gemma("count:0,unit:<|\"|>F<|\"|>"), Some(few.clone()));
    check("gemma4", &gemma("count:0,unit:<|\"|>F<|\"|>,at:{x:y}"), None);
    check("gemma4", &gemma("unit:<|\"|>F<|\"|>"), None);
    let any = json!({ "count": 0, "unit": "F", "any": { "a": [1, "b", {}] } });
    check("gemma4", &gemma("count:0,unit:<|\"|>F<|\"|>,any:{a:[1,<|\"|>b<|\"|>,{}]}"), Some(any));
    let element = |(name, value): (&str, &str)| format!("<parameter={name}>\n{value}\n</parameter>\n");
    let qwen = |arguments: &[(&str, &str)]| {
        let arguments: String = arguments.iter().copied().map(element).collect();
        format!("<tool_call>\n<function=mix>\n{arguments}</function>\n</tool_call>")
    };
    let values = [
        ("note", "a <b> & c"),
        ("count", "3"),
        ("unit", "C"),
        ("tags", "[\"x\", \"y\"]"),
        ("at", "{\"x\": 1}"),
        ("any", "true"),
    ];
    check("qwen3-coder", &qwen(&values), Some(all.clone()));
    check("qwen3-coder", &qwen(&[("count", "0"), ("unit", "F")]), Some(few.clone()));
    check("qwen3-coder", &qwen(&[("count", "none"), ("unit", "F")]), None);
    check("qwen3-coder", &qwen(&[("count", "0")]), None);
    let written = |arguments: &[(&str, &str)], [before, between, after]: [&str; 3]| -> String {
        arguments.iter().map(|(name, value)| [before, name, between, value, after].concat()).collect()
    };
    let glm = |arguments: &[(&str, &str)]| {
        let arguments = written(arguments, ["<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"]);
        format!("<tool_call>mix\n{arguments}</tool_call>")
    };
    check("glm", &glm(&values), Some(all.clone()));
    check("glm", &glm(&values[1..2]), None);
    let seed = written(&values, ["<parameter=", ">", "</parameter>\n"]);
    check(
        "seed-oss",
        &format!("<seed:tool_call>\n<function=mix>\n{seed}</function>\n</seed:tool_call>"),
        Some(all.clone()),
    );
    let minimax = written(&values, ["<parameter name=\"", "\">", "</parameter>\n"]);
    check(
        "minimax-m2",
        &format!("<minimax:tool_call>\n<invoke name=\"mix\">\n{minimax}</invoke>\n</minimax:tool_call>"),
        Some(all),
    );
}

#[test]
fn what_a_dialect_cannot_be_held_to_is_refused_by_name() {
    let check = |name: &str, parameters: Value, path: &str| {
        let tools = json!([{ "function": { "name": "f", "parameters": parameters } }]);
        let calls = Dialect::named(name).expect("a dialect").calls(&tools, (None, true), "", &TOKENIZER);
        let error = calls.expect_err("refused");
        assert_eq!((error.path.as_str(), error.unsupported), (path, true), "{name}: {error}");
    };
    let of = |schema: Value| json!({ "properties": { "a": schema } });
    check("glm", of(json!({ "type": "string", "pattern": "x" })), "[0].function.parameters.properties.a.pattern");
    check(
        "gemma4",
        of(json!({ "items": {}, "type": "array", "uniqueItems": true })),
        "[0].function.parameters.properties.a.uniqueItems",
    );
    check("gemma4", of(json!({ "type": "array", "minItems": 2 })), "[0].function.parameters.properties.a.minItems");
    check("lfm2", json!({ "properties": { "a-b": {} } }), "[0].function.parameters.properties.a-b");
    check("lfm2", json!({ "anyOf": [{}] }), "[0].function.parameters.anyOf");
    check("qwen3-coder", json!({ "properties": {}, "required": ["a"] }), "[0].function.parameters");
}
