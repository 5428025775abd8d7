//! Why: rules that tell causes apart, one line each, the first that holds is the cause. What others follow from comes first.

use super::sample::Measure;
use super::signals::Means;
use crate::{Cause, Evidence};
use Measure as M;

/// A cause, when it is one, and what speaks for it.
struct Rule {
    cause: Cause,
    holds: fn(&Means) -> bool,
    evidence: &'static [Measure],
}

/// Steps take longer than the same work did, or now long and now short.
fn hampered(m: &Means) -> bool {
    m.now(M::Slowness) > 1.15 && m.times(M::Slowness, 1.15) || unsteady(m)
}

fn unsteady(m: &Means) -> bool {
    m.now(M::Unsteadiness) > 1.5 && m.times(M::Unsteadiness, 1.4)
}

fn more_come(m: &Means) -> bool {
    m.times(M::Arrived, 1.8) && m.above(M::Arrived, 2.0)
}

/// Tokens of a prompt.
fn prompt(prompts: f64, arrived: f64) -> f64 {
    prompts / arrived.max(0.2)
}

fn longer_prompts(m: &Means) -> bool {
    let usual = prompt(m.usual(M::Prompt), m.usual(M::Arrived));
    m.times(M::Prompt, 2.0) && prompt(m.now(M::Prompt), m.now(M::Arrived)) > 2.0 * usual
}

/// What runs fills the KV cache, and others wait or are thrown out for it: although there are places, or more than usual.
fn kv_short(m: &Means) -> bool {
    let held_up = m.now(M::Used) > 0.3 && m.above(M::HeldUp, 0.2);
    let full = m.now(M::Used) > 0.6 && m.above(M::Used, 0.2);
    held_up || full && (m.above(M::Preempted, 0.5) || m.above(M::Waiting, 3.0))
}

/// Answers have next to no tokens, or many fewer.
fn empty(m: &Means) -> bool {
    m.above(M::Empty, 0.3) || m.now(M::Answer) > 0.0 && m.now(M::Answer) < 0.3 * m.usual(M::Answer)
}

/// Much less of prompts is found.
fn fewer_hits(m: &Means) -> bool {
    m.usual(M::Hits) > 0.15 && m.now(M::Hits) < 0.6 * m.usual(M::Hits)
}

#[rustfmt::skip]
const RULES: &[Rule] = &[
    Rule { cause: Cause::EngineStuck, holds: |m| m.now(M::Standstill) > 2.0 && m.above(M::Standstill, 1.5), evidence: &[M::Standstill, M::Waiting] },
    Rule { cause: Cause::DeviceFails, holds: |m| m.above(M::FailedBatches, 0.5), evidence: &[M::FailedBatches, M::Failed] },
    Rule { cause: Cause::BadVariantErrors, holds: |m| m.share(M::Failed, 0.1), evidence: &[M::Failed, M::Ended, M::FailedBatches] },
    Rule { cause: Cause::Stolen, holds: |m| hampered(m) && m.above(M::Stolen, 0.04), evidence: &[M::Slowness, M::Stolen, M::Others] },
    Rule { cause: Cause::MemoryPressure, holds: |m| hampered(m) && m.above(M::MajorFaults, 20.0), evidence: &[M::Slowness, M::MajorFaults, M::Available] },
    Rule { cause: Cause::CoreTaken, holds: |m| hampered(m) && m.above(M::Others, 0.4), evidence: &[M::Slowness, M::Others, M::Stolen] },
    Rule { cause: Cause::DeviceUnsteady, holds: |m| unsteady(m) && m.now(M::Slowness) < 1.4, evidence: &[M::Unsteadiness, M::Slowness, M::Others] },
    Rule { cause: Cause::DeviceSlow, holds: hampered, evidence: &[M::Slowness, M::Others, M::Stolen, M::MajorFaults] },
    Rule { cause: Cause::SlowClients, holds: |m| m.above(M::Stalled, 0.35), evidence: &[M::Stalled] },
    Rule { cause: Cause::OneTenant, holds: |m| more_come(m) && m.above(M::Tenant, 0.2), evidence: &[M::Tenant, M::Arrived, M::Waiting] },
    Rule { cause: Cause::LongPrompts, holds: longer_prompts, evidence: &[M::Prompt, M::Arrived, M::Waiting] },
    Rule { cause: Cause::BadVariantRepeats, holds: |m| m.above(M::Repetition, 0.2), evidence: &[M::Repetition, M::Cut, M::Answer] },
    Rule { cause: Cause::BadVariantRuns, holds: |m| m.above(M::Cut, 0.3), evidence: &[M::Cut, M::Answer, M::Repetition] },
    Rule { cause: Cause::BadVariantEmpty, holds: empty, evidence: &[M::Empty, M::Answer, M::Ended] },
    Rule { cause: Cause::LongAnswers, holds: |m| m.times(M::Answer, 1.8), evidence: &[M::Answer, M::Cut] },
    Rule { cause: Cause::Surge, holds: more_come, evidence: &[M::Arrived, M::Tenant, M::Waiting] },
    Rule { cause: Cause::ClientsLeave, holds: |m| m.share(M::Aborted, 0.2), evidence: &[M::Aborted, M::Ended, M::Waiting] },
    Rule { cause: Cause::TightDeadlines, holds: |m| m.share(M::Late, 0.2), evidence: &[M::Late, M::Ended, M::Waiting] },
    Rule { cause: Cause::KvShortage, holds: kv_short, evidence: &[M::Used, M::HeldUp, M::Preempted, M::Waiting] },
    Rule { cause: Cause::CacheThrash, holds: |m| fewer_hits(m) && m.now(M::Full) > 0.9, evidence: &[M::Hits, M::Full, M::Used] },
    Rule { cause: Cause::PromptsChanged, holds: fewer_hits, evidence: &[M::Hits, M::Full] },
];

