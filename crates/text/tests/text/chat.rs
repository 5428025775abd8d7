//! Rendered conversations in tokens: what users write is no control token, and there is one begin of sequence.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use text::{ChatPrompt, ChatTemplate, Conversation, TokenKind, Tokenizer, builtin_template, builtin_template_names};

/// A byte-level vocabulary without merges, in which all of `special` are control tokens.
fn tokenizer(special: &BTreeSet<String>) -> Tokenizer {
    let mut json = crate::small::bpe(crate::small::by_pattern(r"\p{L}+|\p{N}|[^\p{L}\p{N}]+"));
    let tokens = special.iter().enumerate().map(|(i, text)| {
        json!({"id": 300 + i, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    });
    json["added_tokens"].as_array_mut().expect("a list").extend(tokens);
    Tokenizer::from_json(json.to_string().as_bytes(), None).expect("a tokenizer")
}

/// All that looks like a control token in a source: `<|…|>`, `<…>`, `[…]` without blanks in it.
fn control_tokens(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, open) in source.match_indices(['<', '[']) {
        let close = if open == "<" { '>' } else { ']' };
        let text: String =
            source[at..].chars().take(40).take_while(|c| !c.is_whitespace() && !"'\"(){}".contains(*c)).collect();
        if let Some(end) = text.find(close).filter(|end| *end > 2) {
            found.insert(text[..=end].to_owned());
        }
    }
    found
}

/// A conversation in which everybody says `words`.
fn conversation(words: &str) -> (Value, Value) {
    let call = json!({"id": "call00001", "type": "function", "function": {"name": "f", "arguments": {"a": words}}});
    let half = words.len() / 2;
    let half = words.floor_char_boundary(half);
    let messages = json!([
        {"role": "system", "content": words},
        {"role": "user", "content": [{"type": "text", "text": &words[..half]}, {"type": "text", "text": &words[half..]}]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "f", "tool_call_id": "call00001", "content": words},
        {"role": "assistant", "content": format!("Yes. {words}")},
        {"role": "user", "content": words},
    ]);
    let parameters = json!({"type": "object", "properties": {"a": {"type": "string", "description": words}}});
    let function = json!({"name": "f", "description": words, "parameters": parameters});
    (messages, json!([{"type": "function", "function": function}]))
}

/// A conversation in which everybody says `words`.
fn render(template: &ChatTemplate, words: &str) -> ChatPrompt {
    let (messages, tools) = conversation(words);
    let conversation = Conversation { tools: Some(&tools), now: Some(0), ..Conversation::new(&messages) };
    template.render(&conversation).expect("it takes the conversation")
}

fn controls(tokenizer: &Tokenizer, prompt: &ChatPrompt) -> Vec<u32> {
    let ids = tokenizer.encode_chat(prompt);
    assert_eq!(tokenizer.decode(&ids, true), prompt.text(), "nothing is lost");
    ids.into_iter().filter(|id| tokenizer.kind(*id) == TokenKind::Control).collect()
}

/// Whatever users write, the control tokens are those that the template writes.
fn check(name: &str, source: &str) {
    let special = control_tokens(source);
    let (bos, eos) = ("<s>", "</s>");
    let tokenizer = tokenizer(&special.iter().cloned().chain([bos.into(), eos.into()]).collect());
    let template = ChatTemplate::new(source, &[("bos_token", bos), ("eos_token", eos)]).expect("valid");
    let wanted = controls(&tokenizer, &render(&template, "words"));
    assert!(!wanted.is_empty() || special.is_empty(), "{name} has control tokens");
    // Tags of reasoning are what templates look for in what the assistant said.
    let said = special.iter().filter(|token| !token.contains("think") && !token.contains("THINK"));
    for token in said.chain([&bos.to_owned(), &eos.to_owned()]) {
        for words in [format!("{token}{token}"), format!("a <{token}>\n b")] {
            let prompt = render(&template, &words);
            assert_eq!(controls(&tokenizer, &prompt), wanted, "{name} {words:?}");
            // As a text that counts as the template's all of it is control.
            assert!(controls(&tokenizer, &ChatPrompt::trusted(prompt.text())).len() > wanted.len(), "{name} {words:?}");
        }
    }
}

#[test]
fn what_users_write_is_no_control_token() {
    for name in builtin_template_names() {
        check(name, builtin_template(name).expect("there is one"));
    }
    let Some(folder) = crate::common::asset("templates") else { return };
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        check(&path.display().to_string(), &std::fs::read_to_string(&path).expect("text"));
    }
}

#[test]
fn tokens_made_of_what_a_template_takes_away_are_none() {
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.replace('/think', '') | trim }}<|im_end|>{% endfor %}";
    let tokenizer = tokenizer(&control_tokens(source));
    let template = ChatTemplate::new(source, &[]).expect("valid");
    let check = |content: Value| {
        let messages = json!([{"role": "user", "content": content}, {"role": "user", "content": "end|>"}]);
        let prompt = template.render(&Conversation::new(&messages)).expect("renders");
        let ids = tokenizer.encode_chat(&prompt);
        assert_eq!(ids.iter().filter(|id| tokenizer.kind(**id) == TokenKind::Control).count(), 4, "{content}");
    };
    check(json!("<|im_/thinkend|>"));
    check(json!("<|im_"));
    check(json!(["<|im_", "end|>"]));
    check(json!("<|im_end|"));
}

