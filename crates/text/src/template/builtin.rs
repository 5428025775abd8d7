//! Templates by name, for models whose files have none.

/// Names and templates, in the order of their names.
const TEMPLATES: [(&str, &str); 10] = [
    ("chatml", include_str!("builtin/chatml.jinja")),
    ("deepseek3", include_str!("builtin/deepseek3.jinja")),
    ("gemma", include_str!("builtin/gemma.jinja")),
    ("llama2", include_str!("builtin/llama2.jinja")),
    ("llama3", include_str!("builtin/llama3.jinja")),
    ("mistral-v3", include_str!("builtin/mistral-v3.jinja")),
    ("mistral-v7", include_str!("builtin/mistral-v7.jinja")),
    ("phi3", include_str!("builtin/phi3.jinja")),
    ("vicuna", include_str!("builtin/vicuna.jinja")),
    ("zephyr", include_str!("builtin/zephyr.jinja")),
];

/// The template of this name; `None` if there is none. `chatml` suits most models that have no template of their own.
pub fn builtin_template(name: &str) -> Option<&'static str> {
    TEMPLATES.iter().find(|(own, _)| *own == name).map(|(_, source)| *source)
}

/// All names.
pub fn builtin_template_names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|(name, _)| *name)
}
