//! Calls of tools as models write them.

use serde_json::{Map, Value};

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// What it is called with.
    pub arguments: Map<String, Value>,
}

impl ToolCall {
    /// Reads `{"name": …, "arguments": {…}}`. Some models write `parameters`, or the arguments as JSON in a text, or none.
    ///
    /// # Errors
    /// If the text is nothing of that kind; says why.
    pub fn parse(text: &str) -> Result<ToolCall, String> {
        let call: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let name = call.get("name").and_then(Value::as_str).ok_or("it has no name")?;
        let arguments = match call.get("arguments").or(call.get("parameters")) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(Value::String(text)) => serde_json::from_str(text).map_err(|e| format!("its arguments: {e}"))?,
            Some(_) => return Err("its arguments are no object".into()),
        };
        Ok(ToolCall { name: name.to_owned(), arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, &str), &str>) {
        let got = ToolCall::parse(text).map(|call| (call.name, Value::Object(call.arguments).to_string()));
        let got = got.as_ref().map(|(name, arguments)| (name.as_str(), arguments.as_str()));
        assert_eq!(got.map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn calls_are_read_in_every_dialect() {
        check(r#"{"name": "f", "arguments": {"x": 1}}"#, Ok(("f", r#"{"x":1}"#)));
        check(r#"{"name": "f", "parameters": {"x": [1]}}"#, Ok(("f", r#"{"x":[1]}"#)));
        check(r#"{"name": "f", "arguments": "{\"x\": 1}"}"#, Ok(("f", r#"{"x":1}"#)));
        check(r#"{"name": "f"}"#, Ok(("f", "{}")));
    }

    #[test]
    fn what_is_no_call_says_why() {
        check("f(1)", Err("expected ident at line 1 column 2"));
        check("[]", Err("it has no name"));
        check(r#"{"name": "f", "arguments": [1]}"#, Err("its arguments are no object"));
        check(
            r#"{"name": "f", "arguments": "{"}"#,
            Err("its arguments: EOF while parsing an object at line 1 column 1"),
        );
    }
}
