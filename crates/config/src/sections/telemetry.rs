//! Who is told what happens.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is told what happens, besides whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Telemetry {
    /// Post what becomes unusual, and what is over, to this address, as Standard Webhooks says [default: nowhere]
    #[schemars(extend("x-value" = "URL"))]
    pub alert_url: Option<String>,
    /// The file with the secret that alerts are signed with: whsec_ and base64, or any text in one line.
    #[schemars(extend("x-value" = "FILE"))]
    pub alert_secret_file: Option<PathBuf>,
    /// Send traces and metrics to this collector of OpenTelemetry, over OTLP/HTTP; in a build with the feature otel [default: nowhere]
    #[schemars(extend("x-value" = "URL"))]
    pub otlp_url: Option<String>,
}
