//! Where `serve` listens: addresses of TCP and paths of unix sockets.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serve::http::{Listener, Tls};
use tokio::net::TcpListener;

use super::sockets::{Opened, Sockets};

/// A place that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Tls(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => write!(f, "http://{address}"),
            Place::Tls(address) => write!(f, "https://{address}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Sockets that listen.
pub(super) struct Listening {
    pub(super) listeners: Vec<Listener>,
    pub(super) places: Vec<Place>,
    /// Those that this process has made, or taken over.
    pub(super) files: Arc<Files>,
}

/// Files of unix sockets. Dropped, it takes them away.
#[derive(Default)]
pub(super) struct Files(Mutex<Vec<PathBuf>>);

impl Files {
    /// They are another server's from now on.
    pub(super) fn leave(&self) {
        self.change(Vec::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Vec<PathBuf>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.change(|paths| paths.iter().for_each(|path| _ = std::fs::remove_file(path)));
    }
}

impl Listening {
    /// Listens on each of `asked`: `HOST:PORT`, with TLS if there is some, or `unix:PATH`. What is among `given` is taken from there.
    pub(super) async fn on(asked: &[String], tls: Option<&Tls>, given: &mut Sockets) -> anyhow::Result<Listening> {
        let mut all = Listening { listeners: Vec::new(), places: Vec::new(), files: Arc::default() };
        for one in asked {
            let bound = match (given.take(one), path_of(one)) {
                (Some(opened), path) => opened.and_then(|opened| adopted(opened, path, tls)),
                (None, Some(path)) => all.unix(path),
                (None, None) => TcpListener::bind(one).await.and_then(|listener| tcp(listener, tls)),
            };
            let (listener, place) =
                bound.map_err(|e| anyhow::anyhow!("cannot listen on {one}: {e}; {}", advice(&e, one)))?;
            tracing::info!("listening on {place}");
            all.listeners.push(listener);
            all.places.push(place);
        }
        Ok(all)
    }

    fn unix(&mut self, path: PathBuf) -> io::Result<(Listener, Place)> {
        let listener = unix(&path)?;
        self.files.change(|files| files.push(path.clone()));
        Ok((listener, Place::Unix(path)))
    }

    /// The server whose sockets these were leaves: their files are this process's.
    pub(super) fn own_files(&self) {
        let paths = self.places.iter().filter_map(|place| match place {
            Place::Unix(path) => Some(path.clone()),
            Place::Tcp(_) | Place::Tls(_) => None,
        });
        self.files.change(|files| *files = paths.collect());
    }

    /// Says where others than this machine's own users are answered.
    pub(super) fn warn_if_open(&self) {
        for place in &self.places {
            if let Place::Tcp(address) | Place::Tls(address) = place
                && !address.ip().is_loopback()
            {
                tracing::warn!("{place} answers everybody who reaches it; --api-keys FILE asks for a key");
            }
        }
    }
}

/// Names of hosts in `asked`: who writes one there wants to be found by it.
pub(super) fn names(asked: &[String]) -> impl Iterator<Item = String> {
    let hosts = asked.iter().filter(|one| path_of(one).is_none()).filter_map(|one| one.rsplit_once(':'));
    hosts.map(|(host, _)| host.trim_matches(['[', ']']).to_owned()).filter(|host| !host.is_empty())
}

/// A socket that another process has opened, at `path` if that is one.
#[cfg(unix)]
fn adopted(opened: Opened, path: Option<PathBuf>, tls: Option<&Tls>) -> io::Result<(Listener, Place)> {
    match opened {
        Opened::Tcp(listener) => tcp(TcpListener::from_std(listener)?, tls),
        Opened::Unix(listener) => {
            Ok((tokio::net::UnixListener::from_std(listener)?.into(), Place::Unix(path.unwrap_or_default())))
        }
    }
}

#[cfg(not(unix))]
fn adopted(opened: Opened, _: Option<PathBuf>, _: Option<&Tls>) -> io::Result<(Listener, Place)> {
    match opened {}
}

fn tcp(listener: TcpListener, tls: Option<&Tls>) -> io::Result<(Listener, Place)> {
    let address = listener.local_addr()?;
    Ok(match tls {
        Some(tls) => (Listener::Tls(listener, tls.clone()), Place::Tls(address)),
        None => (listener.into(), Place::Tcp(address)),
    })
}

/// The path in `unix:PATH`, also written as a URL with three slashes.
fn path_of(asked: &str) -> Option<PathBuf> {
    let path = asked.strip_prefix("unix:")?;
    Some(path.strip_prefix("//").unwrap_or(path).into())
}

/// Takes the place of a socket that nobody listens on any more: a program that was killed leaves one.
#[cfg(unix)]
fn unix(path: &Path) -> io::Result<Listener> {
    let bind = || tokio::net::UnixListener::bind(path).map(Listener::from);
    match bind() {
        Err(e) if e.kind() == ErrorKind::AddrInUse && is_dead(path) => {
            std::fs::remove_file(path)?;
            bind()
        }
        bound => bound,
    }
}

#[cfg(unix)]
fn is_dead(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::UnixStream;
    let socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    socket && UnixStream::connect(path).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(not(unix))]
fn unix(_: &Path) -> io::Result<Listener> {
    Err(io::Error::new(ErrorKind::Unsupported, "this system has no unix sockets"))
}

/// What helps against an error of listening.
fn advice(error: &io::Error, asked: &str) -> String {
    let host = asked.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
    match (error.kind(), path_of(asked)) {
        (ErrorKind::AddrInUse, None) => {
            format!("another program listens there: stop it, or take another port (--listen {host}:0 takes a free one)")
        }
        (ErrorKind::AddrInUse, Some(_)) => "another program listens there, or it is a file: take another path".into(),
        (ErrorKind::PermissionDenied, None) => "take a port from 1024 on".into(),
        (_, Some(_)) => "write unix:PATH, in a folder that exists and where you may write".into(),
        (_, None) => "write HOST:PORT, as 127.0.0.1:8000, with a host of this machine, or unix:PATH".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_are_told_apart() {
        let check = |asked: &str, path: Option<&str>, name: Option<&str>| {
            let asked = [asked.to_owned()];
            assert_eq!(path_of(&asked[0]).as_deref(), path.map(Path::new), "{asked:?}");
            assert_eq!(names(&asked).next().as_deref(), name, "{asked:?}");
        };
        check("unix:/run/w.sock", Some("/run/w.sock"), None);
        check("unix:w.sock", Some("w.sock"), None);
        check("unix:///run/w.sock", Some("/run/w.sock"), None);
        check("127.0.0.1:8000", None, Some("127.0.0.1"));
        check("[::1]:8000", None, Some("::1"));
        check("gpu-box:8000", None, Some("gpu-box"));
        check("nonsense", None, None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let asked = ["unix:".to_owned() + path.to_str().expect("text")];
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "a killed program leaves it");
        let listening = Listening::on(&asked, None, &mut Sockets::default()).await.expect("it is replaced");
        let second =
            Listening::on(&asked, None, &mut Sockets::default()).await.err().expect("it is in use").to_string();
        assert!(second.contains("another program listens there"), "{second}");
        assert!(path.exists());
        drop(listening);
        assert!(!path.exists());
        std::fs::write(&path, "precious").expect("written");
        assert!(Listening::on(&asked, None, &mut Sockets::default()).await.is_err());
        assert_eq!(std::fs::read(&path).expect("it is left alone"), b"precious");
    }
}
