//! The options of `serve` that are about the network, and the settings of the server that they give.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use serve::http::{Access, Settings};

use super::listen;

/// Where it listens, to whom, and what clients may take.
#[derive(Args)]
pub(super) struct NetworkArgs {
    /// Where to listen, HOST:PORT or unix:PATH, once or several times; port 0 takes a free one.
    #[arg(
        long,
        default_value = "127.0.0.1:8000",
        value_name = "ADDRESS",
        env = "WHINCHAT_LISTEN",
        value_delimiter = ','
    )]
    pub(super) listen: Vec<OsString>,
    /// Another name that the server goes by (a host's name, *.DOMAIN or *), once or several times [default: localhost, this
    /// machine's name, and addresses]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allowed_hosts: Vec<String>,
    /// Pages of other servers that may use this one (http://HOST:PORT, https://*.DOMAIN, null or *), once or several times
    /// [default: none]
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    allowed_origins: Vec<String>,
    /// Connections at once; clients beyond that are answered 503 and may try again [default: 4096, or what the limit of open
    /// files allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: Option<u32>,
    /// Threads that speak with clients, beside those that compute [default: one for every eight cores, two at least]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    client_threads: Option<u16>,
    /// Seconds that open answers have to finish after SIGTERM or Ctrl-C.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=604_800))]
    grace: u64,
    #[arg(long, hide = true, value_parser = |port: &str| no_such("port", port))]
    port: Option<String>,
    #[arg(long, hide = true, value_parser = |host: &str| no_such("host", host))]
    host: Option<String>,
}

impl NetworkArgs {
    /// Threads that speak with clients.
    pub(super) fn client_threads(&self) -> usize {
        self.client_threads.map_or((whinchat::machine::cores() / 8).max(2), usize::from)
    }

    /// Resolved against the machine.
    ///
    /// # Errors
    /// If what is allowed is no name or origin.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let default = Settings::default();
        let files = open_files().saturating_sub(OTHER_FILES).max(1);
        let asked = self.max_connections.map(|asked| asked as usize);
        let max_connections = asked.unwrap_or(default.max_connections.min(files));
        if max_connections > files {
            tracing::warn!(
                "--max-connections {max_connections}: the system allows {files} beside other files (ulimit -n)"
            );
        }
        let own = listen::names(&self.listen).chain(machine_names());
        let own = own.filter(|name| Access::new(&[name], &[]).is_ok());
        let hosts: Vec<String> = own.chain(self.allowed_hosts.iter().cloned()).collect();
        let access = Access::new(&hosts, &self.allowed_origins).map_err(anyhow::Error::msg)?;
        Ok(Settings { max_connections, access, grace: Duration::from_secs(self.grace), ..default })
    }
}

/// Files that are open beside connections: the model's parts, listeners, the runtime's own.
const OTHER_FILES: usize = 128;

/// Files that this process may have open. The soft limit is for programs that use `select`; it is raised to the hard one.
#[cfg(unix)]
fn open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn open_files() -> usize {
    usize::MAX
}

/// Options that other servers have.
fn no_such(option: &str, value: &str) -> Result<String, String> {
    let listen = if option == "port" { format!("127.0.0.1:{value}") } else { format!("{value}:8000") };
    Err(format!("there is no --{option} here; write --listen {listen}"))
}

/// What other machines call this one, by its own account.
#[cfg(unix)]
fn machine_names() -> impl Iterator<Item = String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Also as it is announced in a local network (RFC 6762).
    [name.clone(), format!("{name}.local")].into_iter().filter(move |_| !name.is_empty())
}

#[cfg(not(unix))]
fn machine_names() -> impl Iterator<Item = String> {
    std::iter::empty()
}
