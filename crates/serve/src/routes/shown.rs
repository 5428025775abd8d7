//! Routes, as `/admin/routes` tells of them.

use release::{Policy, Sticky, TargetStats, Unit};
use serde_json::{Value, json};

use super::Named;
use crate::App;
use crate::releases::{Compared, compared};

/// Every route.
pub(crate) fn all(app: &App) -> Vec<Value> {
    app.routes.all().iter().map(|named| described(app, named)).collect()
}

/// The route of this name.
pub(crate) fn one(app: &App, name: &str) -> Option<Value> {
    app.routes.named(name).map(|named| described(app, &named))
}

fn described(app: &App, named: &Named) -> Value {
    let setup = &named.setup;
    let names: Vec<&str> = setup.variants.iter().map(|variant| variant.id.as_str()).collect();
    let experiment = named.tried().map(|mut tried| tried.shown(&names));
    let (policy, by, share) = {
        let route = named.route();
        let (policy, by, share) = words(route.policy());
        (policy, by, share)
    };
    let described = app.routes.setups().iter().any(|known| known.name == setup.name);
    let (release, salt) = named.trial.as_ref().map_or((None, setup.name.clone()), |trial| {
        let about = trial.about();
        (Some(about.id.clone()), about.beginning.salt.clone())
    });
    let (baseline, alarm) = {
        let watched = named.watched();
        (watched.watch.is_some() || watched.alarm.is_some(), watched.alarm.clone())
    };
    json!({
        "object": "route", "name": setup.name, "policy": policy, "by": by, "share": share, "salt": salt,
        "origin": if described { "configuration" } else { "release" }, "release": release,
        "baseline": baseline, "alarm": alarm,
        "shadow": named.shadow().map(|shadow| compared(&Compared::of(&shadow))),
        "variants": (0..names.len()).map(|variant| shown(app, named, variant)).collect::<Vec<_>>(),
        "experiment": experiment,
    })
}

fn shown(app: &App, named: &Named, variant: usize) -> Value {
    let route = named.route();
    let share = share(route.policy(), variant, named.setup.variants.len());
    let description = &route.variants()[variant];
    let targets = route.stats().filter(|(target, _)| target.variant == variant);
    let targets: Vec<Value> = targets.map(|(target, stats)| said(&description.devices[target.device], stats)).collect();
    let mut shown = json!({
        "id": description.id, "model": description.model, "devices": description.devices,
        "weight_type": description.weight_type, "bytes": description.bytes, "quality": description.quality,
        "settings": description.settings, "share": share, "targets": targets,
    });
    drop(route);
    let catalog = app.models.read();
    let loaded = catalog.find_model(named.model(variant)).is_ok_and(|(_, version)| version.resident().is_some());
    shown["loaded"] = loaded.into();
    shown
}

fn said(device: &str, stats: &TargetStats) -> Value {
    json!({
        "device": device, "up": stats.up, "outstanding": stats.outstanding,
        "outstanding_tokens": stats.outstanding_tokens, "ended": stats.ended, "failed": stats.failed,
        "fallbacks": stats.fallbacks, "token_seconds": stats.token_seconds,
    })
}

/// A policy's name, what it assigns, and its share.
fn words(policy: &Policy) -> (&'static str, Option<&'static str>, Option<f64>) {
    match policy {
        Policy::Single => ("single", None, None),
        Policy::Balance(_) => ("balance", None, None),
        Policy::Affinity { by, .. } => ("affinity", Some(sticky(*by)), None),
        Policy::Pool(_) => ("pool", None, None),
        Policy::Split { by, .. } => ("ab", Some(unit(*by)), None),
        Policy::Canary { share, by } => ("canary", Some(unit(*by)), Some(*share)),
        Policy::Shadow { share } => ("shadow", None, Some(*share)),
    }
}

/// A unit's name.
pub(crate) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Session => "session",
        Unit::User => "user",
        Unit::Key => "key",
        Unit::Request => "request",
    }
}

fn sticky(by: Sticky) -> &'static str {
    match by {
        Sticky::Session => "session",
        Sticky::Tenant => "tenant",
        Sticky::Prefix => "prefix",
    }
}

/// The share of a variant, where the policy gives one.
fn share(policy: &Policy, variant: usize, count: usize) -> Option<f64> {
    match policy {
        Policy::Split { shares, .. } => Some(shares[variant] / shares.iter().sum::<f64>()),
        Policy::Canary { share, .. } => {
            let twin = if count == 3 { share.min(1.0 - share) } else { 0.0 };
            Some([1.0 - share - twin, *share, twin][variant])
        }
        Policy::Single | Policy::Shadow { .. } => Some(f64::from(u8::from(variant == 0))),
        Policy::Balance(_) | Policy::Affinity { .. } | Policy::Pool(_) => None,
    }
}
