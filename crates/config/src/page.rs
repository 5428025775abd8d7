//! The settings as a page of Markdown.

use serde_json::Value;

use crate::setting::properties;
use crate::{Profile, Setting, schema, settings};

/// A table for each section.
pub fn markdown() -> String {
    let mut page = String::new();
    let alone = settings().iter().filter(|setting| setting.section().is_none() && !setting.is_list_of_objects());
    page += &table(alone);
    for (name, section) in properties(schema()) {
        let about = section["description"].as_str().unwrap_or_default();
        let inside: Vec<&Setting> = settings().iter().filter(|setting| setting.section() == Some(name)).collect();
        let items = properties(&section["items"]);
        if inside.is_empty() && items.is_empty() {
            continue;
        }
        page += &format!("\n## {name}\n\n{about}\n\n");
        page += &match items.is_empty() {
            true => table(inside.into_iter()),
            false => objects(name, section),
        };
    }
    page + &profiles()
}

fn table<'a>(settings: impl Iterator<Item = &'a Setting>) -> String {
    let head = "| setting | flag | variable | default | changes | |\n|---|---|---|---|---|---|\n";
    settings.map(row).fold(head.to_owned(), |table, row| table + &row)
}

fn row(setting: &Setting) -> String {
    let key = setting.path.split_once('.').map_or(setting.path.as_str(), |(_, key)| key);
    let flag = setting.flag.as_ref().map(|flag| format!("`--{flag}`")).unwrap_or_default();
    let variable = setting.variable.as_ref().map(|name| format!("`{name}`")).unwrap_or_default();
    let (about, own) = about(&setting.about);
    let default = if setting.default.is_null() { own.to_owned() } else { value(&setting.default) };
    let live = if setting.live { "live" } else { "restart" };
    let choices = setting.choices();
    let choices = if choices.is_empty() { String::new() } else { format!(" One of {}.", choices.join(", ")) };
    format!("| `{key}` | {flag} | {variable} | {default} | {live} | {}{choices} |\n", escaped(about))
}

/// What a list of objects has in each.
fn objects(name: &str, schema: &Value) -> String {
    let list = settings().iter().find(|setting| setting.path == name);
    let flag = list.and_then(|list| {
        Some(format!(
            "Flag: `--{} {}`; variable: `{}`. ",
            list.flag.as_ref()?,
            list.value_name,
            list.variable.as_ref()?
        ))
    });
    let changes = if list.is_some_and(|list| list.live) { "Changes live." } else { "A change needs a restart." };
    let head = format!("{}{changes}\n\n| key | |\n|---|---|\n", flag.unwrap_or_default());
    let row = |(key, schema): (&String, &Value)| {
        format!("| `{key}` | {} |\n", escaped(schema["description"].as_str().unwrap_or_default()))
    };
    properties(&schema["items"]).iter().map(row).fold(head, |table, row| table + &row)
}

/// What a setting is for, and what it is where nobody says anything, if that is in the words.
fn about(text: &str) -> (&str, &str) {
    match text.rsplit_once(" [default: ") {
        Some((about, default)) => (about, default.trim_end_matches(']')),
        None => (text, ""),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(self::value).collect::<Vec<_>>().join(", "),
        other => format!("`{other}`"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}

fn profiles() -> String {
    let head = "\n## Profiles\n\nUnder `production` these have another default:\n\n| setting | default |\n|---|---|\n";
    let row = |(path, default): (&str, Value)| format!("| `{path}` | {} |\n", value(&default));
    Profile::Production.defaults().into_iter().map(row).fold(head.to_owned(), |page, row| page + &row)
}
