//! A resolved configuration for people and programs, with where each value comes from. Secrets are not in it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::compare::whole;
use crate::{Resolved, Setting, settings};

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";

const INDENT: &str = "  ";

/// As a file of YAML with a comment at each value.
pub fn yaml(resolved: &Resolved) -> String {
    let config = whole(&resolved.config);
    let (mut text, mut open) = (String::new(), Vec::new());
    for setting in settings() {
        let mut blocks: Vec<&str> = setting.path.split('.').collect();
        let key = blocks.pop().unwrap_or_default();
        let common = blocks.iter().zip(&open).take_while(|(new, open)| new == open).count();
        // Writing into a string cannot fail.
        for (depth, block) in blocks.iter().enumerate().skip(common) {
            let _ = writeln!(text, "{}{block}:", INDENT.repeat(depth));
        }
        let (indent, value) = (INDENT.repeat(blocks.len()), printable(&shown(setting, &config)));
        let _ = writeln!(text, "{indent}{key}: {value}  # {}", resolved.origin(setting));
        open = blocks;
    }
    text
}

/// As a list: key, value, from.
pub fn json(resolved: &Resolved) -> Value {
    let config = whole(&resolved.config);
    let row = |setting: &Setting| {
        let from = resolved.origin(setting).to_string();
        json!({ "key": setting.path, "value": shown(setting, &config), "from": from, "live": setting.live })
    };
    settings().iter().map(row).collect()
}

/// As JSON, without the characters that JSON may have and YAML may not: they can only be in texts.
fn printable(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        let code = u32::from(c);
        match code {
            0x7F..0xA0 | 0x2028 | 0x2029 | 0xFEFF | 0xFFFE | 0xFFFF => text += &format!("\\u{code:04x}"),
            _ => text.push(c),
        }
    }
    text
}

fn shown(setting: &Setting, config: &Value) -> Value {
    match setting.of(config) {
        Value::Null => Value::Null,
        _ if setting.secret => HIDDEN.into(),
        value => value.clone(),
    }
}
