//! The table of settings, made from the schema of [`Config`].

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::{Config, expected};

/// One setting: a leaf of [`Config`].
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its key in the file, with that of its section: `engine.max_sequences`.
    pub path: String,
    /// Its flag without the dashes, if it has one. That of a switch that is on by default turns it off: `no-prefix-cache`.
    pub flag: Option<String>,
    /// A letter for the flag.
    pub short: Option<char>,
    /// Its environment variable, if it has one.
    pub variable: Option<String>,
    /// What stands for its value in help.
    pub value_name: String,
    /// What it is for.
    pub about: String,
    /// Its value where nobody says anything; null means that it is found out from the model and the machine, as `about` says.
    pub default: Value,
    /// Whether a running server takes it over.
    pub live: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Its schema.
    pub schema: Value,
}

/// The JSON Schema of the file.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut schema = generator.into_generator().into_root_schema_for::<Config>().to_value();
        schema["title"] = "Configuration of whinchat serve".into();
        unwrap_lines(&mut schema);
        schema
    });
    &SCHEMA
}

/// Every setting, in the order of [`Config`].
pub fn settings() -> &'static [Setting] {
    static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
        let mut found = Vec::new();
        collect(schema(), "", "", &mut found);
        found
    });
    &SETTINGS
}

impl Setting {
    /// The setting with this key.
    pub fn at(path: &str) -> Option<&'static Setting> {
        settings().iter().find(|setting| setting.path == path)
    }

    /// Its section, if it is in one.
    pub fn section(&self) -> Option<&str> {
        self.path.split_once('.').map(|(section, _)| section)
    }

    /// Whether it is true or false.
    pub fn is_switch(&self) -> bool {
        has_type(&self.schema, "boolean")
    }

    /// Whether it has several values.
    pub fn is_list(&self) -> bool {
        has_type(&self.schema, "array")
    }

    /// Whether its values are objects.
    pub fn is_list_of_objects(&self) -> bool {
        self.is_list() && !properties(&self.schema["items"]).is_empty()
    }

    /// The names that it can have, if there are only some.
    pub fn choices(&self) -> Vec<&str> {
        self.schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Its value in `config`, a whole configuration as JSON.
    pub(crate) fn of<'a>(&self, config: &'a Value) -> &'a Value {
        self.path.split('.').fold(config, |value, key| &value[key])
    }

    /// An object as it is written in a flag: its two keys that must be there, with an equals sign between.
    fn pair(&self, text: &str) -> Option<Value> {
        let required = self.schema["items"]["required"].as_array()?;
        let [first, second] = required.as_slice() else { return None };
        let (one, other) = text.split_once('=').filter(|(one, other)| !one.is_empty() && !other.is_empty())?;
        Some(serde_json::json!({ first.as_str()?: one, second.as_str()?: other }))
    }

    /// A value as it is written in a flag or a variable. Lists have commas between; where they have objects, each is two of its
    /// values, as `NAME=MODEL`.
    ///
    /// # Errors
    /// What is expected.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = if self.is_list_of_objects() {
            text.split(',').map(|item| self.pair(item).ok_or(())).collect::<Result<Value, ()>>()
        } else if self.is_list() {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
        } else if has_type(&self.schema, "string") {
            Ok(text.into())
        } else if ["integer", "number", "boolean"].iter().any(|kind| has_type(&self.schema, kind)) {
            serde_json::from_str(text.trim()).map_err(drop)
        } else {
            Ok(text.into())
        };
        let pair = || format!("{} with = between", self.value_name);
        let form = || if self.is_list_of_objects() { pair() } else { expected::form(&self.schema) };
        let value = value.map_err(|()| format!("expected {}", form()))?;
        expected::check(self, &value).map_err(|wrong| wrong.why)?;
        Ok(value)
    }
}

/// What an object of this schema has.
pub(crate) fn properties(schema: &Value) -> &Map<String, Value> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    schema["properties"].as_object().unwrap_or(&NONE)
}

pub(crate) fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::Array(names) => names.iter().any(|one| one == name),
        one => one == name,
    }
}

/// Adds the settings below `schema`, which has the key `path`.
fn collect(schema: &Value, path: &str, prefix: &str, found: &mut Vec<Setting>) {
    for (key, below) in properties(schema) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if properties(below).is_empty() {
            found.push(setting(path, key, prefix, below));
        } else {
            collect(below, &path, below["x-prefix"].as_str().unwrap_or(prefix), found);
        }
    }
}

