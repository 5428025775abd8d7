//! Answers and the events that they are made of.

use answer::{PromptToken, Reason, TokenLogprob, TokenText};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

/// A whole answer.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Answer(pub(crate) answer::Answer);

#[pymethods]
impl Answer {
    #[getter]
    fn text(&self) -> &str {
        &self.0.text
    }

    #[getter]
    fn reasoning(&self) -> &str {
        &self.0.reasoning
    }

    /// The calls of tools: a name, and arguments as JSON.
    #[getter]
    fn tool_calls<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let calls = self.0.calls.iter().map(|call| {
            let dict = PyDict::new(py);
            dict.set_item("name", &call.name)?;
            dict.set_item("arguments", &call.arguments)?;
            Ok(dict)
        });
        PyList::new(py, calls.collect::<PyResult<Vec<_>>>()?)
    }

    #[getter]
    fn finish_reason(&self) -> Option<&'static str> {
        self.0.reason.map(name)
    }

    /// The stop string that ended it.
    #[getter]
    fn stop(&self) -> Option<&str> {
        self.0.stop.as_deref()
    }

    #[getter]
    fn prompt_tokens(&self) -> usize {
        self.0.usage.prompt
    }

    #[getter]
    fn generated_tokens(&self) -> usize {
        self.0.usage.generated
    }

    #[getter]
    fn reasoning_tokens(&self) -> usize {
        self.0.usage.reasoning
    }

    /// The tokens of the text with their log-probabilities, if they were asked for.
    #[getter]
    fn logprobs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.0.logprobs.iter().map(|token| logprob(py, token)).collect()
    }

    /// The tokens of the prompt with theirs, if they were asked for.
    #[getter]
    fn prompt_logprobs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.0.prompt.iter().map(|token| prompt_logprob(py, token)).collect()
    }

    fn __str__(&self) -> &str {
        &self.0.text
    }

    fn __repr__(&self) -> String {
        let reason = self.finish_reason().unwrap_or("none yet");
        format!("Answer(text={:?}, finish_reason={reason:?}, generated_tokens={})", self.0.text, self.0.usage.generated)
    }
}

/// Something that happened in a generation.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Event(pub(crate) answer::Event);

#[pymethods]
impl Event {
    /// `prompt`, `text`, `reasoning`, `tool_call` or `finished`.
    #[getter]
    fn kind(&self) -> &'static str {
        match &self.0 {
            answer::Event::Prompt { .. } => "prompt",
            answer::Event::Text { .. } => "text",
            answer::Event::Reasoning { .. } => "reasoning",
            answer::Event::ToolCall { .. } => "tool_call",
            answer::Event::Finished { .. } => "finished",
        }
    }

    /// Which answer's it is.
    #[getter]
    fn choice(&self) -> usize {
        self.0.choice()
    }

    /// More of the text or of the reasoning, or of the arguments of a call.
    #[getter]
    fn text(&self) -> &str {
        match &self.0 {
            answer::Event::Text { text, .. } | answer::Event::Reasoning { text, .. } => text,
            answer::Event::ToolCall { call, .. } => &call.arguments,
            answer::Event::Prompt { .. } | answer::Event::Finished { .. } => "",
        }
    }

    /// The name of a tool, where its call begins.
    #[getter]
    fn tool(&self) -> Option<&str> {
        match &self.0 {
            answer::Event::ToolCall { call, .. } => call.name.as_deref(),
            _ => None,
        }
    }

    #[getter]
    fn finish_reason(&self) -> Option<&'static str> {
        match &self.0 {
            answer::Event::Finished { reason, .. } => Some(name(*reason)),
            _ => None,
        }
    }

    fn __repr__(&self) -> String {
        format!("Event(kind={:?}, choice={}, text={:?})", self.kind(), self.choice(), self.text())
    }
}

/// As OpenAI's API says it.
fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => "stop",
        Reason::Length => "length",
        Reason::ToolCalls => "tool_calls",
    }
}

fn logprob<'py>(py: Python<'py>, token: &TokenLogprob) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("token", bytes(py, &token.token))?;
    dict.set_item("logprob", token.logprob)?;
    let top: Vec<_> = token.top.iter().map(|(text, logprob)| (bytes(py, text), *logprob)).collect();
    dict.set_item("top", top)?;
    Ok(dict)
}

fn prompt_logprob<'py>(py: Python<'py>, token: &PromptToken) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", token.token.0)?;
    dict.set_item("token", bytes(py, &token.token.1))?;
    dict.set_item("logprob", token.logprob)?;
    let top: Vec<_> = token.top.iter().map(|(id, text, logprob)| (*id, bytes(py, text), *logprob)).collect();
    dict.set_item("top", top)?;
    Ok(dict)
}

/// A token may be a part of a character, so it is bytes.
fn bytes<'py>(py: Python<'py>, token: &TokenText) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &token.0)
}
