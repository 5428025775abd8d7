//! What a new configuration changes, and how much of it a running server takes over.

use serde_json::Value;

use crate::resolve::together;
use crate::sections::contradictions;
use crate::{Config, Problem, Problems, Resolved, Setting, settings};

/// A setting that has another value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Which.
    pub setting: &'static Setting,
    /// Whether a running server takes it over; else it waits for a restart.
    pub live: bool,
}

/// Every setting whose value differs.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let [old, new] = [old, new].map(whole);
    let differs = settings().iter().filter(|setting| setting.of(&old) != setting.of(&new));
    differs.map(|setting| Change { setting, live: setting.live }).collect()
}

impl Resolved {
    /// What a server that runs with `self` runs with from now on: the settings of `new` that change live, its own of all others.
    ///
    /// # Errors
    /// If these contradict each other before a restart.
    pub fn adopt(&self, new: &Resolved) -> Result<Resolved, Problems> {
        let [old, wanted] = [&self.config, &new.config].map(whole);
        let config = together(|setting| setting.of(if setting.live { &wanted } else { &old }));
        let failed = |path: &str, why: String| {
            Problem::new(new.origins.get(path).cloned().unwrap_or(crate::Origin::Default), path, why)
        };
        let config = config.map_err(|why| Problems(vec![failed("", why)]))?;
        let problems: Vec<Problem> = contradictions(&config)
            .into_iter()
            .map(|(path, why)| failed(path, format!("{why}; what else is new needs a restart")))
            .collect();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let from = |setting: &Setting| if setting.live { &new.origins } else { &self.origins };
        let origin = |setting: &'static Setting| {
            Some((setting.path.as_str(), from(setting).get(setting.path.as_str())?.clone()))
        };
        let origins = settings().iter().filter_map(origin).collect();
        Ok(Resolved { config, notes: new.notes.clone(), origins })
    }
}

/// As JSON; what is made of plain values always can be.
pub(crate) fn whole(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}
