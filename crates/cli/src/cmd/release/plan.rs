//! What a release is to do, as the command line says it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use config::Period;
use serde_json::{Map, Value, json};

/// The shares of the stages where nothing says others.
const STAGES: [f64; 4] = [0.1, 0.25, 0.5, 1.0];

/// What is not said is as the route has it.
#[derive(Args)]
pub(super) struct PlanArgs {
    /// A file with the plan as JSON, as POST /admin/releases takes it; the other options go before it.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// How much of the traffic the candidate gets in each stage [default: 10,25,50,100]
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', value_parser = share)]
    stages: Vec<f64>,
    /// How long each stage takes at least [default: 5m]
    #[arg(long, value_name = "TIME")]
    min_time: Option<Period>,
    /// How many requests each variant answers at least in each stage [default: 200]
    #[arg(long, value_name = "N")]
    min_samples: Option<u64>,
    /// What always meets the same variant [default: request]
    #[arg(long, value_name = "UNIT", value_parser = ["request", "session", "user", "key"])]
    by: Option<String>,
    /// First compare answers of the candidate that nobody sees, for this much of the traffic.
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    shadow: Option<f64>,
    /// How far the answers may diverge then, in nats per token [default: 0.05]
    #[arg(long, value_name = "NATS", requires = "shadow")]
    divergence: Option<f64>,
    /// How much worse the candidate may be: failures (0.02) and quality (0.05) of 1, median (0.15) and tail (0.5) relative.
    #[arg(long, value_name = "NAME=SHARE,…", value_delimiter = ',', value_parser = margin)]
    margin: Vec<(String, f64)>,
    /// How long the candidate's times do not count, because its caches are empty [default: 1m]
    #[arg(long, value_name = "TIME")]
    warm_up: Option<Period>,
    /// Load the stable model once more beside the candidate, and compare times with those of this twin: both are equally cold. It gets as many
    /// requests as the candidate, so shares are at most 50, or 100.
    #[arg(long)]
    twin: bool,
    /// When the stable variant stays if nothing is shown by then [default: 1 day]
    #[arg(long, value_name = "TIME")]
    give_up_after: Option<Period>,
}

impl PlanArgs {
    /// The plan for the server; `None` if nothing is said.
    ///
    /// # Errors
    /// If the plan's file cannot be read.
    pub(super) fn plan(&self) -> anyhow::Result<Option<Value>> {
        let mut plan = self.file()?;
        self.stages(&mut plan);
        if let Some(by) = &self.by {
            plan.insert("by".into(), json!(by));
        }
        let shadow = [("share", self.shadow), ("divergence", self.divergence)];
        put_all(&mut plan, "shadow", shadow.into_iter().filter_map(|(name, value)| Some((name, value?))));
        put_all(&mut plan, "margins", self.margin.iter().map(|(name, value)| (name.as_str(), *value)));
        for (name, time) in [("warm_up_s", self.warm_up), ("give_up_after_s", self.give_up_after)] {
            plan.extend(time.map(|time| (name.to_owned(), json!(time.0.as_secs_f64()))));
        }
        if self.twin {
            plan.insert("twin".to_owned(), json!(true));
        }
        Ok((!plan.is_empty()).then_some(Value::Object(plan)))
    }

    /// The divergence that is accepted of answers.
    pub(super) fn divergence(&self) -> f64 {
        self.divergence.unwrap_or(release::Limits::default().divergence)
    }

    fn file(&self) -> anyhow::Result<Map<String, Value>> {
        let Some(file) = &self.plan else { return Ok(Map::new()) };
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        match serde_json::from_str(&text).with_context(|| format!("{shown} is no plan"))? {
            Value::Object(plan) => Ok(plan),
            _ => bail!("{shown} is no plan: it must be a JSON object"),
        }
    }

    /// Shares, times and numbers of samples are said for all stages at once; a file says them of each.
    fn stages(&self, plan: &mut Map<String, Value>) {
        if self.stages.is_empty() && self.min_time.is_none() && self.min_samples.is_none() {
            return;
        }
        let mut stages = match plan.get("stages") {
            Some(Value::Array(stages)) if self.stages.is_empty() => stages.clone(),
            _ => {
                let shares = if self.stages.is_empty() { &STAGES[..] } else { &self.stages };
                shares.iter().map(|share| json!({ "share": share })).collect()
            }
        };
        for stage in stages.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(time) = self.min_time {
                stage.insert("min_time_s".into(), json!(time.0.as_secs_f64()));
            }
            if let Some(samples) = self.min_samples {
                stage.insert("min_samples".into(), json!(samples));
            }
        }
        plan.insert("stages".into(), Value::Array(stages));
    }
}

