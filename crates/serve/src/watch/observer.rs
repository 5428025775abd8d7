//! Hears an engine and tells the telemetry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Expected, FinishReason, Observer, Phase, PhaseKind, RequestRecord, StepReport};
use telemetry::{EngineTelemetry, Foretold, Left, ModelMetrics, Record, Request, Span, Stage, Step};

/// The observer of one engine.
pub(super) struct Ears {
    metrics: ModelMetrics,
    engine: Arc<EngineTelemetry>,
    /// When counting began.
    began: Instant,
    /// When the last step ended, if the engine had more to do then.
    busy_until: Option<Duration>,
    /// When the last step ended.
    latest: Duration,
}

impl Ears {
    pub(super) fn new(metrics: ModelMetrics, engine: Arc<EngineTelemetry>, began: Instant) -> Ears {
        Ears { metrics, engine, began, busy_until: None, latest: Duration::ZERO }
    }
}

impl Observer for Ears {
    fn step(&mut self, report: &StepReport) {
        let StepReport { running, waiting, stalled, .. } = *report;
        let step = Step {
            prefill_rows: report.work.prefill_rows,
            decode_rows: report.work.decode_rows - report.work.draft_rows,
            context: report.work.context,
            found: report.found,
            tokens: report.tokens,
            preempted: report.preempted,
            took: report.ended.saturating_sub(report.started),
            since_last: self.busy_until.map(|ended| report.ended.saturating_sub(ended)),
            left: Left { running, waiting, stalled },
        };
        self.metrics.step(&step);
        self.engine.step(self.began.elapsed(), &step);
        let busy = report.rows() > 0 && running + waiting > 0;
        self.busy_until = busy.then_some(report.ended);
        self.latest = report.ended;
    }

    fn ended(&mut self, record: &RequestRecord) {
        let request = request(record);
        self.metrics.ended(&request);
        let times = record.times;
        let end = times.last_token.unwrap_or(times.arrived).max(self.latest);
        self.engine.ended(
            self.began.elapsed(),
            &Record {
                request,
                id: record.id.0,
                tenant: record.tenant.as_deref(),
                cached: record.tokens.cached,
                preemptions: record.preemptions,
                total: end.saturating_sub(times.arrived),
                spans: &spans(record),
            },
        );
    }
}

fn request(record: &RequestRecord) -> Request {
    let times = record.times;
    let after = |time: Option<Duration>| time.map(|time| time.saturating_sub(times.arrived));
    Request {
        queued: after(times.started),
        first_token: after(times.first_token),
        last_token: after(times.last_token),
        prompt: record.tokens.prompt,
        generated: record.tokens.generated,
        drafts: (record.tokens.drafts.computed, record.tokens.drafts.accepted),
        model_drafts: (record.tokens.model_drafts.computed, record.tokens.model_drafts.accepted),
        head_drafts: (record.tokens.head_drafts.computed, record.tokens.head_drafts.accepted),
        answers: record.continuations(),
        reason: reason(record.reason()),
        repetition: record.repetition.share(),
        foretold: record.predicted.map(|predicted| {
            let Expected { least, likely, most } = predicted.first_token;
            Foretold { least, likely, most }
        }),
    }
}

/// The queue, and what came after it.
fn spans(record: &RequestRecord) -> Vec<Span> {
    let micros = |time: Duration| time.saturating_sub(record.times.arrived).as_micros() as u64;
    let queued = record.times.started.map(|started| {
        let end_us = micros(started);
        Span { stage: Stage::Queued, start_us: 0, end_us, tokens: 0 }
    });
    let span = |phase: &Phase| {
        let stage = match phase.kind {
            PhaseKind::Prefill => Stage::Prefill,
            PhaseKind::Decode => Stage::Decode,
            PhaseKind::Preempted => Stage::Preempted,
        };
        Span { stage, start_us: micros(phase.started), end_us: micros(phase.ended), tokens: phase.rows }
    };
    queued.into_iter().chain(record.phases.iter().map(span)).collect()
}

/// vLLM's words, and two of ours.
fn reason(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop(_) | FinishReason::Complete => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled | FinishReason::Aborted => "abort",
        FinishReason::Deadline | FinishReason::TooLate(_) => "timeout",
        FinishReason::Failed(_) | FinishReason::Unavailable(_) => "error",
    }
}
