//! What is unusual, and why: as plain data.

use serde::Serialize;

use crate::Labels;

/// Something unusual about an engine, with what most likely caused it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Anomaly {
    /// Its number; never given twice.
    pub id: u64,
    /// Whose engine.
    #[serde(flatten)]
    pub labels: Labels,
    /// What was noticed first.
    pub symptom: Symptom,
    /// What most likely caused it.
    pub cause: Cause,
    /// The cause in a sentence, with its numbers.
    pub message: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// When it was over; null while it lasts.
    pub until_ms: Option<u64>,
    /// The numbers that speak for the cause.
    pub evidence: Vec<Evidence>,
}

/// A number beside what it usually is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// What is measured.
    pub name: &'static str,
    /// What it is.
    pub value: f64,
    /// Its median in normal times.
    pub usual: f64,
    /// Its unit; empty for counts and shares.
    pub unit: &'static str,
}

/// What is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// Steps take longer than steps of the same work did.
    SlowSteps,
    /// Steps of the same work take now long, now short.
    UnsteadySteps,
    /// No step ends although there is work.
    NoSteps,
    /// More requests wait.
    Waiting,
    /// Requests fail.
    Failures,
    /// Requests miss their deadlines.
    Late,
    /// Clients leave before their answer is complete.
    Aborts,
    /// Sequences lose their blocks to others.
    Preemptions,
    /// Less is found in the KV cache.
    FewerHits,
    /// Sequences wait until their client reads.
    Stalls,
    /// Answers are longer or shorter.
    AnswerLength,
    /// Answers repeat themselves.
    Repetition,
    /// More requests come.
    Arrivals,
    /// More tokens of prompts come.
    Prompts,
}

/// What causes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Other processes take cores.
    CoreTaken,
    /// The hypervisor gives time to others.
    Stolen,
    /// Memory is short: pages are read from the disk again.
    MemoryPressure,
    /// The KV cache is too small for what runs: sequences throw each other out.
    KvShortage,
    /// The KV cache keeps prefixes too short a time to be found again.
    CacheThrash,
    /// Prompts do not begin alike any more.
    PromptsChanged,
    /// Long prompts come.
    LongPrompts,
    /// Answers are asked to be long.
    LongAnswers,
    /// More requests come, from many.
    Surge,
    /// One tenant sends most of what there is.
    OneTenant,
    /// Clients read slower than the model writes.
    SlowClients,
    /// Clients give up early.
    ClientsLeave,
    /// Deadlines are shorter than answers take.
    TightDeadlines,
    /// The variant fails where others of the model do not.
    BadVariantErrors,
    /// The variant repeats itself.
    BadVariantRepeats,
    /// The variant does not come to an end.
    BadVariantRuns,
    /// The variant answers next to nothing.
    BadVariantEmpty,
    /// The device fails to compute batches.
    DeviceFails,
    /// The device computes slower, and nothing else takes it.
    DeviceSlow,
    /// The device computes now fast, now slow.
    DeviceUnsteady,
    /// The engine stands still in one step.
    EngineStuck,
    /// No rule knows why.
    Unknown,
}

impl Cause {
    /// Its word, as it is in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::CoreTaken => "core_taken",
            Cause::Stolen => "stolen",
            Cause::MemoryPressure => "memory_pressure",
            Cause::KvShortage => "kv_shortage",
            Cause::CacheThrash => "cache_thrash",
            Cause::PromptsChanged => "prompts_changed",
            Cause::LongPrompts => "long_prompts",
            Cause::LongAnswers => "long_answers",
            Cause::Surge => "surge",
            Cause::OneTenant => "one_tenant",
            Cause::SlowClients => "slow_clients",
            Cause::ClientsLeave => "clients_leave",
            Cause::TightDeadlines => "tight_deadlines",
            Cause::BadVariantErrors => "bad_variant_errors",
            Cause::BadVariantRepeats => "bad_variant_repeats",
            Cause::BadVariantRuns => "bad_variant_runs",
            Cause::BadVariantEmpty => "bad_variant_empty",
            Cause::DeviceFails => "device_fails",
            Cause::DeviceSlow => "device_slow",
            Cause::DeviceUnsteady => "device_unsteady",
            Cause::EngineStuck => "engine_stuck",
            Cause::Unknown => "unknown",
        }
    }
}