/// Puts numbers into a part of the plan, beside those that it has.
fn put_all<'a>(plan: &mut Map<String, Value>, part: &str, numbers: impl Iterator<Item = (&'a str, f64)>) {
    for (name, value) in numbers {
        let part = plan.entry(part).or_insert_with(|| json!({}));
        if !part.is_object() {
            *part = json!({});
        }
        part[name] = json!(value);
    }
}

/// A share, said in percent.
fn share(text: &str) -> Result<f64, String> {
    let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| format!("{text} is no number of percent"))?;
    let fits = percent > 0.0 && percent <= 100.0;
    if fits { Ok(percent / 100.0) } else { Err("must be above 0 and at most 100".into()) }
}

fn margin(text: &str) -> Result<(String, f64), String> {
    let (name, share) = text.split_once('=').ok_or_else(|| format!("{text} has no value: {text}=0.1"))?;
    if !["failures", "median", "tail", "quality"].contains(&name) {
        return Err(format!("there is no margin {name}; there are failures, median, tail and quality"));
    }
    let share: f64 = share.parse().map_err(|_| format!("{share} is no number, such as 0.1"))?;
    let fits = share > 0.0 && share.is_finite();
    if fits {
        Ok((name.into(), share))
    } else {
        Err(format!("{name} must be above 0: that nothing is worse cannot be shown"))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Value>, String> {
        let command = PlanArgs::augment_args(Command::new("plan"));
        let matches = command.try_get_matches_from([&["plan"], words].concat()).map_err(|e| e.to_string())?;
        PlanArgs::from_arg_matches(&matches).expect("its own").plan().map_err(|e| format!("{e:#}"))
    }

    fn check(words: &[&str], expected: Option<Value>) {
        assert_eq!(parse(words), Ok(expected), "{words:?}");
    }

    fn refused(words: &[&str], part: &str) {
        let error = parse(words).expect_err("it is wrong");
        assert!(error.contains(part), "{words:?}: {error}");
    }

    #[test]
    fn options_become_a_plan() {
        check(&[], None);
        check(&["--stages", "5,100"], Some(json!({ "stages": [{ "share": 0.05 }, { "share": 1.0 }] })));
        let all = |min: &str, value: Value| STAGES.map(|share| json!({ "share": share, min: value })).to_vec();
        check(&["--min-time", "10m"], Some(json!({ "stages": all("min_time_s", json!(600.0)) })));
        check(&["--min-samples", "50"], Some(json!({ "stages": all("min_samples", json!(50)) })));
        check(&["--by", "session"], Some(json!({ "by": "session" })));
        let shadow = json!({ "shadow": { "share": 0.5, "divergence": 0.02 } });
        check(&["--shadow", "50", "--divergence", "0.02"], Some(shadow));
        check(&["--margin", "failures=0.01,tail=1"], Some(json!({ "margins": { "failures": 0.01, "tail": 1.0 } })));
        check(&["--twin"], Some(json!({ "twin": true })));
        let times = json!({ "warm_up_s": 30.0, "give_up_after_s": 7200.0 });
        check(&["--give-up-after", "2h", "--warm-up", "30s"], Some(times));
    }

    #[test]
    fn options_go_before_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = r#"{"stages": [{"share": 0.2, "min_samples": 9}], "margins": {"tail": 2}, "budget": 0.01}"#;
        std::fs::write(file.path(), text).expect("written");
        let path = file.path().to_str().expect("a path");
        let stages = json!([{ "share": 0.2, "min_samples": 9, "min_time_s": 60.0 }]);
        let expected = json!({ "stages": stages, "margins": { "tail": 2, "median": 0.3 }, "budget": 0.01 });
        check(&["--plan", path, "--min-time", "1m", "--margin", "median=0.3"], Some(expected));
        std::fs::write(file.path(), "[]").expect("written");
        refused(&["--plan", path], "must be a JSON object");
        refused(&["--plan", "nowhere.json"], "cannot read nowhere.json");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for share in ["0", "101", "NaN", "-5", "x"] {
            assert!(parse(&["--stages", share]).is_err(), "{share}");
        }
        refused(&["--margin", "speed=1"], "there is no margin speed");
        refused(&["--margin", "tail=0"], "above 0");
        refused(&["--margin", "tail=NaN"], "above 0");
        refused(&["--divergence", "0.1"], "--shadow");
    }
}
