//! Who is answered, and over what.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys and certificates, in files that are read anew when they change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Security {
    /// Answer only who shows a key of this file, which whinchat key writes; it is read anew when it changes [default: everybody is
    /// answered]
    #[schemars(extend("x-value" = "FILE"))]
    pub api_keys: Option<PathBuf>,
    /// Speak TLS on TCP with the certificates of this file, PEM, the server's first; it is read anew when it changes [default: no
    /// TLS]
    #[schemars(extend("x-value" = "FILE"))]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[schemars(extend("x-value" = "FILE"))]
    pub tls_key: Option<PathBuf>,
    /// Answer only clients with a certificate that one of these has signed, PEM [default: no client needs one]
    #[schemars(extend("x-value" = "FILE"))]
    pub tls_client_ca: Option<PathBuf>,
    /// Let faults be injected over HTTP, to test clients and dashboards: /admin/faults, for this machine and holders of a key with
    /// the role admin. Not in production.
    pub allow_faults: bool,
}
