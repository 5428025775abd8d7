//! Sockets that another process has opened: the server that ran before this one, or the service manager.

mod hand_over;

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use anyhow::Context;
use listenfd::ListenFd;
use serve::http::Listener;

pub(super) use self::hand_over::{Door, Predecessor};

/// Sockets that listen, each by the name that `--listen` has for it.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<(String, OwnedFd)>);

/// A socket of somebody else's, which does not block.
pub(super) enum Opened {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Sockets {
    /// Those that the service manager passes to this process (`LISTEN_FDS`). They leave the environment, which must not have other
    /// readers yet.
    ///
    /// # Errors
    /// If one is no stream socket.
    pub(super) fn passed() -> anyhow::Result<Sockets> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Sockets::default();
        for at in 0..passed.len() {
            let failed =
                || format!("LISTEN_FDS: socket {at} is none that serve can listen on (ListenStream= makes one)");
            if let Some(socket) = taken(&mut passed, at).with_context(failed)? {
                sockets.0.push((name(&socket).with_context(failed)?, socket));
            }
        }
        Ok(sockets)
    }

    /// The sockets of these listeners, by these names.
    ///
    /// # Errors
    /// If no more files may be open.
    pub(super) fn of(names: &[String], listeners: &[Listener]) -> io::Result<Sockets> {
        let named = names.iter().zip(listeners);
        named
            .map(|(name, listener)| Ok((name.clone(), listener.as_fd().try_clone_to_owned()?)))
            .collect::<io::Result<_>>()
            .map(Sockets)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The socket of this name, if there is one.
    pub(super) fn take(&mut self, name: &str) -> Option<io::Result<Opened>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(opened(self.0.remove(at).1))
    }
}

fn taken(passed: &mut ListenFd, at: usize) -> io::Result<Option<OwnedFd>> {
    match passed.take_tcp_listener(at) {
        Ok(tcp) => Ok(tcp.map(OwnedFd::from)),
        Err(_) => passed.take_unix_listener(at).map(|unix| unix.map(OwnedFd::from)),
    }
}

/// What `--listen` would call it.
fn name(socket: &OwnedFd) -> io::Result<String> {
    Ok(match opened(socket.try_clone()?)? {
        Opened::Tcp(tcp) => tcp.local_addr()?.to_string(),
        Opened::Unix(unix) => {
            let address = unix.local_addr()?;
            format!("unix:{}", address.as_pathname().map_or("@".into(), |path| path.display().to_string()))
        }
    })
}

fn opened(socket: OwnedFd) -> io::Result<Opened> {
    let tcp = TcpListener::from(socket);
    tcp.set_nonblocking(true)?;
    match tcp.local_addr() {
        Ok(_) => Ok(Opened::Tcp(tcp)),
        // Its address is none of TCP.
        Err(_) => Ok(Opened::Unix(OwnedFd::from(tcp).into())),
    }
}
