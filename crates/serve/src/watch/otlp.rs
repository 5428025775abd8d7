//! Traces and metrics for OpenTelemetry, over OTLP/HTTP in JSON: a span for each request and one for each of its stages, and the
//! metrics of a model server, by the semantic conventions for generative AI, v0.1.0.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::metrics::{Histogram, MeterProvider};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use telemetry::{Flow, Span, Telemetry, Trace};

use crate::App;

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Buckets of times in seconds, as the conventions advise.
const REQUEST: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const BETWEEN: [f64; 13] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Where traces and metrics go.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    /// Its address, without `/v1/traces`.
    pub endpoint: String,
    /// Sent with each request, for collectors that want a key.
    pub headers: HashMap<String, String>,
    /// How often both are sent; `None`: traces every 5 s, metrics once a minute.
    pub interval: Option<Duration>,
}

/// Exports what has finished, once there is a collector.
#[derive(Default)]
pub(super) struct Exporter(OnceLock<Signals>);

struct Signals {
    spans: BatchSpanProcessor,
    provider: SdkMeterProvider,
    duration: Histogram<f64>,
    first_token: Histogram<f64>,
    between: Histogram<f64>,
}

impl App {
    /// From now on traces and metrics go to `collector`. Only the first counts.
    ///
    /// # Errors
    /// If its address is none.
    pub fn export_to(&self, collector: &Collector) -> Result<(), String> {
        let signals = Signals::new(collector).map_err(|error| error.to_string())?;
        // Only the first counts.
        let _ = self.watch.exporter.0.set(signals);
        self.watch.telemetry.keep_finished();
        Ok(())
    }
}

impl Exporter {
    /// Exports the requests that have finished.
    pub(super) fn send(&self, telemetry: &Telemetry) {
        let Some(signals) = self.0.get() else { return };
        telemetry.take_finished().iter().for_each(|flow| signals.finished(flow));
    }
}

impl Signals {
    fn new(collector: &Collector) -> Result<Signals, opentelemetry_otlp::ExporterBuildError> {
        let endpoint = collector.endpoint.trim_end_matches('/');
        let name = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name("whinchat").with_attribute(name).build();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_headers(collector.headers.clone())
            .with_http_client(Client::default())
            .build()?;
        let often =
            BatchConfigBuilder::default().with_scheduled_delay(collector.interval.unwrap_or(Duration::from_secs(5)));
        let mut spans = BatchSpanProcessor::builder(exporter).with_batch_config(often.build()).build();
        spans.set_resource(&resource);
        let exporter = MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{endpoint}/v1/metrics"))
            .with_headers(collector.headers.clone())
            .with_http_client(Client::default())
            .build()?;
        let interval = collector.interval.unwrap_or(Duration::from_secs(60));
        let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        let meter = provider.meter("whinchat");
        let histogram = |name: &'static str, boundaries: &[f64]| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(boundaries.to_vec()).build()
        };
        Ok(Signals {
            duration: histogram("gen_ai.server.request.duration", &REQUEST),
            first_token: histogram("gen_ai.server.time_to_first_token", &FIRST_TOKEN),
            between: histogram("gen_ai.server.time_per_output_token", &BETWEEN),
            spans,
            provider,
        })
    }

    fn finished(&self, flow: &Flow) {
        let Some(trace) = &flow.trace else { return };
        self.measure(flow, trace);
        if trace.sampled {
            self.spans.on_end(request(flow, trace));
            let stages = flow.spans.iter().zip(1..);
            stages.for_each(|(span, number)| self.spans.on_end(stage(flow, trace, (span, number))));
        }
    }

    fn measure(&self, flow: &Flow, trace: &Trace) {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let mut labels = about(flow, trace);
        labels.extend(error(flow));
        self.duration.record(seconds(flow.total_us), &labels);
        let Some(first) = flow.first_token_us() else { return };
        self.first_token.record(seconds(first), &labels);
        if flow.generated > 1 {
            let each = seconds(flow.total_us.saturating_sub(first)) / (flow.generated - 1) as f64;
            self.between.record(each, &labels);
        }
    }
}

impl Drop for Signals {
    /// What has not been sent yet goes out.
    fn drop(&mut self) {
        let ended = self.spans.shutdown().and(self.provider.shutdown());
        ended.unwrap_or_else(|error| tracing::warn!("the last traces and metrics were not sent: {error}"));
    }
}

/// What both spans and metrics say.
fn about(flow: &Flow, trace: &Trace) -> Vec<KeyValue> {
    vec![
        KeyValue::new("gen_ai.operation.name", trace.operation),
        KeyValue::new("gen_ai.provider.name", "whinchat"),
        KeyValue::new("gen_ai.request.model", flow.labels.model.clone()),
        KeyValue::new("gen_ai.response.model", flow.labels.model.clone()),
    ]
}

/// Why there is no whole answer, if there is none.
fn error(flow: &Flow) -> Option<KeyValue> {
    let failed = !matches!(flow.reason, "stop" | "length");
    failed.then(|| KeyValue::new("error.type", flow.reason))
}

/// The span of a request.
fn request(flow: &Flow, trace: &Trace) -> SpanData {
    let reasons = Value::Array(vec![StringValue::from(flow.reason)].into());
    let mut attributes = about(flow, trace);
    attributes.extend([
        KeyValue::new("gen_ai.response.id", flow.id.clone()),
        KeyValue::new("gen_ai.response.finish_reasons", reasons),
        KeyValue::new("gen_ai.usage.input_tokens", flow.prompt as i64),
        KeyValue::new("gen_ai.usage.cache_read.input_tokens", flow.cached as i64),
        KeyValue::new("gen_ai.usage.output_tokens", flow.generated as i64),
    ]);
    let failed = error(flow);
    let status = if failed.is_some() { Status::error(flow.reason) } else { Status::Unset };
    attributes.extend(failed);
    let end = flow.spans.iter().map(|span| span.end_us).fold(flow.total_us, u64::max);
    SpanData {
        span_kind: SpanKind::Server,
        parent_span_id: trace.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: trace.parent.is_some(),
        attributes,
        status,
        ..span(trace, trace.span, format!("{} {}", trace.operation, flow.labels.model), times(flow, 0, end))
    }
}

/// The span of a stage, below that of its request.
fn stage(flow: &Flow, trace: &Trace, (stage, number): (&Span, u64)) -> SpanData {
    // Spans of one request have numbers of their own; those of others have another trace.
    let id = trace.span.wrapping_add(number).max(1);
    SpanData {
        parent_span_id: SpanId::from(trace.span),
        attributes: vec![KeyValue::new("whinchat.tokens", stage.tokens as i64)],
        ..span(trace, id, stage.stage.as_str().to_owned(), times(flow, stage.start_us, stage.end_us))
    }
}

fn span(trace: &Trace, id: u64, name: String, (start_time, end_time): (SystemTime, SystemTime)) -> SpanData {
    let (trace_id, span_id) = (TraceId::from(trace.trace), SpanId::from(id));
    SpanData {
        span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time,
        end_time,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("whinchat").build(),
    }
}

/// When something began and ended that is so many microseconds after the request's coming.
fn times(flow: &Flow, start: u64, end: u64) -> (SystemTime, SystemTime) {
    let came = UNIX_EPOCH + Duration::from_millis(flow.came_ms);
    (came + Duration::from_micros(start), came + Duration::from_micros(end))
}

/// Posts to the collector; on the exporters' own threads, which may block.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Default for Client {
    fn default() -> Client {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        Client(config.build().new_agent())
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(head, body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }
}
