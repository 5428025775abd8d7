//! `whinchat bench --try`: settings of serve, tried beside what holds without them.

use std::io::Write;

use anyhow::{Context, ensure};
use clap::Args;
use config::{Config, Setting, Sources};
use serde_json::json;
use whinchat::{Memory, Model};

use super::serve::{load_args, load_options};
use super::settings::assigned;
use super::{LoadArgs, ModelArg, within};
use crate::terminal::Bars;
use crate::trial::compare;
use crate::trial::gain::{Gain, Measure, Verdict};
use crate::trial::load::Load;

/// A setting and its value as text.
type Assignment = (&'static Setting, String);

/// Sections of settings that can be tried: the others change nothing of how fast a model answers.
const TRIED: [&str; 3] = ["model", "engine", "cache"];

/// What is tried, and on whom.
#[derive(Args)]
pub(super) struct TrialArgs {
    /// Try settings of serve, by the names of its flags: the same clients ask an engine without and one with them, in turn; then the gain
    /// is said, with the interval in which it is 95 times in 100. Both are in memory at once.
    #[arg(long = "try", value_name = "SETTING=VALUE,…", value_delimiter = ',', value_parser = tried,
          conflicts_with_all = ["batch", "no_fusion", "disable_rule"])]
    tried: Vec<Assignment>,
    /// Settings that both engines have; others are as serve has them.
    #[arg(long = "with", value_name = "SETTING=VALUE,…", value_delimiter = ',', value_parser = tried, requires = "tried")]
    both: Vec<Assignment>,
    /// Clients that ask at the same time, each again as soon as it is answered.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = within(1..=1024))]
    clients: usize,
    /// Prompts whose first half comes again: so many different ones in turn, as of conversations [default: none does]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = within(0..=1_000_000))]
    returning: usize,
    /// Rounds for each of the two: more make the interval narrower.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = within(2..=1000))]
    rounds: usize,
    /// Requests of a round [default: two for each client]
    #[arg(long, value_name = "N", value_parser = within(1..=1_000_000))]
    requests: Option<usize>,
}

fn tried(text: &str) -> Result<Assignment, String> {
    let (setting, value) = assigned(text)?;
    if setting.section().is_some_and(|section| TRIED.contains(&section)) {
        return Ok((setting, value));
    }
    Err(format!("{} changes nothing of how fast a model answers", setting.path))
}

/// One of the two engines.
struct Side {
    model: Model,
    memory: Memory,
}

impl TrialArgs {
    /// Whether anything is to be tried.
    pub(super) fn is_asked(&self) -> bool {
        !self.tried.is_empty()
    }

    pub(super) fn run(&self, load: &LoadArgs, [prompt, generate]: [usize; 2], json: bool) -> anyhow::Result<()> {
        let own: Vec<&Assignment> = self.both.iter().collect();
        let changed: Vec<&Assignment> =
            own.iter().copied().filter(|(setting, _)| !names(&self.tried, setting)).chain(&self.tried).collect();
        let before = side(load, &own).context("without what is tried")?;
        let after = side(load, &changed).context("with what is tried")?;
        for side in [&before, &after] {
            let context = side.model.context();
            ensure!(
                prompt + generate <= context,
                "--prompt {prompt} and --generate {generate} are more than the context of {context} tokens"
            );
        }
        let requests = self.requests.unwrap_or(2 * self.clients).max(self.clients);
        let load = Load { clients: self.clients, requests, prompt, generate, returning: self.returning };
        let bars = Bars::new();
        let mut heard = |round: usize, _: &_| bars.count("rounds", round as u64 + 1, self.rounds as u64);
        let gains = compare([&before.model, &after.model], &load, self.rounds, &mut heard)?;
        drop(bars);
        let mut out = std::io::stdout().lock();
        let memory = [&before, &after].map(|side| side.memory.total());
        if json { self.say_json(&mut out, &gains, memory) } else { say(&mut out, &gains, memory) }
    }

