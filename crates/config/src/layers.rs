//! The layers that say something: the file, the environment and the flags, each checked setting by setting.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::expected::{self, Wrong};
use crate::problem::{File, nearest};
use crate::setting::properties;
use crate::tree::{self, Content, Key, Node, Place};
use crate::{Origin, Problem, Setting, schema, settings};

/// What a setting is, and who said so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// Where it stands in the file, if it is there.
    pub(crate) place: Option<Place>,
}

/// What was said, by setting, the strongest last word of each; and what is wrong with any of it.
#[derive(Default)]
pub(crate) struct Layers {
    pub(crate) given: BTreeMap<&'static str, Given>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<String>,
}

impl Layers {
    /// What a file says.
    pub(crate) fn file(&mut self, file: &File) {
        match tree::read(file.text) {
            Ok(root) => Reader { file, layers: self }.block(&root, schema(), ""),
            Err((place, why)) => self.problems.push(Problem::in_file(file, place, "", why)),
        }
    }

    /// What the environment says: variables that begin with `WHINCHAT_`. An empty one says nothing.
    pub(crate) fn variables(&mut self, variables: &[(String, String)]) {
        for (name, text) in variables {
            match settings().iter().find(|setting| setting.variable.as_ref() == Some(name)) {
                Some(setting) if !text.is_empty() => {
                    self.text(setting, text, Origin::Variable(setting.variable.as_deref().unwrap_or_default()));
                }
                Some(_) => {}
                None => self.notes.extend(unknown_variable(name)),
            }
        }
    }

    /// What flags say.
    pub(crate) fn flags(&mut self, flags: &[(&'static Setting, String)]) {
        for (setting, text) in flags {
            self.text(setting, text, Origin::Flag(setting.flag.as_deref().unwrap_or_default()));
        }
    }

    fn text(&mut self, setting: &'static Setting, text: &str, origin: Origin) {
        match setting.parse(text) {
            Ok(value) => self.say(setting, value, origin, None),
            Err(why) if setting.secret => self.problems.push(Problem::new(origin, &setting.path, why)),
            Err(why) => {
                let why = format!("{text:?}: {why}{}", meant(&setting.schema, text));
                self.problems.push(Problem::new(origin, &setting.path, why));
            }
        }
    }

    fn say(&mut self, setting: &'static Setting, value: Value, origin: Origin, place: Option<Place>) {
        self.given.insert(&setting.path, Given { value, origin, place });
    }
}

/// A variable that is no setting's, if it is nearly one.
fn unknown_variable(name: &str) -> Option<String> {
    let known = settings().iter().filter_map(|setting| setting.variable.as_deref());
    let near = nearest(name, known).filter(|known| strsim::levenshtein(name, known) <= 3)?;
    Some(format!("{name} is no setting; did you mean {near}?"))
}

/// One of few names that was perhaps meant.
fn meant(schema: &Value, text: &str) -> String {
    let names = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    nearest(text, names).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// Reads a file into layers.
struct Reader<'a, 'b> {
    file: &'a File<'b>,
    layers: &'a mut Layers,
}

impl Reader<'_, '_> {
    /// A block of settings.
    fn block(&mut self, node: &Node, schema: &Value, path: &str) {
        let entries = match &node.content {
            Content::Map(entries) => entries,
            Content::Scalar(Value::Null) => return,
            Content::Scalar(_) | Content::List(_) => {
                let why = format!("expected a block with {}", expected::names_of(schema));
                return self.problem(Place { width: 1, ..node.place }, path, why);
            }
        };
        for (key, below) in entries {
            let full = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
            match (Setting::at(&full), properties(schema).get(&key.name)) {
                (Some(setting), _) => self.setting(setting, below),
                (None, Some(schema)) => self.block(below, schema, &full),
                (None, None) => self.unknown(key, &full, schema),
            }
        }
    }

    fn setting(&mut self, setting: &'static Setting, node: &Node) {
        let before = self.layers.problems.len();
        self.keys(node, &setting.schema, &setting.path);
        if self.layers.problems.len() > before {
            return;
        }
        let value = node.value();
        match expected::check(setting, &value) {
            Ok(()) => self.layers.say(setting, value, self.file.origin(node.place), Some(node.place)),
            Err(Wrong { at, why }) => {
                let part = at.iter().fold(&value, |value, key| match key.parse::<usize>() {
                    Ok(index) => &value[index],
                    Err(_) => &value[key.as_str()],
                });
                let meant = meant(&setting.schema, part.as_str().unwrap_or_default());
                let key = at.iter().fold(setting.path.clone(), |path, key| format!("{path}.{key}"));
                let problem = Problem::in_file(self.file, node.place_of(&at), key, why + &meant);
                self.layers.problems.push(if setting.secret { problem.hidden() } else { problem });
            }
        }
    }

    /// Names of keys within a setting whose values are objects.
    fn keys(&mut self, node: &Node, schema: &Value, path: &str) {
        match &node.content {
            Content::Scalar(_) => {}
            Content::List(items) => {
                let each = items.iter().enumerate();
                each.for_each(|(at, item)| self.keys(item, &schema["items"], &format!("{path}.{at}")));
            }
            Content::Map(entries) => {
                let known = properties(schema);
                for (key, below) in entries {
                    let path = format!("{path}.{}", key.name);
                    match known.get(&key.name) {
                        Some(schema) => self.keys(below, schema, &path),
                        None if known.is_empty() => {}
                        None => self.unknown(key, &path, schema),
                    }
                }
            }
        }
    }

    fn unknown(&mut self, key: &Key, path: &str, schema: &Value) {
        let siblings = properties(schema).keys().map(String::as_str);
        let known = |setting: &&Setting| {
            setting.path.rsplit('.').next() == Some(key.name.as_str()) || is_flag(setting, &key.name)
        };
        let elsewhere = settings().iter().find(known).map(|setting| setting.path.as_str());
        let near = elsewhere.or_else(|| nearest(&key.name, siblings));
        let near = near.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        self.problem(key.place, path, format!("there is no such setting{near}"));
    }

    fn problem(&mut self, place: Place, key: &str, why: String) {
        self.layers.problems.push(Problem::in_file(self.file, place, key, why));
    }
}

/// Whether this is the setting's flag, written as a key.
fn is_flag(setting: &Setting, key: &str) -> bool {
    setting.flag.as_ref().is_some_and(|flag| *flag == key.replace('_', "-"))
}
