//! From the settings about the network to those of the server.

use config::{Config, Network};
use serve::Keys;
use serve::http::{Access, Settings};

use super::listen;

/// Threads that speak with clients.
pub(super) fn client_threads(network: &Network) -> usize {
    network.client_threads.unwrap_or((whinchat::machine::cores() / 8).max(2))
}

/// Resolved against the machine, for who shows one of the keys, if there are some.
///
/// # Errors
/// If what is allowed is no name or origin.
pub(super) fn settings(config: &Config, keys: Option<&Keys>) -> anyhow::Result<Settings> {
    let (network, limits) = (&config.network, &config.limits);
    let own = listen::names(&network.listen).chain(machine_names());
    let own = own.filter(|name| Access::new(&[name], &[]).is_ok());
    let hosts: Vec<String> = own.chain(network.allowed_hosts.iter().cloned()).collect();
    let access = Access::new(&hosts, &network.allowed_origins).map_err(anyhow::Error::msg)?;
    let access = keys.cloned().into_iter().fold(access, Access::with_keys);
    Ok(Settings {
        max_connections: max_connections(limits.max_connections),
        head_timeout: limits.head_timeout.0,
        body_timeout: limits.body_timeout.0,
        max_body: limits.max_body.bytes(),
        max_bodies: limits.max_bodies.bytes(),
        idle_timeout: limits.idle_timeout.0,
        stall_timeout: limits.stall_timeout.0,
        ping_interval: limits.ping_interval.0,
        buffer: limits.send_buffer.bytes(),
        probe_interval: limits.probe_interval.0,
        access,
        grace: network.grace.0,
    })
}

/// What is wrong with the settings about the network: which, and why.
pub(super) fn problems(config: &Config) -> Vec<(&'static str, String)> {
    let network = &config.network;
    let none: &[String] = &[];
    let hosts = Access::new(&network.allowed_hosts, none).err().map(|why| ("network.allowed_hosts", why));
    let origins = Access::new(none, &network.allowed_origins).err().map(|why| ("network.allowed_origins", why));
    hosts.into_iter().chain(origins).collect()
}

/// Connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) wanted: usize,
    /// Files that the system allows for them.
    pub(super) files: usize,
}

/// As many as were asked for, or as there are files for.
pub(super) fn connections(asked: Option<usize>) -> Connections {
    let files = open_files().saturating_sub(OTHER_FILES).max(1);
    Connections { wanted: asked.unwrap_or(Settings::default().max_connections.min(files)), files }
}

fn max_connections(asked: Option<usize>) -> usize {
    let Connections { wanted, files } = connections(asked);
    if wanted > files {
        tracing::warn!("--max-connections {wanted}: the system allows {files} beside other files (ulimit -n)");
    }
    wanted
}

/// Files that are open beside connections: the model's parts, listeners, the runtime's own.
pub(super) const OTHER_FILES: usize = 128;

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
