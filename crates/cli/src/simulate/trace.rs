//! Traces of requests: when each came, how long its prompt and its answer were, and which spans of prompts were the same.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Deserialize;
use time::PrimitiveDateTime;
use time::format_description::parse_borrowed;

/// Tokens of a prompt that a hash of a trace stands for.
pub const SPAN: usize = 512;

/// A request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// When it came, since the first one.
    pub arrives: Duration,
    /// Tokens of its prompt, at least one.
    pub prompt: usize,
    /// Tokens of its answer, at least one.
    pub output: usize,
    /// A number for each [`SPAN`] of the prompt: equal ones after equal ones are the same tokens. Empty: it shares nothing.
    pub spans: Box<[u32]>,
    /// The client leaves after so many tokens.
    pub leaves: Option<usize>,
    /// On whose behalf it comes.
    pub tenant: Option<Arc<str>>,
}

/// Reads a trace: JSON lines of Mooncake (`timestamp` in milliseconds, `input_length`, `output_length`, `hash_ids`; a `tenant` if
/// there is one) or
/// Azure's CSV (`TIMESTAMP,ContextTokens,GeneratedTokens`), told apart by their first byte.
///
/// # Errors
/// If the file cannot be read or a line is none of these; the line is named.
pub fn read(path: &Path) -> anyhow::Result<Vec<Job>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut reader = BufReader::new(file);
    let json = reader.fill_buf().with_context(|| format!("cannot read {}", path.display()))?.starts_with(b"{");
    let mut jobs = Vec::new();
    let mut columns = None;
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        let line = line.trim();
        let job = match (json, &columns) {
            _ if line.is_empty() => continue,
            (true, _) => mooncake(line),
            (false, Some(columns)) => azure(line, columns),
            (false, None) => {
                columns = Some(Columns::of(line).with_context(|| format!("{}: line {number}", path.display()))?);
                continue;
            }
        };
        jobs.push(job.with_context(|| format!("{}: line {number}", path.display()))?);
    }
    ensure!(!jobs.is_empty(), "{} has no requests", path.display());
    jobs.sort_by_key(|job: &Job| job.arrives);
    let first = jobs[0].arrives;
    jobs.iter_mut().for_each(|job| job.arrives -= first);
    Ok(jobs)
}

fn mooncake(line: &str) -> anyhow::Result<Job> {
    #[derive(Deserialize)]
    struct Line {
        timestamp: u64,
        input_length: usize,
        output_length: usize,
        hash_ids: Box<[u32]>,
        tenant: Option<String>,
    }
    let line: Line = serde_json::from_str(line)?;
    let (spans, due) = (line.hash_ids.len(), line.input_length.div_ceil(SPAN));
    ensure!(spans == due, "{spans} hash_ids for {} tokens; one for each {SPAN} would be {due}", line.input_length);
    let job = job(Duration::from_millis(line.timestamp), line.input_length, line.output_length, line.hash_ids)?;
    Ok(Job { tenant: line.tenant.map(Arc::from), ..job })
}

/// Where the columns of a CSV file are.
struct Columns([usize; 3]);

impl Columns {
    fn of(head: &str) -> anyhow::Result<Columns> {
        let find = |name: &str| {
            let at = head.split(',').position(|column| column.trim().eq_ignore_ascii_case(name));
            at.with_context(|| format!("no column {name} (JSON lines of Mooncake or Azure's CSV are read)"))
        };
        Ok(Columns([find("TIMESTAMP")?, find("ContextTokens")?, find("GeneratedTokens")?]))
    }
}

fn azure(line: &str, Columns(columns): &Columns) -> anyhow::Result<Job> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [time, prompt, output] = columns.map(|at| fields.get(at).copied().unwrap_or_default());
    let form = parse_borrowed::<2>("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]")?;
    let time = PrimitiveDateTime::parse(time, &form).with_context(|| format!("the time {time:?}"))?.assume_utc();
    let nanos = time.unix_timestamp_nanos();
    let count = |text: &str| text.parse().with_context(|| format!("{text:?} is no number of tokens"));
    job(
        Duration::from_nanos(nanos.try_into().context("a time before 1970")?),
        count(prompt)?,
        count(output)?,
        [].into(),
    )
}

fn job(arrives: Duration, prompt: usize, output: usize, spans: Box<[u32]>) -> anyhow::Result<Job> {
    if prompt == 0 {
        bail!("a prompt without tokens");
    }
    Ok(Job { arrives, prompt, output: output.max(1), spans, leaves: None, tenant: None })
}