#[test]
fn roles_are_part_of_control_tokens() {
    let template = ChatTemplate::new(builtin_template("phi3").expect("there is one"), &[]).expect("valid");
    let special = ["<|user|>", "<|assistant|>", "<|end|>"].map(String::from).into();
    let messages = json!([{"role": "user", "content": "<|user|>"}]);
    let prompt = template.render(&Conversation::new(&messages)).expect("renders");
    let tokenizer = tokenizer(&special);
    let ids = tokenizer.encode_chat(&prompt);
    let controls: Vec<&str> = ids
        .iter()
        .filter(|id| tokenizer.kind(**id) == TokenKind::Control)
        .filter_map(|id| tokenizer.piece(*id))
        .collect();
    assert_eq!(controls, ["<|user|>", "<|end|>", "<|assistant|>"]);
}

#[test]
fn marks_that_are_not_special_are_the_templates_too() {
    let mut json = crate::small::bpe(crate::small::by_pattern(r"\p{L}+|\p{N}|[^\p{L}\p{N}]+"));
    let tokens = ["<tool_response>", "<b>", "\n\n"].iter().enumerate().map(|(i, text)| {
        json!({"id": 300 + i, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": false})
    });
    json["added_tokens"].as_array_mut().expect("a list").extend(tokens);
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes(), None).expect("a tokenizer");
    let template = ChatTemplate::new("<tool_response>\n\n{{ messages[0].content }}", &[]).expect("valid");
    let messages = json!([{"role": "user", "content": "<tool_response><b>\n\n"}]);
    let ids = tokenizer.encode_chat(&template.render(&Conversation::new(&messages)).expect("renders"));
    let added: Vec<u32> = ids.into_iter().filter(|id| *id >= 300).collect();
    assert_eq!(added, [300, 302, 301, 302]);
}

#[test]
fn keys_are_not() {
    let source = "{% for m in messages %}{% for key in m %}<{{ key }}>{% endfor %}<|end|>{% endfor %}";
    let tokenizer = tokenizer(&["<|end|>".to_owned(), "<role>".to_owned()].into());
    let template = ChatTemplate::new(source, &[]).expect("valid");
    let messages = json!([{"role": "user", "content": "", "|end|": ""}]);
    let prompt = template.render(&Conversation::new(&messages)).expect("renders");
    assert_eq!(prompt.text(), "<role><content><|end|><|end|>");
    assert_eq!(controls(&tokenizer, &prompt).len(), 2);
}

/// Vocabularies of real models, with all their control tokens in a message.
#[test]
fn no_vocabulary_makes_control_tokens_of_text() {
    for name in ["deepseek-llm", "falcon", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"] {
        let Some(file) = crate::common::asset(&format!("tokenizers/gguf/ggml-vocab-{name}.gguf")) else { return };
        let tokenizer =
            Tokenizer::from_gguf(crate::common::gguf_vocab(&std::fs::read(&file).expect("a file"))).expect(name);
        let template =
            ChatTemplate::new("{{ bos_token }}{{ messages[0].content }}", &[("bos_token", "")]).expect("valid");
        let controls = (0..tokenizer.vocab() as u32).filter(|id| tokenizer.kind(*id) == TokenKind::Control);
        for token in controls.filter_map(|id| tokenizer.piece(id)) {
            let messages = json!([{"role": "user", "content": format!("a {token} b")}]);
            let prompt = template.render(&Conversation::new(&messages)).expect("renders");
            let ids = tokenizer.encode_chat(&prompt);
            let own = ids.iter().skip_while(|id| tokenizer.bos() == Some(**id));
            let controls: Vec<&u32> = own.filter(|id| tokenizer.kind(**id) == TokenKind::Control).collect();
            assert!(controls.is_empty(), "{name} {token}: {ids:?}");
            assert!(tokenizer.decode(&ids, false).contains(token), "{name} {token}");
        }
    }
}

#[test]
fn there_is_one_begin_of_sequence() {
    // SentencePiece's vocabulary adds <s>, whose id is 1; the byte-level one adds nothing.
    let adds = Tokenizer::from_json(
        crate::small::sentencepiece(true, true).to_string().as_bytes(),
        Some(&json!({"bos_token": "<s>"})),
    )
    .expect("a tokenizer");
    let check = |text: &str, expected: &[u32]| {
        let ids = adds.encode_chat(&ChatPrompt::trusted(text));
        let begins: Vec<u32> = ids.iter().copied().take_while(|id| *id == 1).collect();
        assert_eq!(begins, expected, "{text:?}: {ids:?}");
    };
    check("the", &[1]);
    check("<s>the", &[1]);
    check("<s><s>the", &[1]);
    check("", &[1]);
    check("<s>", &[1]);
    let special = ["<s>"].map(String::from).into();
    let none = tokenizer(&special);
    assert!(none.encode_chat(&ChatPrompt::trusted("")).is_empty());
}
