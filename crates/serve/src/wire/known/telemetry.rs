//! What is asked of measurements.

use super::{Field, Request, honoured};

pub(super) const ALL: &[&Request] = &[&HISTORY, &PREDICT];

const TELEMETRY: &str = "Telemetry";

/// Which engine is meant.
const ENGINE: &[Field] =
    &[honoured("model", "string", ""), honoured("variant", "string", ""), honoured("device", "string", "")];

/// `GET /v1/telemetry/history`.
pub(crate) const HISTORY: Request = Request {
    api: TELEMETRY,
    endpoint: "GET /v1/telemetry/history, in the address",
    groups: &[
        &[
            honoured("since", "integer(0..)", "seconds since 1970; only later points"),
            honoured("together", "boolean", "all engines as if they were one"),
        ],
        ENGINE,
    ],
};

/// `GET /v1/telemetry/predict`.
pub(crate) const PREDICT: Request = Request {
    api: TELEMETRY,
    endpoint: "GET /v1/telemetry/predict, in the address",
    groups: &[
        &[
            honoured("prompt", "integer(0..)", "required: tokens"),
            honoured("output", "integer(0..)", "required: tokens"),
            honoured("running", "integer(0..)", "absent: as many as now"),
            honoured("waiting", "integer(0..)", "absent: as many as now"),
        ],
        ENGINE,
    ],
};