/// Requests by chance.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    /// How many.
    pub requests: usize,
    /// A second, on average; their distances are exponential.
    pub rate: f64,
    /// Equal ones give equal requests.
    pub seed: u64,
}

impl Random {
    /// Prompts of 16 to 4,096 tokens and answers of 1 to 512, both of all orders of magnitude alike; half of the prompts
    /// begin with one of eight texts of up to 2,048 tokens.
    pub fn jobs(self) -> Vec<Job> {
        let mut chance = Chance::new(self.seed);
        let mut now = 0.0;
        let mut next_span = 1000;
        let one = |_| {
            now -= (1.0 - chance.unit()).ln() / self.rate;
            let (prompt, output) = (chance.log(16.0, 4096.0), chance.log(1.0, 512.0));
            let shared = if chance.unit() < 0.5 { chance.below(8) + 1 } else { 0 };
            let mut spans: Vec<u32> = (0..prompt.div_ceil(SPAN) as u32).map(|at| next_span + at).collect();
            next_span += spans.len() as u32;
            // The text of number k has k / 2 spans.
            spans.iter_mut().zip(0..shared / 2).for_each(|(span, at)| *span = shared * 8 + at);
            Job {
                arrives: Duration::from_secs_f64(now),
                prompt,
                output,
                spans: spans.into(),
                leaves: None,
                tenant: None,
            }
        };
        (0..self.requests).map(one).collect()
    }
}

/// Lets a share of the clients leave before their answers are complete.
pub fn cancel(jobs: &mut [Job], share: f64, seed: u64) {
    let mut chance = Chance::new(seed ^ 0x5eed);
    for job in jobs {
        let (leaves, after) = (chance.unit() < share, chance.unit());
        job.leaves = leaves.then_some((after * job.output as f64) as usize);
    }
}

struct Chance(ChaCha8Rng);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance(ChaCha8Rng::seed_from_u64(seed))
    }

    /// In 0..1.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.unit() * f64::from(n)) as u32
    }

    /// Between two numbers, with an even logarithm.
    fn log(&mut self, least: f64, most: f64) -> usize {
        (least * (most / least).powf(self.unit())) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&[(u64, usize, usize, usize)], &str>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("it is written");
        let got = read(file.path());
        match (got, expect) {
            (Ok(jobs), Ok(expect)) => {
                let got: Vec<_> = jobs
                    .iter()
                    .map(|job| (job.arrives.as_micros() as u64, job.prompt, job.output, job.spans.len()))
                    .collect();
                assert_eq!(got, expect, "{text}");
            }
            (Err(e), Err(expect)) => {
                let said = crate::terminal::whole_message(&e);
                assert!(said.contains(expect), "{said}");
            }
            (got, expect) => panic!("{text}: {got:?}, not {expect:?}"),
        }
    }

    #[test]
    fn both_forms_are_read_and_mistakes_are_named() {
        let line = r#"{"timestamp": 7, "input_length": 513, "output_length": 0, "hash_ids": [1, 2]}"#;
        let later = r#"{"timestamp": 5, "input_length": 5, "output_length": 3, "hash_ids": [1]}"#;
        check(&format!("{line}\n\n{later}\n"), Ok(&[(0, 5, 3, 1), (2000, 513, 1, 2)]));
        let head = "TIMESTAMP,ContextTokens,GeneratedTokens";
        let csv = format!("{head}\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n");
        check(&csv, Ok(&[(0, 4808, 10, 0), (52_000, 3180, 8, 0)]));
        check("", Err("has no requests"));
        check("a,b\n1,2\n", Err("line 1: no column TIMESTAMP"));
        check(&format!("{head}\nnow,1,2\n"), Err("line 2: the time \"now\""));
        check(&format!("{head}\n2023-11-16 18:17:03.9,x,2\n"), Err("line 2: \"x\" is no number of tokens"));
        check(&line.replace("513", "512"), Err("line 1: 2 hash_ids for 512 tokens"));
        check("{}", Err("line 1: missing field"));
    }

    #[test]
    fn equal_seeds_give_equal_requests() {
        let random = |seed| Random { requests: 200, rate: 2.0, seed }.jobs();
        assert_eq!(random(1), random(1));
        assert_ne!(random(1), random(2));
        let mean = random(1).last().expect("a job").arrives.as_secs_f64() / 200.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
        let mut left = random(1);
        cancel(&mut left, 0.25, 1);
        let leave = left.iter().filter(|job| job.leaves.is_some_and(|after| after < job.output)).count();
        assert!((30..70).contains(&leave), "{leave}");
    }
}
