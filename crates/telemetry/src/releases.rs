//! What routes and releases do, as Prometheus reads it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts of routes and releases. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct ReleaseMetrics(Arc<Counts>);

type Share = Family<Candidate, Gauge<f64, AtomicU64>>;

#[derive(Debug, Default)]
struct Counts {
    traffic: Share,
    stage: Family<Candidate, Gauge>,
    evidence: Share,
    verdicts: Family<Ended, Counter>,
    requests: Family<Answered, Counter>,
    failures: Family<Answered, Counter>,
    fallbacks: Family<Answered, Counter>,
    marks: Family<Answered, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Candidate {
    route: String,
    candidate: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    route: String,
    verdict: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    variant: String,
}

/// What happened to a request of a route, or came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// It has ended.
    Ended,
    /// It failed.
    Failed,
    /// It failed before its first token, and the first variant answered.
    FellBack,
    /// A client said how good the answer was.
    Marked,
}

/// Where a release is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The candidate's share, 0 to 1.
    pub share: f64,
    /// The stage, from 0.
    pub stage: usize,
    /// What speaks against the candidate.
    pub evidence: f64,
}

impl ReleaseMetrics {
    #[rustfmt::skip]
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Counts { traffic, stage, evidence, verdicts, requests, failures, fallbacks, marks } = &*self.0;
        registry.register("whinchat_canary_traffic_percentage", "Share of a route's traffic that the candidate of its release gets, 0 to 100", traffic.clone());
        registry.register("whinchat_release_stage", "The stage of the release that is under way, from 0", stage.clone());
        registry.register("whinchat_release_evidence", "Evidence against the candidate of the release that is under way", evidence.clone());
        registry.register("whinchat_release_verdicts", "Releases that have ended, by verdict", verdicts.clone());
        registry.register("whinchat_route_requests", "Requests that have ended, by variant", requests.clone());
        registry.register("whinchat_route_failures", "Of these, requests that failed", failures.clone());
        registry.register("whinchat_route_fallbacks", "Requests that failed on a variant before their first token and that the first one answered", fallbacks.clone());
        registry.register("whinchat_feedback", "Marks that clients gave to answers, by variant", marks.clone());
    }

    /// Something happened to a request.
    pub fn routed(&self, route: &str, variant: &str, what: Routed) {
        let Counts { requests, failures, fallbacks, marks, .. } = &*self.0;
        let family = match what {
            Routed::Ended => requests,
            Routed::Failed => failures,
            Routed::FellBack => fallbacks,
            Routed::Marked => marks,
        };
        family.get_or_create(&Answered { route: route.to_owned(), variant: variant.to_owned() }).inc();
    }

    /// A release is there now.
    pub fn progress(&self, route: &str, candidate: &str, progress: Progress) {
        let labels = Candidate { route: route.to_owned(), candidate: candidate.to_owned() };
        self.0.traffic.get_or_create(&labels).set(100.0 * progress.share);
        self.0.stage.get_or_create(&labels).set(i64::try_from(progress.stage).unwrap_or(i64::MAX));
        self.0.evidence.get_or_create(&labels).set(progress.evidence);
    }

    /// A release has ended so. What it did is told no more.
    pub fn ended(&self, route: &str, candidate: &str, verdict: &str) {
        let labels = Candidate { route: route.to_owned(), candidate: candidate.to_owned() };
        self.0.traffic.remove(&labels);
        self.0.stage.remove(&labels);
        self.0.evidence.remove(&labels);
        self.0.verdicts.get_or_create(&Ended { route: route.to_owned(), verdict: verdict.to_owned() }).inc();
    }
}
