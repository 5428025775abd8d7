//! How long a conversation takes to be rendered, and an answer to be separated into its parts.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use text::{CallOptions, ChatTemplate, Conversation, Dialect};

/// Templates of models print tools and turns much like this.
const TEMPLATE: &str = "{%- if tools %}{{- '<|im_start|>system\\n' }}{%- for tool in tools %}{{- '\\n' + tool | tojson }}{%- endfor %}\
    {{- '<|im_end|>\\n' }}{%- endif %}{%- for message in messages %}{%- set content = message.content | trim %}\
    {{- '<|im_start|>' + message.role + '\\n' + content }}{%- if message.tool_calls %}{%- for call in message.tool_calls %}\
    {{- '\\n<tool_call>\\n{\"name\": \"' + call.function.name + '\", \"arguments\": ' + call.function.arguments | tojson + '}\\n</tool_call>' }}\
    {%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

fn rendering(c: &mut Criterion) {
    let mut group = c.benchmark_group("rendering");
    let template = ChatTemplate::new(TEMPLATE, &[]).expect("valid");
    for turns in [2, 200] {
        let turn = |i: usize| {
            let role = if i.is_multiple_of(2) { "user" } else { "assistant" };
            json!({ "role": role, "content": "A sentence of some length, as people write them. ".repeat(8) })
        };
        let messages: Value = (0..turns).map(turn).collect();
        group.throughput(Throughput::Bytes(messages.to_string().len() as u64));
        group.bench_function(format!("{turns} turns"), |b| {
            b.iter(|| template.render(&Conversation::new(&messages)).expect("renders"));
        });
    }
}

fn dialects(c: &mut Criterion) {
    let mut group = c.benchmark_group("dialects");
    let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"text\": \"a b c d e f g h\"}}\n</tool_call>\n";
    let text = "An answer in which nothing happens, token by token. ";
    for (title, answer) in [("text", text.repeat(200)), ("calls", call.repeat(100))] {
        // Tokens are about four bytes long.
        let tokens: Vec<String> =
            answer.as_bytes().chunks(4).map(|token| String::from_utf8_lossy(token).into()).collect();
        group.throughput(Throughput::Elements(tokens.len() as u64));
        group.bench_function(title, |b| {
            b.iter(|| {
                let mut parser = Dialect::named("hermes").expect("known").parser("", &CallOptions::default());
                let parts: usize = tokens.iter().map(|token| parser.push(token).len()).sum();
                parts + parser.finish().len()
            });
        });
    }
}

criterion_group!(benches, rendering, dialects);
criterion_main!(benches);