/// The cause of what is unusual now.
pub(super) fn cause(means: &Means) -> Option<Cause> {
    RULES.iter().find(|rule| (rule.holds)(means)).map(|rule| rule.cause)
}

/// The numbers that speak for a cause.
pub(super) fn evidence(cause: Cause, means: &Means) -> Vec<Evidence> {
    let measures = RULES.iter().find(|rule| rule.cause == cause).map_or(&[][..], |rule| rule.evidence);
    let evidence = |measure: &Measure| {
        let (name, unit) = measure.name();
        Evidence { name, value: means.now(*measure), usual: means.usual(*measure), unit }
    };
    measures.iter().map(evidence).collect()
}

/// A cause as a sentence.
#[rustfmt::skip]
pub(super) fn message(cause: Cause, m: &Means) -> String {
    let percent = |measure| (100.0 * m.now(measure)).round();
    let slower = ((m.now(M::Slowness) - 1.0) * 100.0).round();
    match cause {
        Cause::EngineStuck => format!("No step has ended for {:.0} s although there is work.", m.now(M::Standstill)),
        Cause::DeviceFails => format!("The device could not compute {:.1} batches a second.", m.now(M::FailedBatches)),
        Cause::BadVariantErrors => format!("{:.1} requests a second fail while the device computes.", m.now(M::Failed)),
        Cause::Stolen => format!("Steps take {slower} % longer; the hypervisor gives {} % of the time to others.", percent(M::Stolen)),
        Cause::MemoryPressure => format!("Steps take {slower} % longer; {:.0} pages a second are read from the disk again.", m.now(M::MajorFaults)),
        Cause::CoreTaken => format!("Steps take {slower} % longer; other processes use {:.1} cores.", m.now(M::Others)),
        Cause::DeviceUnsteady => format!("Steps of the same work differ by a factor of {:.1}.", m.now(M::Unsteadiness)),
        Cause::DeviceSlow => format!("Steps take {slower} % longer, and nothing else takes the device."),
        Cause::SlowClients => format!("{} % of the sequences wait until their clients read.", percent(M::Stalled)),
        Cause::OneTenant => format!("One tenant sends {} % of the requests, {:.1} come a second.", percent(M::Tenant), m.now(M::Arrived)),
        Cause::LongPrompts => format!("Prompts have {:.0} tokens, {:.0} usually.", prompt(m.now(M::Prompt), m.now(M::Arrived)), prompt(m.usual(M::Prompt), m.usual(M::Arrived))),
        Cause::BadVariantRepeats => format!("{} % of an answer was there before in it, {:.0} % usually.", percent(M::Repetition), 100.0 * m.usual(M::Repetition)),
        Cause::BadVariantRuns => format!("{} % of the answers run until they are cut.", percent(M::Cut)),
        Cause::BadVariantEmpty => format!("Answers have {:.0} tokens, {:.0} usually.", m.now(M::Answer), m.usual(M::Answer)),
        Cause::LongAnswers => format!("Answers have {:.0} tokens, {:.0} usually, and end by themselves.", m.now(M::Answer), m.usual(M::Answer)),
        Cause::Surge => format!("{:.1} requests come a second, {:.1} usually.", m.now(M::Arrived), m.usual(M::Arrived)),
        Cause::ClientsLeave => format!("{:.1} clients a second leave before their answer is complete.", m.now(M::Aborted)),
        Cause::TightDeadlines => format!("{:.1} requests a second miss their deadline while steps are as fast as ever.", m.now(M::Late)),
        Cause::KvShortage => format!("{} % of the KV cache is in use, {:.0} % usually; {:.0} sequences wait, {:.1} a second lose their blocks.", percent(M::Used), 100.0 * m.usual(M::Used), m.now(M::Waiting), m.now(M::Preempted)),
        Cause::CacheThrash => format!("{} % of prompts is found, {:.0} % usually; the KV cache is full.", percent(M::Hits), 100.0 * m.usual(M::Hits)),
        Cause::PromptsChanged => format!("{} % of prompts is found, {:.0} % usually; the KV cache has room.", percent(M::Hits), 100.0 * m.usual(M::Hits)),
        Cause::Unknown => "No rule knows why.".to_owned(),
    }
}
