//! Chat templates: the model's own Jinja, rendered with limits as Hugging Face renders it.

mod json;
mod messages;
mod time;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

/// Instructions a template may run: a thousand for each of a thousand messages.
const FUEL: u64 = 1_000_000;
/// Stack for one rendering, memory only as far as it is used. With its fuel a template can nest lists 300,000 deep, and
/// printing or dropping those takes some hundred bytes of stack for each.
const STACK: usize = 256 << 20;
/// Bytes a template may write.
const LONGEST: usize = 64 << 20;
/// The name under which the template is kept.
const NAME: &str = "chat";

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not valid Jinja.
    #[error("the model's chat template is not valid: {0}")]
    Syntax(String),
    /// It refused the conversation (raise_exception) or failed on it.
    #[error("the model's chat template does not take this conversation: {0}")]
    Render(String),
}

/// A compiled chat template. Shared between threads.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    special: Vec<(String, String)>,
    source: String,
    takes_parts: bool,
}

impl ChatTemplate {
    /// Compiles `source`; `special` are the texts of the special tokens it may name (`bos_token`, `eos_token` …).
    ///
    /// # Errors
    /// If it is not valid Jinja.
    pub fn new(source: &str, special: &[(&str, &str)]) -> Result<ChatTemplate, TemplateError> {
        let mut env = environment()?;
        let compiled = env.add_template_owned(NAME, without_generation_tags(source));
        compiled.map_err(|e| TemplateError::Syntax(reason(&e)))?;
        let special = special.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Ok(ChatTemplate { env, special, source: source.to_owned(), takes_parts: messages::takes_parts(source) })
    }

    /// Renders a conversation. `messages` and `tools` are OpenAI's JSON; `extra` are further variables
    /// (`chat_template_kwargs`). `extra["now"]`, seconds since 1970, is the time for templates that ask for it
    /// (`strftime_now`, UTC); without it they find no such function.
    ///
    /// A message whose content is a list of text parts is given as text (parts by lines) to a template that cannot take
    /// lists. Arguments of tool calls that are JSON in a text, as on OpenAI's wire, are given as the object they are, or as
    /// text to a template that fails on objects.
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
        let first = self.render_messages(
            messages::value(messages, self.takes_parts, true),
            tools,
            add_generation_prompt,
            extra,
        );
        match first {
            Err(_) if messages::has_text_arguments(messages) => {
                let as_given = messages::value(messages, self.takes_parts, false);
                self.render_messages(as_given, tools, add_generation_prompt, extra)
            }
            first => first,
        }
    }

    fn render_messages(
        &self,
        messages: Value,
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
        extra: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String, TemplateError> {
        let now = extra.get("now").and_then(serde_json::Value::as_i64);
        let mut context: Vec<(String, Value)> = Vec::new();
        context.extend(self.special.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))));
        context.extend(extra.iter().filter(|(name, _)| *name != "now").map(|(n, v)| (n.clone(), json::value(v))));
        if let Some(now) = now {
            let strftime = move |format: &str| time::strftime(format, now);
            context.push(("strftime_now".into(), Value::from_function(strftime)));
        }
        context.push(("messages".into(), messages));
        context.push(("tools".into(), tools.map_or(Value::from(()), json::value)));
        context.push(("documents".into(), extra.get("documents").map_or(Value::from(()), json::value)));
        context.push(("add_generation_prompt".into(), Value::from(add_generation_prompt)));
        let failed = |why: &dyn std::fmt::Display| TemplateError::Render(why.to_string());
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("chat template".into()).stack_size(STACK);
            let rendering = thread.spawn_scoped(scope, || self.render_context(context)).map_err(|e| failed(&e))?;
            rendering.join().map_err(|_| failed(&"the template engine gave up"))?
        })
    }

    fn render_context(&self, context: Vec<(String, Value)>) -> Result<String, TemplateError> {
        let failed = |e: Error| TemplateError::Render(reason(&e));
        let mut out = Limited(Vec::new());
        let template = self.env.get_template(NAME).map_err(failed)?;
        template.render_captured_to(Value::from_pairs(context), &mut out).map_err(failed)?;
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }

    /// Whether its source has this word in it: a template that never says `tool_calls` has no place for them.
    pub fn mentions(&self, word: &str) -> bool {
        self.source.contains(word)
    }

    /// Whether the template itself takes messages whose content is a list of parts.
    pub fn takes_parts(&self) -> bool {
        self.takes_parts
    }
}

fn environment() -> Result<Environment<'static>, TemplateError> {
    let mut env = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    env.set_syntax(syntax.map_err(|e| TemplateError::Syntax(reason(&e)))?);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_debug(false);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_filter("tojson", tojson);
    // As in Python, where None is not iterable; templates ask this of `tools`.
    env.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    env.add_function("raise_exception", |message: Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.to_string()))
    });
    Ok(env)
}

/// Hugging Face's `tojson`: Python's json.dumps, nothing escaped for HTML.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let line = if indent.is_some() { "," } else { ", " };
    let (item, key) = match options.get::<Option<Vec<String>>>("separators")?.as_deref() {
        None => (line.to_owned(), ": ".to_owned()),
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "separators are two texts")),
    };
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    json::write(value, &json::Style { indent, item, key, ascii, sorted })
}

/// The tags that mark what the model said change nothing in what is rendered, but what they enclose has its own scope.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = tag[2..].find("%}").map(|at| at + 2) else {
            rest = tag;
            break;
        };
        let inside = &tag[2..end];
        let name = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        match name {
            "generation" => out.push_str(&format!("{{%{}%}}", inside.replace("generation", "with"))),
            "endgeneration" => out.push_str(&format!("{{%{}%}}", inside.replace("endgeneration", "endwith"))),
            _ => out.push_str(&tag[..end + 2]),
        }
        rest = &tag[end + 2..];
    }
    out + rest
}

/// What went wrong and in which line, without the engine's own words for where a template comes from.
fn reason(error: &Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}

/// Takes what a template writes up to a limit.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other("it writes too much"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