fn setting(path: String, key: &str, prefix: &str, schema: &Value) -> Setting {
    let text = |key: &str| schema[key].as_str().map(str::to_owned);
    let own = [prefix, key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-").replace('_', "-");
    // Lists of objects have flags only where somebody has thought of a form for them.
    let objects = !properties(&schema["items"]).is_empty();
    let flag = text("x-flag").or_else(|| (!objects).then_some(own));
    let variable = flag.as_ref().map(|flag| format!("WHINCHAT_{}", flag.to_uppercase().replace('-', "_")));
    let on = schema["default"] == true;
    Setting {
        path,
        flag: flag.map(|flag| if on { format!("no-{flag}") } else { flag }),
        short: text("x-short").and_then(|letters| letters.chars().next()),
        variable,
        value_name: text("x-value").unwrap_or_else(|| value_name(schema).to_owned()),
        about: text("description").unwrap_or_default(),
        default: schema["default"].clone(),
        live: schema["x-reload"] == "live",
        secret: schema["x-secret"] == true,
        schema: schema.clone(),
    }
}

fn value_name(schema: &Value) -> &'static str {
    match has_type(schema, "integer") {
        true => "N",
        false if schema["enum"].is_array() => "NAME",
        false => "VALUE",
    }
}

/// Comments in the source are broken into lines; what is made of them is not.
fn unwrap_lines(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "description" => *text = text.replace('\n', " "),
                    value => unwrap_lines(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_lines),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_is_described_once() {
        let mut taken = BTreeSet::new();
        for setting in settings() {
            assert!(!setting.about.is_empty(), "{}: no documentation", setting.path);
            let short = setting.short.map(String::from);
            for name in [setting.flag.clone(), setting.variable.clone(), short].into_iter().flatten() {
                assert!(taken.insert(name.clone()), "{}: {name} is another setting's too", setting.path);
            }
        }
        assert!(taken.len() > 60, "{taken:?}");
    }

    #[test]
    fn every_default_is_allowed() {
        for setting in settings() {
            assert_eq!(
                expected::check(setting, &setting.default).map_err(|wrong| wrong.why),
                Ok(()),
                "{}",
                setting.path
            );
        }
    }

    #[test]
    fn names_follow_from_keys() {
        let check = |path: &str, flag: Option<&str>, variable: Option<&str>| {
            let setting = Setting::at(path).unwrap_or_else(|| panic!("there is no {path}"));
            assert_eq!((setting.flag.as_deref(), setting.variable.as_deref()), (flag, variable), "{path}");
        };
        check("engine.max_sequences", Some("max-sequences"), Some("WHINCHAT_MAX_SEQUENCES"));
        check("model.source", Some("model"), Some("WHINCHAT_MODEL"));
        check("cache.prefixes", Some("no-prefix-cache"), Some("WHINCHAT_PREFIX_CACHE"));
        check("models", Some("also"), Some("WHINCHAT_ALSO"));
        check("log.filter", Some("log"), Some("WHINCHAT_LOG"));
        check("profile", Some("profile"), Some("WHINCHAT_PROFILE"));
    }

    #[test]
    fn text_is_read_by_the_setting() {
        let check = |path: &str, text: &str, wanted: Result<&str, &str>| {
            let setting = Setting::at(path).unwrap_or_else(|| panic!("there is no {path}"));
            let parsed = setting.parse(text).map(|value| value.to_string());
            assert_eq!(parsed.as_deref().map_err(String::as_str), wanted, "{path} {text}");
        };
        check("engine.max_sequences", "8", Ok("8"));
        check("engine.max_sequences", "0", Err("expected a whole number from 1 to 4096"));
        check("engine.max_sequences", "many", Err("expected a whole number from 1 to 4096"));
        check("engine.pin", "true", Ok("true"));
        check("engine.pin", "yes", Err("expected true or false"));
        check("engine.policy", "fifo", Err("expected first-come, priority, deadline, shortest-prefill or fair-share"));
        check("network.grace", "45s", Ok("\"45s\""));
        check("network.grace", "45", Err("expected a time with its unit, such as 500ms, 30s or 5m, at most 7d"));
        check("network.listen", "a:1, b:2", Ok("[\"a:1\",\"b:2\"]"));
        check("network.listen", "", Err("expected a list with one value at least"));
        check("limits.head_timeout", "0s", Err("expected more than 0s"));
        check("models", "a=b", Ok(r#"[{"name":"a","source":"b"}]"#));
        check("demand.aliases", "a=b", Ok(r#"[{"alias":"a","model":"b"}]"#));
        check("demand.keep_alive", "-1", Ok("\"-1\""));
        check("models", "a", Err("expected NAME=MODEL with = between"));
    }
}
