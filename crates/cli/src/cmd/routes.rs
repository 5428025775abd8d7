//! From the settings about routes and releases to the server.

use config::{AssignedBy, BalanceBy, Period, ReleasePlan, RoutePolicy};
use release::{Balance, Limits, Margins, Plan, Policy, Route, Shadowing, Stage, Sticky, Unit, Variant};
use serve::{App, RouteSetup};

/// The second variant's share where nothing is said.
const SHARE: f64 = 0.1;

/// How much more than its part a variant may have where nothing is said.
const FACTOR: f64 = 1.25;

/// The pool of a variant that names none.
const POOL: &str = "cpu";

/// Answers these public names from now on. What is wrong with them was said before.
pub(super) fn tell(demand: &config::Demand, app: &App) {
    let setups = demand.routes.iter().filter_map(|route| setup(route).ok()).collect();
    if let Err(problem) = app.set_routes(setups) {
        tracing::error!("the routes stay as they are: {problem}");
    }
}

/// What is wrong with a setting here: which, and why.
pub(super) fn problem(config: &config::Config) -> Option<(&'static str, String)> {
    let why = config.demand.routes.iter().find_map(|route| setup(route).err())?;
    Some(("demand.routes", why))
}

/// # Errors
/// If the policy does not fit the variants, or the plan cannot be followed.
fn setup(route: &config::Route) -> Result<RouteSetup, String> {
    let (name, policy) = (route.name.clone(), policy(route)?);
    let variants: Vec<Variant> = route.variants.iter().map(variant).collect();
    Route::new(&name, variants.clone(), policy.clone(), "").map_err(|error| error.to_string())?;
    let plan = plan(&route.release, unit(route.by).unwrap_or_default());
    plan.check().map_err(|error| format!("route `{name}`: {error}"))?;
    Ok(RouteSetup { name, policy, variants, plan })
}

fn policy(route: &config::Route) -> Result<Policy, String> {
    let balance = match route.balance {
        BalanceBy::RoundRobin => Balance::RoundRobin,
        BalanceBy::LeastTokens => Balance::LeastTokens,
        BalanceBy::PowerOfTwo => Balance::PowerOfTwo,
        BalanceBy::Predicted => Balance::Predicted,
    };
    let share = route.share.unwrap_or(SHARE);
    let units = || unit(route.by).ok_or_else(|| wrong_unit(route, "request, session, user or key"));
    Ok(match route.policy {
        RoutePolicy::Single => Policy::Single,
        RoutePolicy::Balance => Policy::Balance(balance),
        RoutePolicy::Pool => Policy::Pool(balance),
        RoutePolicy::Affinity => Policy::Affinity { by: sticky(route)?, factor: route.factor.unwrap_or(FACTOR) },
        RoutePolicy::Ab => {
            let shares = route.variants.iter().map(|variant| variant.share.unwrap_or(1.0)).collect();
            Policy::Split { shares, by: units()? }
        }
        RoutePolicy::Canary => Policy::Canary { share, by: units()? },
        RoutePolicy::Shadow => Policy::Shadow { share },
    })
}

fn sticky(route: &config::Route) -> Result<Sticky, String> {
    match route.by {
        None | Some(AssignedBy::Session) => Ok(Sticky::Session),
        Some(AssignedBy::Tenant) => Ok(Sticky::Tenant),
        Some(AssignedBy::Prefix) => Ok(Sticky::Prefix),
        Some(_) => Err(wrong_unit(route, "session, tenant or prefix")),
    }
}

fn unit(by: Option<AssignedBy>) -> Option<Unit> {
    match by {
        None | Some(AssignedBy::Request) => Some(Unit::Request),
        Some(AssignedBy::Session) => Some(Unit::Session),
        Some(AssignedBy::User) => Some(Unit::User),
        Some(AssignedBy::Key) => Some(Unit::Key),
        Some(AssignedBy::Tenant | AssignedBy::Prefix) => None,
    }
}

fn wrong_unit(route: &config::Route, right: &str) -> String {
    format!("route `{}`: with this policy `by` is {right}", route.name)
}

fn variant(variant: &config::Variant) -> Variant {
    let config::Variant { id, model, devices, weight_type, quality, .. } = variant.clone();
    let devices = if devices.is_empty() { vec![POOL.to_owned()] } else { devices };
    Variant { id, model, devices, weight_type, quality, ..Variant::default() }
}

