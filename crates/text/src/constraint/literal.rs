//! Literals of Lark grammars.

/// A text as a literal; its escapes are JSON's.
pub(crate) fn quoted(text: &str) -> String {
    // The space keeps a letter that follows from being read as a flag.
    serde_json::Value::from(text).to_string() + " "
}
