//! Whether an answer is what is expected.

use serde_json::Value;

use super::json::difference;
use super::sentences::sentences;
use super::{Call, Expect};
use whinchat::{Answer, Reason};

/// Whether an answer is what is expected.
///
/// # Errors
/// Why not.
pub(crate) fn judge(expect: &Expect, answer: &Answer) -> Result<(), String> {
    let text = answer.text.as_str();
    if let Expect::Contains(texts) = expect {
        let missing = texts.iter().find(|wanted| !text.contains(wanted.as_str()));
        return missing.map_or(Ok(()), |wanted| Err(format!("{wanted:?} does not appear")));
    }
    if answer.reason == Some(Reason::Length) {
        return Err(format!("it was cut off after {} tokens (max_tokens or the context)", answer.usage.generated));
    }
    match expect {
        Expect::Exact(texts) if texts.iter().any(|wanted| wanted == text.trim()) => Ok(()),
        Expect::Exact(_) => Err("it is not what is expected".into()),
        // What contains texts is judged above, options by their likelihoods.
        Expect::Contains(_) | Expect::Choice(_) => Ok(()),
        Expect::Json(value) => {
            let got = serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?;
            difference(value, &got).map_or(Ok(()), Err)
        }
        Expect::ToolCalls(calls) => judge_calls(calls, answer),
        Expect::Grammar(grammar) => {
            let all = sentences(text);
            let wrong = all.iter().find(|sentence| !grammar.matches(sentence));
            match wrong {
                Some(sentence) => Err(format!("the grammar has no such sentence: {sentence}")),
                None if all.is_empty() => Err("it has no sentence".into()),
                None => Ok(()),
            }
        }
    }
}

fn judge_calls(expected: &[Call], answer: &Answer) -> Result<(), String> {
    if answer.calls.is_empty() {
        return Err("it calls no tool".into());
    }
    if !answer.text.trim().is_empty() {
        return Err("there is text beside the calls of tools".into());
    }
    if answer.calls.len() != expected.len() {
        return Err(format!("calls of tools: {} are expected, not {}", expected.len(), answer.calls.len()));
    }
    for (i, (expected, got)) in expected.iter().zip(&answer.calls).enumerate() {
        let arguments: Value =
            serde_json::from_str(&got.arguments).map_err(|e| format!("call {}: its arguments: {e}", i + 1))?;
        let expected = serde_json::json!({ "name": expected.name, "arguments": expected.arguments });
        let got = serde_json::json!({ "name": got.name, "arguments": arguments });
        if let Some(difference) = difference(&expected, &got) {
            return Err(format!("call {}: {difference}", i + 1));
        }
    }
    Ok(())
}