    fn say_json(&self, out: &mut impl Write, gains: &[Gain], [before, after]: [u64; 2]) -> anyhow::Result<()> {
        let tried: Vec<String> =
            self.tried.iter().map(|(setting, value)| format!("{}={value}", setting.path)).collect();
        for Gain { of, before, after, share, least, most } in gains {
            let line = json!({
                "of": of.name(), "tried": tried, "before": before, "after": after, "gain": share, "least": least,
                "most": most, "rounds": self.rounds,
            });
            writeln!(out, "{line}")?;
        }
        let share = 1.0 - after as f64 / before as f64;
        writeln!(
            out,
            "{}",
            json!({ "of": "memory", "tried": tried, "before": before, "after": after, "gain": share })
        )?;
        Ok(())
    }
}

fn names(all: &[Assignment], setting: &Setting) -> bool {
    all.iter().any(|(other, _)| other.path == setting.path)
}

/// An engine with these settings, and what the command line says besides.
fn side(load: &LoadArgs, settings: &[&Assignment]) -> anyhow::Result<Side> {
    let flags: Vec<Assignment> = settings.iter().map(|(setting, value)| (*setting, value.clone())).collect();
    let config = config::resolve(&Sources { flags: &flags, ..Sources::default() })?.config;
    let load = beside(load, &config, |path| flags.iter().any(|(setting, _)| setting.path == path));
    let prepared = load.resolve(load.model.open_silently()?, &load_options(&config, &load)?)?;
    Ok(Side { memory: prepared.memory, model: load.start(&prepared)? })
}

/// What the settings say, and where they are silent the command line.
fn beside(load: &LoadArgs, config: &Config, said: impl Fn(&str) -> bool) -> LoadArgs {
    let own = load_args(config);
    LoadArgs {
        model: ModelArg { model: own.model.model.or_else(|| load.model.model.clone()) },
        context: own.context.or(load.context),
        threads: own.threads.or(load.threads),
        pin: if said("engine.pin") { own.pin } else { load.pin },
        kv_type: if said("cache.kv_type") { own.kv_type } else { load.kv_type },
        weights_cache: if said("cache.weights") { own.weights_cache } else { load.weights_cache.clone() },
        kernels: if said("engine.kernels") { own.kernels } else { load.kernels.clone() },
        device: if said("model.device") { own.device } else { load.device.clone() },
        gpu_layers: own.gpu_layers.or(load.gpu_layers),
        plan: own.plan.or_else(|| load.plan.clone()),
    }
}

/// A table, and what follows from it.
fn say(out: &mut impl Write, gains: &[Gain], [before, after]: [u64; 2]) -> anyhow::Result<()> {
    writeln!(out, "{:<12} {:>14} {:>14} {:>9}   95 times in 100", "", "before", "after", "gain")?;
    for gain in gains {
        let percent = |share: f64| format!("{:+.1} %", 100.0 * share);
        let [one, other] = [gain.before, gain.after].map(|value| shown(gain.of, value));
        let bounds = format!("{} to {}", percent(gain.least), percent(gain.most));
        writeln!(out, "{:<12} {one:>14} {other:>14} {:>9}   {bounds}", gain.of.name(), percent(gain.share))?;
    }
    let share = format!("{:+.1} %", 100.0 * (1.0 - after as f64 / before.max(1) as f64));
    let [before, after] = [before, after].map(|bytes| indicatif::HumanBytes(bytes).to_string());
    writeln!(out, "{:<12} {before:>14} {after:>14} {share:>9}", "memory")?;
    for (verdict, words) in [
        (Verdict::Better, "Better"),
        (Verdict::Worse, "Worse"),
        (Verdict::Unclear, "May be either, with more rounds clearer"),
    ] {
        let of: Vec<&str> = gains.iter().filter(|gain| gain.verdict() == verdict).map(|gain| gain.of.name()).collect();
        if !of.is_empty() {
            writeln!(out, "{words}: {}.", of.join(", "))?;
        }
    }
    Ok(())
}

