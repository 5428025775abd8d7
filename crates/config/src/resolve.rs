//! From what was said to one configuration, and where each value comes from.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::layers::{Given, Layers};
use crate::problem::File;
use crate::sections::contradictions;
use crate::{Config, Origin, Problem, Problems, Profile, Setting, settings};

/// Who says something, the weakest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The file.
    pub file: Option<File<'a>>,
    /// Variables of the environment that begin with `WHINCHAT_`.
    pub variables: &'a [(String, String)],
    /// Flags, as they were written.
    pub flags: &'a [(&'static Setting, String)],
}

/// A configuration in which every setting has a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// What may be a slip, but is no error.
    pub notes: Vec<String>,
    pub(crate) origins: BTreeMap<&'static str, Origin>,
}

impl Resolved {
    /// Where the value of a setting comes from.
    pub fn origin(&self, setting: &Setting) -> &Origin {
        self.origins.get(setting.path.as_str()).unwrap_or(&Origin::Default)
    }

    /// Something that is wrong with a setting's value, where that was given.
    pub fn blame(&self, path: &str, why: String) -> Problem {
        Problem::new(self.origins.get(path).cloned().unwrap_or(Origin::Default), path, why)
    }

    /// How many settings somebody has said something about.
    pub fn given(&self) -> usize {
        self.origins.values().filter(|origin| !matches!(origin, Origin::Profile(_))).count()
    }
}

/// Puts the layers on each other: the defaults, the profile's, the file, the environment, the flags. Each replaces a value, a list
/// too, as a whole.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn resolve(sources: &Sources) -> Result<Resolved, Problems> {
    let mut layers = Layers::default();
    sources.file.iter().for_each(|file| layers.file(file));
    layers.variables(sources.variables);
    layers.flags(sources.flags);
    let Layers { mut given, problems, notes } = layers;
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    add_profile(&mut given);
    let config = together(|setting| given.get(setting.path.as_str()).map_or(&setting.default, |given| &given.value));
    let config = config.map_err(|why| Problems(vec![Problem::new(Origin::Default, "", why)]))?;
    let problems: Vec<Problem> =
        contradictions(&config).into_iter().map(|(path, why)| contradiction(sources, &given, path, why)).collect();
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let origins = given.into_iter().map(|(path, given)| (path, given.origin)).collect();
    Ok(Resolved { config, notes, origins })
}

/// The defaults of the profile that was chosen, where nobody said anything.
fn add_profile(given: &mut BTreeMap<&'static str, Given>) {
    let chosen = given.get("profile").and_then(|given| serde_json::from_value(given.value.clone()).ok());
    let profile: Profile = chosen.unwrap_or_default();
    for (path, value) in profile.defaults() {
        given.entry(path).or_insert(Given { value, origin: Origin::Profile(profile.name()), place: None });
    }
}

/// A configuration of all settings' values.
pub(crate) fn together<'a>(value: impl Fn(&'static Setting) -> &'a Value) -> Result<Config, String> {
    let mut whole = Value::Object(serde_json::Map::new());
    for setting in settings() {
        let place = setting.path.split('.').fold(&mut whole, |place, key| &mut place[key]);
        *place = value(setting).clone();
    }
    serde_json::from_value(whole).map_err(|error| error.to_string())
}

/// Blames who gave the value; if nobody did, who chose the profile that wants one.
fn contradiction(sources: &Sources, given: &BTreeMap<&'static str, Given>, path: &str, why: String) -> Problem {
    let Some(blamed) = given.get(path).or_else(|| given.get("profile")) else {
        return Problem::new(Origin::Default, path, why);
    };
    match (&sources.file, blamed.place) {
        (Some(file), Some(place)) => Problem::in_file(file, place, path, why),
        _ => Problem::new(blamed.origin.clone(), path, why),
    }
}
