//! What a client may take of the server.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Period, Size};

/// Time, bytes and connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Limits {
    /// Connections at once; clients beyond that are answered 503 and may try again [default: 4096, or what the limit of open files
    /// allows]
    #[garde(range(min = 1, max = 1_000_000))]
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: Option<usize>,
    /// From the first byte of a request's head to its last. After that the connection is closed.
    #[garde(custom(some_time))]
    #[schemars(extend("x-reload" = "live"))]
    pub head_timeout: Period,
    /// From a request's head to the last byte of its body. After that the answer is 408.
    #[garde(custom(some_time))]
    #[schemars(extend("x-reload" = "live"))]
    pub body_timeout: Period,
    /// Bytes of a request's body at most. More is answered 413.
    #[garde(custom(some_bytes))]
    #[schemars(extend("x-reload" = "live"))]
    pub max_body: Size,
    /// Bytes of all bodies that have begun to arrive and are not parsed yet, at most. A request for whose body there is no more is
    /// answered 503.
    #[garde(custom(some_bytes))]
    pub max_bodies: Size,
    /// How long a connection may be open without a request. Load balancers close theirs after 60s, and must be the first: a
    /// request that meets a connection being closed is lost.
    #[garde(custom(some_time))]
    #[schemars(extend("x-reload" = "live"))]
    pub idle_timeout: Period,
    /// A client that takes no byte of its answer for so long is gone. Until then its sequence waits and keeps its blocks.
    #[garde(custom(some_time))]
    #[schemars(extend("x-reload" = "live"))]
    pub stall_timeout: Period,
    /// A stream of events without a token for so long sends a comment or its API's ping: proxies close silent connections.
    #[garde(custom(some_time))]
    #[schemars(extend("x-reload" = "live"))]
    pub ping_interval: Period,
    /// Bytes sent and not yet read, in the server and again in the kernel: what a client that reads slowly costs.
    #[garde(custom(some_bytes))]
    #[schemars(extend("x-reload" = "live"))]
    pub send_buffer: Size,
    /// TCP asks hosts that are silent so often whether they are still there.
    #[garde(custom(some_time))]
    #[schemars(extend("x-reload" = "live"))]
    pub probe_interval: Period,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: None,
            head_timeout: Period::seconds(30),
            body_timeout: Period::seconds(120),
            max_body: Size::mebibytes(32),
            max_bodies: Size::mebibytes(512),
            idle_timeout: Period::seconds(75),
            stall_timeout: Period::seconds(60),
            ping_interval: Period::seconds(15),
            send_buffer: Size(64 << 10),
            probe_interval: Period::seconds(30),
        }
    }
}

fn some_time(period: &Period, (): &()) -> garde::Result {
    if period.0.is_zero() { Err(garde::Error::new("expected more than 0s")) } else { Ok(()) }
}

fn some_bytes(size: &Size, (): &()) -> garde::Result {
    if size.0 == 0 { Err(garde::Error::new("expected more than 0B")) } else { Ok(()) }
}
