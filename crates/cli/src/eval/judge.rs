//! Whether an answer is what is expected.

use serde_json::Value;

use super::json::difference;
use super::sentences::sentences;
use super::{Call, Expect};
use whinchat::{EndReason, Ended};

/// Whether an answer is what is expected.
///
/// # Errors
/// Why not.
pub fn judge(expect: &Expect, answer: &str, ended: &Ended) -> Result<(), String> {
    if let Expect::Contains(texts) = expect {
        let missing = texts.iter().find(|text| !answer.contains(text.as_str()));
        return missing.map_or(Ok(()), |text| Err(format!("{text:?} does not appear")));
    }
    if ended.reason != EndReason::Stop {
        return Err(format!("it was cut off after {} tokens (max_tokens or the context)", ended.generated_tokens));
    }
    match expect {
        Expect::Exact(texts) if texts.iter().any(|text| text == answer.trim()) => Ok(()),
        Expect::Exact(_) => Err("it is not what is expected".into()),
        Expect::Contains(_) => Ok(()),
        Expect::Json(value) => {
            let got = serde_json::from_str(answer).map_err(|e| format!("it is not JSON: {e}"))?;
            difference(value, &got).map_or(Ok(()), Err)
        }
        Expect::ToolCalls(calls) => judge_calls(calls, answer),
        Expect::Grammar(grammar) => {
            let all = sentences(answer);
            let wrong = all.iter().find(|sentence| !grammar.matches(sentence));
            match wrong {
                Some(sentence) => Err(format!("the grammar has no such sentence: {sentence}")),
                None if all.is_empty() => Err("it has no sentence".into()),
                None => Ok(()),
            }
        }
    }
}

fn judge_calls(expected: &[Call], answer: &str) -> Result<(), String> {
    let got = calls(answer)?;
    if got.len() != expected.len() {
        return Err(format!("calls of tools: {} are expected, not {}", expected.len(), got.len()));
    }
    for (i, (expected, got)) in expected.iter().zip(&got).enumerate() {
        let value = |call: &Call| serde_json::json!({ "name": call.name, "arguments": call.arguments });
        if let Some(difference) = difference(&value(expected), &value(got)) {
            return Err(format!("call {}: {difference}", i + 1));
        }
    }
    Ok(())
}

/// The calls that an answer is made of: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, white space between them.
fn calls(answer: &str) -> Result<Vec<Call>, String> {
    if !answer.contains("<tool_call>") {
        return Err("it calls no tool".into());
    }
    let mut calls = Vec::new();
    let mut rest = answer.trim();
    while !rest.is_empty() {
        let Some(inside) = rest.strip_prefix("<tool_call>") else {
            return Err("there is text beside the calls of tools".into());
        };
        let mut values = serde_json::Deserializer::from_str(inside).into_iter::<Value>();
        let value = values.next().unwrap_or(Ok(Value::Null)).map_err(|e| format!("a call is not JSON: {e}"))?;
        calls.push(call(&value).ok_or("a call has no name, or no object of arguments")?);
        let after = inside[values.byte_offset()..].trim_start().strip_prefix("</tool_call>");
        rest = after.ok_or("a call does not end with </tool_call>")?.trim_start();
    }
    Ok(calls)
}

fn call(value: &Value) -> Option<Call> {
    let (name, arguments) = (value.get("name")?.as_str()?, value.get("arguments")?.as_object()?);
    Some(Call { name: name.to_owned(), arguments: arguments.clone() })
}
