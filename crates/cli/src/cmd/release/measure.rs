//! A bench of requests and a suite of cases, measured for a baseline.

use std::fmt::{self, Display};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use release::{Baseline, Sample};
use serde::{Deserialize, Serialize};
use whinchat::{
    Ask, BLOCK_LEN, CacheOptions, Ending, GenerateOptions, Input, LoadOptions, Model, PromptText, Sampling, bounds,
};

use crate::cmd::{LoadArgs, peak_rss_bytes, within};
use crate::eval::Suite;
use crate::terminal::Bars;

/// Requests before the first that counts: caches fill and cores wake up.
const WARM_UP: usize = 3;

/// Cases of the suite that run at once; scores do not depend on it.
const STREAMS: usize = 32;

/// What is measured.
#[derive(Args)]
pub(super) struct Measure {
    /// Score the model on this suite too: a folder or a file of cases (see docs/eval.md).
    #[arg(long, value_name = "DIR|FILE")]
    suite: Option<PathBuf>,
    /// Only the first cases of each task.
    #[arg(long, value_name = "N", requires = "suite")]
    limit: Option<NonZeroUsize>,
    /// Timed requests with prompts of each length.
    #[arg(long, value_name = "N", default_value = "100")]
    requests: NonZeroUsize,
    /// Lengths of prompts.
    #[arg(long, value_name = "TOKENS,…", value_delimiter = ',', default_value = "16,64,256", value_parser = within(bounds::CONTEXT))]
    prompt: Vec<usize>,
    /// Tokens of each answer.
    #[arg(long, value_name = "TOKENS", default_value_t = 16, value_parser = within(bounds::CONTEXT))]
    generate: usize,
}

/// How something was measured; numbers of other conditions are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conditions {
    /// The suite's name and its cases.
    suite: Option<(String, usize)>,
    prompt: Vec<usize>,
    generate: usize,
}

/// What came of it.
pub(super) struct Measured {
    pub(super) model: String,
    pub(super) conditions: Conditions,
    pub(super) threads: usize,
    pub(super) baseline: Baseline,
    /// What the suite demands and is not reached.
    pub(super) below: Vec<String>,
}

impl Measure {
    /// # Errors
    /// If the suite cannot be read.
    pub(super) fn conditions(&self) -> anyhow::Result<Conditions> {
        Ok(self.of(self.suite()?.as_ref()))
    }

    /// Loads the model and measures it.
    ///
    /// # Errors
    /// If the suite cannot be read, the model cannot be loaded, or takes no prompt of these lengths.
    pub(super) fn run(&self, load: &LoadArgs) -> anyhow::Result<Measured> {
        let suite = self.suite()?;
        let prepared = load.prepare(&self.options(load, suite.is_some()))?;
        prepared.check_continues()?;
        let model = load.start(&prepared)?;
        let mut baseline = self.bench(&model, prepared.model.spec().vocab)?;
        // Before the suite, whose memory depends on what runs at once.
        baseline.memory = peak_rss_bytes();
        let mut below = Vec::new();
        if let Some(suite) = &suite {
            let bars = Bars::new();
            let cases = suite.cases.len() as u64;
            let report = crate::eval::run(&model, suite, &mut |done| bars.count("cases", done as u64, cases))?;
            let tasks = report.tasks.iter().chain([&report.total]);
            baseline.quality = tasks.map(|task| (task.task.clone(), task.score())).collect();
            below = report.below();
        }
        let conditions = self.of(suite.as_ref());
        Ok(Measured { model: model.name().to_owned(), conditions, threads: prepared.threads(), baseline, below })
    }

    fn suite(&self) -> anyhow::Result<Option<Suite>> {
        let Some(path) = &self.suite else { return Ok(None) };
        let mut suite = Suite::load(path)?;
        if let Some(limit) = self.limit {
            suite.limit(limit.get());
        }
        Ok(Some(suite))
    }

    fn of(&self, suite: Option<&Suite>) -> Conditions {
        let suite = suite.map(|suite| (suite.name.clone(), suite.cases.len()));
        Conditions { suite, prompt: self.prompt.clone(), generate: self.generate }
    }

    /// A suite needs what it needs; a bench alone needs a sequence at a time.
    fn options(&self, load: &LoadArgs, suite: bool) -> LoadOptions {
        let own = load.options();
        if suite {
            return LoadOptions { max_sequences: Some(STREAMS), ..own };
        }
        let longest = self.prompt.iter().copied().max().unwrap_or(1) + self.generate;
        let context = own.context.unwrap_or(0).max(longest);
        let kv_tokens = Some(2 * context.next_multiple_of(BLOCK_LEN));
        LoadOptions {
            context: Some(context),
            max_sequences: Some(1),
            cache: CacheOptions { kv_tokens, ..own.cache },
            ..own
        }
    }

    /// Times requests one after another, with prompts that have nothing in common.
    fn bench(&self, model: &Model, vocab: usize) -> anyhow::Result<Baseline> {
        let mut baseline = Baseline::default();
        let bars = Bars::new();
        let total = WARM_UP + self.requests.get();
        for round in 0..total {
            for (place, length) in self.prompt.iter().enumerate() {
                let ask = self.ask(round * self.prompt.len() + place, *length, vocab);
                let sample = timed(model, &ask, *length)?;
                if round >= WARM_UP {
                    baseline.record(&sample);
                }
            }
            bars.count("requests", round as u64 + 1, total as u64);
        }
        Ok(baseline)
    }

    fn ask(&self, number: usize, length: usize, vocab: usize) -> Ask {
        let token = |position: usize| ((number * 7919 + position * 104_729) % vocab) as u32;
        let items = vec![PromptText::Tokens((0..length).map(token).collect())];
        let ending = Ending { max_tokens: Some(self.generate), ignore_eos: true, ..Ending::default() };
        let input = Input::Prompts { items, echo: false, parse_special: false, suffix: None };
        GenerateOptions { sampling: Sampling::greedy(), ending }.ask(input)
    }
}

/// How long a request takes. One that is not taken is an error; one that fails while it runs is counted.
fn timed(model: &Model, ask: &Ask, length: usize) -> anyhow::Result<Sample> {
    let started = Instant::now();
    let answers = model.begin(ask)?.wait();
    let total = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let tokens = answers.as_ref().map_or(0, |all| all.iter().map(|answer| answer.usage.generated as u64).sum());
    Ok(Sample { prompt_tokens: length as u64, total, tokens, failed: answers.is_err() })
}

impl Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.suite {
            Some((name, cases)) => write!(f, "{cases} cases of the suite {name}")?,
            None => write!(f, "no suite")?,
        }
        let lengths: Vec<String> = self.prompt.iter().map(ToString::to_string).collect();
        write!(f, ", --prompt {} --generate {}", lengths.join(","), self.generate)
    }
}
