//! Where it listens, what it keeps and what it says.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Period, Size};

/// Where it listens, to whom, and how it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Network {
    /// Where to listen, HOST:PORT or unix:PATH, once or several times; port 0 takes a free one.
    #[garde(length(min = 1))]
    #[schemars(extend("x-value" = "ADDRESS"))]
    pub listen: Vec<String>,
    /// Another name that the server goes by (a host's name, *.DOMAIN or *), once or several times [default: localhost, this
    /// machine's name, and addresses]
    #[schemars(extend("x-value" = "NAME", "x-reload" = "live"))]
    pub allowed_hosts: Vec<String>,
    /// Pages of other servers that may use this one (http://HOST:PORT, https://*.DOMAIN, null or *), once or several times
    /// [default: none]
    #[schemars(extend("x-value" = "ORIGIN", "x-reload" = "live"))]
    pub allowed_origins: Vec<String>,
    /// Threads that speak with clients, beside those that compute [default: one for every eight cores, two at least]
    #[garde(range(min = 1, max = 256))]
    pub client_threads: Option<usize>,
    /// How long open answers have to finish after SIGTERM or Ctrl-C.
    #[schemars(extend("x-reload" = "live"))]
    pub grace: Period,
    /// Take the sockets of the server that has this unix socket, once the models are loaded, and give them to the next one there: a
    /// restart that refuses nobody [default: neither]
    #[schemars(extend("x-value" = "PATH"))]
    pub hand_over: Option<PathBuf>,
    /// Let models be loaded, replaced and taken away while the server answers: /admin/models, for this machine only.
    pub admin: bool,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            listen: vec!["127.0.0.1:8000".to_owned()],
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            client_threads: None,
            grace: Period::seconds(30),
            hand_over: None,
            admin: false,
        }
    }
}

/// What is kept, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Storage {
    /// Keep files and batches of requests in a database in this folder, for this server alone (/v1/files, /v1/batches); in a build
    /// with the feature batches [default: nowhere]
    #[schemars(extend("x-value" = "DIR"))]
    pub data_dir: Option<PathBuf>,
    /// Let sessions be saved in this folder, restored and deleted: /v1/sessions [default: nowhere]
    #[schemars(extend("x-value" = "DIR"))]
    pub sessions: Option<PathBuf>,
    /// Responses (/v1/responses) that later requests may go on from, in memory; the oldest go first.
    #[schemars(extend("x-reload" = "live"))]
    pub max_responses: usize,
    /// The size of all of them at most.
    #[schemars(extend("x-reload" = "live"))]
    pub max_responses_size: Size,
    /// Requests of batches that are answered at once; more would wait in the engine's queue.
    #[garde(range(min = 1, max = 1 << 12))]
    #[schemars(extend("x-reload" = "live"))]
    pub batch_requests: usize,
    /// The size of all files of one key (/v1/files) at most, and of all its sessions. Without keys, and for a key of the role admin, there
    /// is no bound.
    #[schemars(extend("x-reload" = "live"))]
    pub max_files_size: Size,
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            data_dir: None,
            sessions: None,
            max_responses: 4096,
            max_responses_size: Size::mebibytes(256),
            batch_requests: 32,
            max_files_size: Size::mebibytes(4096),
        }
    }
}

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Log {
    /// What is logged: error, warn, info, debug, or more exactly, as serve=debug,info [default: info, with --quiet warn]
    #[schemars(extend("x-flag" = "log", "x-reload" = "live"))]
    pub filter: Option<String>,
    /// Say nothing but warnings and errors.
    #[schemars(extend("x-short" = "q"))]
    pub quiet: bool,
}