fn plan(given: &ReleasePlan, by: Unit) -> Plan {
    let usual = Plan::default();
    let micros = |period: Period| u64::try_from(period.0.as_micros()).unwrap_or(u64::MAX);
    let stage = |stage: &config::ReleaseStage| Stage {
        share: stage.share,
        min_time: stage.min_time.map_or(usual.stages[0].min_time, micros),
        min_samples: stage.min_samples.unwrap_or(usual.stages[0].min_samples),
    };
    let (own, limits) = (usual.margins, Limits::default());
    let limits = Limits { divergence: given.divergence.unwrap_or(limits.divergence), ..limits };
    Plan {
        stages: if given.stages.is_empty() { usual.stages.clone() } else { given.stages.iter().map(stage).collect() },
        by,
        budget: given.budget.unwrap_or(usual.budget),
        alpha: given.alpha.unwrap_or(usual.alpha),
        margins: Margins {
            failures: given.margins.failures.unwrap_or(own.failures),
            median: given.margins.median.unwrap_or(own.median),
            tail: given.margins.tail.unwrap_or(own.tail),
            quality: given.margins.quality.unwrap_or(own.quality),
        },
        give_up_after: given.give_up_after.map_or(usual.give_up_after, micros),
        shadow: (given.shadow > 0.0).then_some(Shadowing { share: given.shadow, limits }),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a configuration of one route.
    fn read(yaml: &str) -> Result<RouteSetup, String> {
        let text = format!("demand:\n  routes:\n    - name: chat\n{yaml}");
        let file = config::File { name: "w.yaml", text: &text };
        let resolved = config::resolve(&config::Sources { file: Some(file), variables: &[], flags: &[] });
        setup(&resolved.map_err(|problems| problems.to_string())?.config.demand.routes[0])
    }

    #[test]
    fn routes_are_read() {
        let two = "      variants: [{id: a, model: m}, {id: b, model: m@2, share: 3}]\n";
        let check = |more: &str, wanted: Result<Policy, &str>| match (read(&format!("{two}{more}")), wanted) {
            (Ok(setup), Ok(policy)) => assert_eq!(setup.policy, policy, "{more}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{more}: {why}"),
            (found, wanted) => panic!("{more}: {found:?}, not {wanted:?}"),
        };
        check("", Ok(Policy::Single));
        check("      policy: balance\n      balance: power_of_two\n", Ok(Policy::Balance(Balance::PowerOfTwo)));
        check("      policy: ab\n      by: user\n", Ok(Policy::Split { shares: vec![1.0, 3.0], by: Unit::User }));
        check("      policy: canary\n", Ok(Policy::Canary { share: 0.1, by: Unit::Request }));
        check("      policy: shadow\n      share: 0.5\n", Ok(Policy::Shadow { share: 0.5 }));
        check("      policy: pool\n", Ok(Policy::Pool(Balance::LeastTokens)));
        let affinity = Policy::Affinity { by: Sticky::Prefix, factor: 2.0 };
        check("      policy: affinity\n      by: prefix\n      factor: 2\n", Ok(affinity));
        check("      policy: canry\n", Err("expected single, balance, affinity, pool, ab, canary or shadow"));
        check("      policy: canary\n      by: prefix\n", Err("`by` is request, session, user or key"));
        check("      policy: affinity\n      by: key\n", Err("`by` is session, tenant or prefix"));
        check("      polcy: canary\n", Err("did you mean policy?"));
        check("      release: {margins: {failures: 0}}\n", Err("failures"));
        check("      release: {stages: [{share: 0.5}, {share: 0.1}]}\n", Err("the shares of its stages rise"));
    }

    #[test]
    fn a_plan_says_what_differs() {
        let one = "      variants: [{id: a, model: m}]\n      by: session\n      release:\n        stages: [{share: 0.2, min_time: 1m}]\n";
        let setup = read(&format!("{one}        shadow: 0.3\n")).expect("a route");
        let stage = Stage { share: 0.2, min_time: 60 * release::SECOND, min_samples: 200 };
        assert_eq!((setup.plan.stages, setup.plan.by), (vec![stage], Unit::Session));
        assert_eq!(setup.plan.shadow.map(|shadow| shadow.share), Some(0.3));
        assert_eq!(setup.variants[0].devices, ["cpu"]);
    }
}
