//! The plan of a release, as a body gives it: what it does not say is as it usually is.

use release::{Limits, Margins, Plan, SECOND, Shadowing, Stage, Unit};
use serde::Deserialize;
use serde_json::Value;

use crate::{Kind, Problem};

/// The longest time in a plan, in seconds: ten years.
const LONGEST: f64 = 315_360_000.0;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    stages: Option<Vec<GivenStage>>,
    by: Option<Unit>,
    budget: Option<f64>,
    alpha: Option<f64>,
    margins: GivenMargins,
    freeze_after: Option<u64>,
    warm_up_s: Option<f64>,
    twin: Option<bool>,
    give_up_after_s: Option<f64>,
    patience: Option<f64>,
    shadow: Option<GivenShadow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenStage {
    share: f64,
    min_time_s: Option<f64>,
    min_samples: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GivenMargins {
    failures: Option<f64>,
    median: Option<f64>,
    tail: Option<f64>,
    quality: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GivenShadow {
    share: Option<f64>,
    divergence: Option<f64>,
    most: Option<f64>,
    alpha: Option<f64>,
}

/// The plan that a body gives, over the usual one.
///
/// # Errors
/// If a field is unknown, or of another type, or a time is none. Whether the plan can be followed is checked elsewhere.
pub(super) fn read(value: Option<&Value>, usual: Plan) -> Result<Plan, Problem> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(usual) };
    let given: Given = serde_json::from_value(value.clone()).map_err(|error| wrong(format!("plan: {error}.")))?;
    let own = usual.margins;
    let margins = Margins {
        failures: given.margins.failures.unwrap_or(own.failures),
        median: given.margins.median.unwrap_or(own.median),
        tail: given.margins.tail.unwrap_or(own.tail),
        quality: given.margins.quality.unwrap_or(own.quality),
    };
    // Null takes away what is usual.
    let shadow = if value.get("shadow").is_some() { given.shadow.map(shadowing) } else { usual.shadow };
    Ok(Plan {
        stages: given.stages.map_or_else(|| Ok(usual.stages.clone()), |stages| stages.iter().map(stage).collect())?,
        by: given.by.unwrap_or(usual.by),
        budget: given.budget.unwrap_or(usual.budget),
        alpha: given.alpha.unwrap_or(usual.alpha),
        margins,
        freeze_after: given.freeze_after.unwrap_or(usual.freeze_after),
        warm_up: micros("warm_up_s", given.warm_up_s)?.unwrap_or(usual.warm_up),
        twin: given.twin.unwrap_or(usual.twin),
        give_up_after: micros("give_up_after_s", given.give_up_after_s)?.unwrap_or(usual.give_up_after),
        patience: given.patience.unwrap_or(usual.patience),
        shadow,
    })
}

fn stage(given: &GivenStage) -> Result<Stage, Problem> {
    let usual = Plan::default().stages[0];
    let min_time = micros("stages.min_time_s", given.min_time_s)?.unwrap_or(usual.min_time);
    Ok(Stage { share: given.share, min_time, min_samples: given.min_samples.unwrap_or(usual.min_samples) })
}

fn shadowing(given: GivenShadow) -> Shadowing {
    let usual = Limits::default();
    let limits = Limits {
        divergence: given.divergence.unwrap_or(usual.divergence),
        most: given.most.unwrap_or(usual.most),
        alpha: given.alpha.unwrap_or(usual.alpha),
    };
    Shadowing { share: given.share.unwrap_or(0.1), limits }
}

fn micros(name: &str, seconds: Option<f64>) -> Result<Option<u64>, Problem> {
    let Some(seconds) = seconds else { return Ok(None) };
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(wrong(format!("plan.{name} must be seconds from 0 to {LONGEST}, but it is {seconds}.")));
    }
    Ok(Some((seconds * SECOND as f64).round() as u64))
}

fn wrong(message: String) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), "plan", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_usual() {
        let check = |given: Value, wanted: Plan| {
            let found = read(Some(&given), Plan::default()).map_err(|problem| problem.message);
            assert_eq!(found, Ok(wanted), "{given}");
        };
        let usual = Plan::default;
        check(Value::Null, usual());
        check(json!({}), usual());
        check(json!({ "budget": 0.01, "by": "session" }), Plan { budget: 0.01, by: Unit::Session, ..usual() });
        let stage = Stage { share: 0.5, min_time: 1_500_000, min_samples: 200 };
        check(json!({ "stages": [{ "share": 0.5, "min_time_s": 1.5 }] }), Plan { stages: vec![stage], ..usual() });
        let limits = Limits { divergence: 0.2, ..Limits::default() };
        let shadow = Some(Shadowing { share: 0.1, limits });
        check(json!({ "shadow": { "divergence": 0.2 } }), Plan { shadow, ..usual() });
        let without = read(Some(&json!({ "shadow": null })), Plan { shadow, ..usual() });
        assert_eq!(without.map(|plan| plan.shadow).ok(), Some(None));
        assert_eq!(read(None, Plan { shadow, ..usual() }).map(|plan| plan.shadow).ok(), Some(shadow));
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for (given, part) in [
            (json!({ "stage": [] }), "unknown field `stage`"),
            (json!({ "by": "moon" }), "unknown variant `moon`"),
            (json!({ "warm_up_s": -1 }), "plan.warm_up_s must be seconds"),
            (json!({ "stages": [{ "min_samples": 1 }] }), "missing field `share`"),
            (json!([1]), "plan: "),
        ] {
            let problem = read(Some(&given), Plan::default()).expect_err("it is no plan").message;
            assert!(problem.contains(part), "{given}: {problem}");
        }
    }
}
