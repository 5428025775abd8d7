//! Chat templates: the model's own Jinja, rendered with limits.

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not valid Jinja.
    #[error("the model's chat template is not valid: {0}")]
    Syntax(String),
    /// It refused the conversation (raise_exception) or failed on it.
    #[error("the model's chat template does not take this conversation: {0}")]
    Render(String),
}

/// A compiled chat template. Shared between threads.
pub struct ChatTemplate {}

impl ChatTemplate {
    /// Compiles `source`; `special` are the texts of the special tokens it may name (`bos_token`, `eos_token` …).
    ///
    /// # Errors
    /// If it is not valid Jinja.
    pub fn new(source: &str, special: &[(&str, &str)]) -> Result<ChatTemplate, TemplateError> {
        let _ = (source, special);
        todo!()
    }

    /// Renders a conversation. `messages` and `tools` are OpenAI's JSON; `extra` are further variables
    /// (`chat_template_kwargs`).
    ///
    /// # Errors
    /// If the template refuses the conversation, fails, or runs too long.
    pub fn render(
        &self,
        messages: &serde_json::Value,
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
        extra: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String, TemplateError> {
        let _ = (messages, tools, add_generation_prompt, extra);
        todo!()
    }
}
