//! Public names over several models, and what releases on them do.

use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use crate::Period;
use crate::problem::nearest;

/// A public name over variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Route {
    /// The name clients use. It goes before a model of the same name.
    #[garde(length(min = 1))]
    pub name: String,
    /// Among whom: the first answers where there is nothing to choose, and where another one fails before its first token.
    #[garde(dive, length(min = 1))]
    pub variants: Vec<Variant>,
    /// Who answers: single (the first variant), balance (all are alike), affinity (who comes back finds its variant), pool (by
    /// X-Device-Pool), ab (each a share), canary (the second a share) or shadow (the second sees a share, nobody sees it) [default: single]
    #[serde(default)]
    pub policy: RoutePolicy,
    /// How load is spread (balance, pool) [default: least_tokens]
    #[serde(default)]
    pub balance: BalanceBy,
    /// What meets the same variant: request, session (X-Session-Id), user or key (ab, canary); session, tenant or prefix (affinity)
    /// [default: request; for affinity session]
    #[serde(default)]
    pub by: Option<AssignedBy>,
    /// The second variant's share (canary, shadow), from 0 to 1 [default: 0.1]
    #[serde(default)]
    #[garde(range(min = 0.0, max = 1.0))]
    pub share: Option<f64>,
    /// How much more than its part a variant may have before others take it (affinity), from 1 on [default: 1.25]
    #[serde(default)]
    #[garde(range(min = 1.0, max = 1000.0))]
    pub factor: Option<f64>,
    /// What releases on this route do where they do not say.
    #[serde(default)]
    #[garde(dive)]
    pub release: ReleasePlan,
}

/// A model that a route may choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Variant {
    /// Its name in the route: what X-Whinchat-Variant says.
    #[garde(length(min = 1))]
    pub id: String,
    /// The name of a model that is served, with or without a version (NAME@VERSION).
    #[garde(length(min = 1))]
    pub model: String,
    /// The pools of devices that it is in [default: cpu]
    #[serde(default)]
    pub devices: Vec<String>,
    /// Its share of the units (ab); they need not add up [default: 1]
    #[serde(default)]
    #[garde(range(min = 0.0, max = 1e6))]
    pub share: Option<f64>,
    /// The type of most of its weights, such as Q8_0, for who reads it.
    #[serde(default)]
    pub weight_type: String,
    /// What evaluations gave, by their names; higher is better.
    #[serde(default)]
    pub quality: BTreeMap<String, f64>,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum RoutePolicy {
    #[default]
    Single,
    Balance,
    Affinity,
    Pool,
    Ab,
    Canary,
    Shadow,
}

/// How load is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum BalanceBy {
    RoundRobin,
    #[default]
    LeastTokens,
    PowerOfTwo,
    Predicted,
}

/// What meets the same variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum AssignedBy {
    Request,
    Session,
    User,
    Key,
    Tenant,
    Prefix,
}

/// What a release does. What it does not say is 10, 25, 50 and 100 %, each for 5 minutes and 200 units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ReleasePlan {
    /// Rising shares of the candidate, from above 0 to 1.
    #[garde(dive)]
    pub stages: Vec<ReleaseStage>,
    /// How much worse the candidate may be.
    #[garde(dive)]
    pub margins: ReleaseMargins,
    /// The chance at most with which a candidate that is not worse is rolled back [default: 0.05]
    #[garde(range(min = 1e-9, max = 0.49))]
    pub budget: Option<f64>,
    /// The chance at most with which each demand is wrongly taken as met [default: 0.05]
    #[garde(range(min = 1e-9, max = 0.49))]
    pub alpha: Option<f64>,
    /// After so long without a verdict the stable variant stays [default: 1d]
    pub give_up_after: Option<Period>,
    /// The share of requests that the candidate sees before its first stage, while nobody sees its answers: 0 for none [default: 0]
    #[garde(range(min = 0.0, max = 1.0))]
    pub shadow: f64,
    /// Divergence from the stable answers that is accepted then, in nats per token [default: 0.05]
    #[garde(range(min = 0.0, max = 100.0))]
    pub divergence: Option<f64>,
}

/// A share for a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ReleaseStage {
    /// The candidate's share.
    #[garde(range(min = 1e-6, max = 1.0))]
    pub share: f64,
    /// How long it takes at least [default: 5m]
    #[serde(default)]
    pub min_time: Option<Period>,
    /// How many units each variant answers at least [default: 200]
    #[serde(default)]
    pub min_samples: Option<u64>,
}

/// How much worse a candidate may be. Each is above 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ReleaseMargins {
    /// More failures, as a part of all requests [default: 0.02]
    #[garde(range(min = 1e-6, max = 1.0))]
    pub failures: Option<f64>,
    /// Longer times in the middle (p50), relative [default: 0.15]
    #[garde(range(min = 1e-6, max = 1000.0))]
    pub median: Option<f64>,
    /// Longer times at the end (p99), relative [default: 0.5]
    #[garde(range(min = 1e-6, max = 1000.0))]
    pub tail: Option<f64>,
    /// Less quality, of 1 [default: 0.05]
    #[garde(range(min = 1e-6, max = 1.0))]
    pub quality: Option<f64>,
}

/// What is wrong with routes that are each possible: the models that they name, and their names.
pub(super) fn contradictions(config: &Config) -> Option<String> {
    let routes = &config.demand.routes;
    let twice =
        routes.iter().enumerate().find(|(at, route)| routes[..*at].iter().any(|other| other.name == route.name));
    if let Some((_, route)) = twice {
        return Some(format!("two routes have the name {}", route.name));
    }
    // The first model's own name is in its file, pulled models come and go, and so do those of who may change them.
    let first = config.model.name.as_deref()?;
    if config.demand.pulled || config.network.admin {
        return None;
    }
    let further = config.models.iter().chain(&config.demand.lazy).map(|further| further.name.as_str());
    let aliases = config.demand.aliases.iter().map(|alias| alias.alias.as_str());
    let known: Vec<&str> = [first, "default"].into_iter().chain(further).chain(aliases).collect();
    let base = |model: &str| model.rsplit_once('@').map_or(model.to_owned(), |(base, _)| base.to_owned());
    let variants = routes.iter().flat_map(|route| route.variants.iter().map(move |variant| (route, variant)));
    let (route, variant) = variants.into_iter().find(|(_, variant)| !known.contains(&base(&variant.model).as_str()))?;
    let near = nearest(&base(&variant.model), known.iter().copied());
    let meant = near.map_or_else(|| format!("there is {}", known.join(", ")), |name| format!("did you mean {name}?"));
    Some(format!("route {}: no model {} is served; {meant}", route.name, variant.model))
}
