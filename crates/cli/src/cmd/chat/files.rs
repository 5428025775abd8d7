//! Conversations and tools in files, in OpenAI's form.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::conversation::Conversation;

/// Reads a list of tools: OpenAI's `tools`, alone or in an object as a request has it.
pub(super) fn read_tools(path: &Path) -> anyhow::Result<Value> {
    let mut json = read(path)?;
    let tools = if json.is_object() { json["tools"].take() } else { json };
    check_tools(&tools).with_context(|| format!("{} is no list of tools", path.display()))?;
    Ok(tools)
}

/// The names of tools.
pub(super) fn names(tools: &Value) -> Vec<&str> {
    tools.as_array().into_iter().flatten().filter_map(|tool| tool["function"]["name"].as_str()).collect()
}

fn check_tools(tools: &Value) -> anyhow::Result<()> {
    let count = tools.as_array().map_or(0, Vec::len);
    let form = r#"write [{"type": "function", "function": {"name": …, "parameters": {…}}}]"#;
    ensure!(count > 0 && names(tools).len() == count, "{form}");
    Ok(())
}

/// Reads a conversation: an array of messages, or an object with `messages` and, if it likes, `tools`.
pub(super) fn read_conversation(path: &Path) -> anyhow::Result<Conversation> {
    let mut json = read(path)?;
    let tools = json.get_mut("tools").map(Value::take).filter(|tools| !tools.is_null());
    let messages = json.get_mut("messages").map(Value::take).unwrap_or(json);
    let what = || format!("{} is no conversation", path.display());
    let Value::Array(messages) = messages else {
        bail!("{}: write [{{\"role\": \"user\", \"content\": …}}, …]", what());
    };
    messages.iter().enumerate().try_for_each(|(i, message)| check_message(i, message)).with_context(what)?;
    tools.iter().try_for_each(check_tools).with_context(what)?;
    Ok(Conversation::new(None, tools, messages))
}

fn check_message(i: usize, message: &Value) -> anyhow::Result<()> {
    let role = message["role"].as_str().unwrap_or_default();
    ensure!(
        matches!(role, "system" | "developer" | "user" | "assistant" | "tool"),
        "messages[{i}].role must be system, user, assistant or tool"
    );
    let content = &message["content"];
    let called = message["tool_calls"].is_array();
    ensure!(content.is_string() || content.is_array() || called, "messages[{i}].content must be a string");
    Ok(())
}

/// Writes a conversation as the body of a request: `curl -d @FILE` can send it.
pub(super) fn write_conversation(path: &Path, conversation: &Conversation) -> anyhow::Result<()> {
    let mut body = json!({ "messages": conversation.messages() });
    if let Some(tools) = &conversation.tools {
        body["tools"] = tools.clone();
    }
    let text = serde_json::to_string_pretty(&body)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| anyhow::anyhow!("cannot read {}: {e}; give the path of a JSON file", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The file that a person names: `~/` is home.
pub(super) fn path(name: &str) -> PathBuf {
    match name.strip_prefix("~/").zip(std::env::var_os("HOME")) {
        Some((rest, home)) => PathBuf::from(home).join(rest),
        None => PathBuf::from(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reading `text` as a conversation, and as tools, says.
    fn check(text: &str, conversation: &str, tools: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.json");
        std::fs::write(&file, text).expect("written");
        let said = |result: anyhow::Result<String>| {
            let text = result.unwrap_or_else(|e| format!("{e:#}"));
            text.replace(&format!("{}", file.display()), "FILE")
        };
        let read = read_conversation(&file).map(|c| Value::Array(c.messages()).to_string());
        assert_eq!(said(read), conversation, "{text}");
        assert_eq!(said(read_tools(&file).map(|t| names(&t).join(" "))), tools, "{text}");
    }

    const TOOLS: &str =
        r#"FILE is no list of tools: write [{"type": "function", "function": {"name": …, "parameters": {…}}}]"#;

    #[test]
    fn what_a_file_must_say() {
        let hi = r#"[{"role":"user","content":"hi"}]"#;
        check(hi, hi, TOOLS);
        check(&format!(r#"{{"messages": {hi}, "tools": null}}"#), hi, TOOLS);
        let tools = r#"[{"type": "function", "function": {"name": "f"}}]"#;
        check(&format!(r#"{{"messages": {hi}, "tools": {tools}}}"#), hi, "f");
        check(tools, "FILE is no conversation: messages[0].role must be system, user, assistant or tool", "f");
        check("{}", r#"FILE is no conversation: write [{"role": "user", "content": …}, …]"#, TOOLS);
        check(r#"[{"role": "user"}]"#, "FILE is no conversation: messages[0].content must be a string", TOOLS);
        let broken = "FILE is not JSON: EOF while parsing a list at line 1 column 1";
        check("[", broken, broken);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.json");
        let messages = vec![json!({"role": "system", "content": "s"}), json!({"role": "user", "content": "ü"})];
        write_conversation(&file, &Conversation::new(None, None, messages.clone())).expect("written");
        assert_eq!(read_conversation(&file).expect("read").messages(), messages);
    }
}
