//! What a client may take of the server: time, bytes and connections.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Extensions;

use super::Access;

/// Limits of connections and requests. Times are of tokio's clock, which tests pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections served at once (default 4,096). A client beyond that is answered 503 and may try again; see [`super::serve`].
    pub max_connections: usize,
    /// From the first byte of a request's head to its last (default 30 s). After that the connection is closed.
    pub head_timeout: Duration,
    /// From a request's head to the last byte of its body (default 120 s). After that the answer is 408.
    pub body_timeout: Duration,
    /// Bytes of a request's body at most (default 32 MiB). More is answered 413.
    pub max_body: usize,
    /// Bytes of all bodies that have begun to arrive and are not parsed yet, at most (default 512 MiB). A request for whose
    /// body there is no more is answered 503.
    pub max_bodies: usize,
    /// How long a connection may be open without a request (default 75 s). Load balancers close theirs after 60 s, and
    /// must be the first: a request that meets a connection being closed is lost.
    pub idle_timeout: Duration,
    /// A client that takes no byte of its answer for so long is gone (default 60 s). Until then its sequence waits and
    /// keeps its blocks.
    pub stall_timeout: Duration,
    /// A stream of events without a token for so long (a long prompt, a full engine) sends a comment or its API's ping
    /// (default 15 s): proxies close silent connections.
    pub ping_interval: Duration,
    /// Bytes sent and not yet read, in hyper and again in the kernel (default 64 KiB): what a client that reads slowly costs.
    pub buffer: usize,
    /// TCP asks hosts that are silent so often whether they are still there (default 30 s).
    pub probe_interval: Duration,
    /// The names the server goes by and the pages that may ask it, beside the usual.
    pub access: Access,
    /// How long open answers have to finish once the server drains (default 30 s).
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_connections: 4096,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(120),
            max_body: 32 << 20,
            max_bodies: 512 << 20,
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(15),
            buffer: 64 << 10,
            probe_interval: Duration::from_secs(30),
            access: Access::default(),
            grace: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Those of the connection that a request came by, which are among its extensions.
    pub(crate) fn of(extensions: &Extensions) -> Arc<Settings> {
        extensions.get::<Arc<Settings>>().cloned().unwrap_or_default()
    }

    /// For connections beyond the bound, which must make room soon: no time limit is over five seconds.
    pub(super) fn hurried(&self) -> Settings {
        let short = |time: Duration| time.min(Duration::from_secs(5));
        Settings {
            head_timeout: short(self.head_timeout),
            body_timeout: short(self.body_timeout),
            idle_timeout: short(self.idle_timeout),
            stall_timeout: short(self.stall_timeout),
            ..self.clone()
        }
    }
}