fn shown(of: Measure, value: f64) -> String {
    match of {
        Measure::Throughput => format!("{value:.1} tok/s"),
        Measure::FirstToken | Measure::Between => format!("{:.2} ms", value * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: super::super::bench::Bench,
    }

    #[test]
    fn settings_are_those_of_serve() {
        let check = |text: &str, wanted: Result<(&str, &str), &str>| match (tried(text), wanted) {
            (Ok((setting, value)), Ok(wanted)) => assert_eq!((setting.path.as_str(), value.as_str()), wanted, "{text}"),
            (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{text}: {why}"),
            (found, wanted) => {
                panic!("{text}: {:?}, not {wanted:?}", found.map(|(setting, value)| (&setting.path, value)))
            }
        };
        check("max-sequences=16", Ok(("engine.max_sequences", "16")));
        check("--max-sequences=16", Ok(("engine.max_sequences", "16")));
        check("engine.threads=2", Ok(("engine.threads", "2")));
        check("no-prefix-cache=true", Ok(("cache.prefixes", "false")));
        check("cache.prefixes=false", Ok(("cache.prefixes", "false")));
        check("model=org/name:a=b.gguf", Ok(("model.source", "org/name:a=b.gguf")));
        check("max-sequences", Err("NAME=VALUE"));
        check("max-sequences=many", Err("max-sequences: "));
        check("kv-type=f99", Err("kv-type: "));
        check("max-sequence=3", Err("no setting max-sequence"));
        check("listen=127.0.0.1:1", Err("how fast a model answers"));
    }

    #[test]
    fn the_command_line_holds_where_settings_are_silent() {
        let check = |words: &str, wanted: (Option<usize>, &str, bool)| {
            let words = std::iter::once("bench").chain(words.split_whitespace());
            let bench = Line::try_parse_from(words).expect("a command line").bench;
            let flags = bench.trial().tried.clone();
            let config = config::resolve(&Sources { flags: &flags, ..Sources::default() }).expect("possible").config;
            let load = beside(bench.load(), &config, |path| flags.iter().any(|(setting, _)| setting.path == path));
            assert_eq!((load.threads, load.kv_type.name(), load.pin), wanted);
        };
        check("--try max-sequences=2", (None, "f16", false));
        check("--try max-sequences=2 --threads 3 --kv-type q8_0 --pin", (Some(3), "q8_0", true));
        check("--try threads=1,kv-type=f32,pin=false --threads 3 --kv-type q8_0 --pin", (Some(1), "f32", false));
    }

    /// Two engines of the model in this program, twice in turn.
    #[test]
    fn what_is_tried_is_measured() {
        let words =
            "bench --try max-sequences=1 --with threads=2,context=256 --clients 3 --prompt 24 --generate 8 --rounds 2";
        let bench = Line::try_parse_from(words.split_whitespace()).expect("a command line").bench;
        let (trial, load) = (bench.trial(), bench.load());
        let own: Vec<&Assignment> = trial.both.iter().collect();
        let changed: Vec<&Assignment> = own.iter().copied().chain(&trial.tried).collect();
        let [before, after] = [&own, &changed].map(|settings| side(load, settings).expect("an engine"));
        assert_eq!([before.model.streams(), after.model.streams()], [32, 1]);
        let load = Load { clients: 3, requests: 6, prompt: 24, generate: 8, returning: 2 };
        let mut heard = 0;
        let gains = compare([&before.model, &after.model], &load, 2, &mut |_, pair| {
            heard += 1;
            assert!(pair.iter().all(|figures| figures.throughput > 0.0 && figures.first_token > 0.0), "{pair:?}");
        });
        let gains = gains.expect("all are answered");
        assert_eq!(gains.iter().map(|gain| gain.of).collect::<Vec<_>>(), Measure::ALL);
        assert!(
            gains.iter().all(|gain| gain.least <= gain.share && gain.share <= gain.most && gain.before > 0.0),
            "{gains:?}"
        );
        assert_eq!(heard, 2);
        let mut said = Vec::new();
        say(&mut said, &gains, [2048, 1024]).expect("a table");
        let said = String::from_utf8(said).expect("text");
        assert!(said.contains("throughput") && said.contains("first_token") && said.contains("+50.0 %"), "{said}");
        said.lines().for_each(|line| assert!(line.len() < 100, "{line}"));
    }
}
