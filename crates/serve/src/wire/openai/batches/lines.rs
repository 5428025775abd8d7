//! The lines of a batch's file: each is a request.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Lines in a file at most, as OpenAI has it.
const MAX_LINES: usize = 50_000;

/// Problems that are told at most.
const MAX_PROBLEMS: usize = 100;

/// The requests of a file as `custom_id` and body; or what is wrong with it, as OpenAI's list of errors.
pub(super) fn read(content: &[u8], endpoint: &str) -> Result<Vec<(String, String)>, Value> {
    let text = std::str::from_utf8(content).map_err(|_| problems(&[problem(None, "The file is not UTF-8.".into())]))?;
    let (mut lines, mut wrong, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match request(line, endpoint) {
            Ok((id, _)) if !seen.insert(id.clone()) => {
                wrong.push(problem(Some(number), format!("custom_id `{id}` is that of an earlier line.")));
            }
            Ok(request) => lines.push(request),
            Err(message) => wrong.push(problem(Some(number), message)),
        }
        if wrong.len() >= MAX_PROBLEMS {
            break;
        }
    }
    if lines.is_empty() && wrong.is_empty() {
        wrong.push(problem(None, "The file has no requests.".into()));
    }
    if lines.len() > MAX_LINES {
        wrong.push(problem(None, format!("The file has {} requests; at most {MAX_LINES} may be in one.", lines.len())));
    }
    if wrong.is_empty() { Ok(lines) } else { Err(problems(&wrong)) }
}

fn request(line: &str, endpoint: &str) -> Result<(String, String), String> {
    let request: Value = serde_json::from_str(line).map_err(|e| format!("This line is not JSON: {e}."))?;
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let id = text("custom_id").ok_or("custom_id must be a string.")?;
    if text("method") != Some("POST") {
        return Err("method must be POST.".into());
    }
    if text("url") != Some(endpoint) {
        return Err(format!("url must be {endpoint}, the endpoint of the batch."));
    }
    let body = request.get("body").filter(|body| body.is_object()).ok_or("body must be an object.")?;
    if body.get("stream").is_some_and(|stream| *stream == true) {
        return Err("body.stream must be false: an answer is a line of a file.".into());
    }
    Ok((id.to_owned(), body.to_string()))
}

fn problem(line: Option<usize>, message: String) -> Value {
    json!({ "code": "invalid_request", "line": line, "message": message, "param": null })
}

fn problems(all: &[Value]) -> Value {
    json!({ "object": "list", "data": all })
}
