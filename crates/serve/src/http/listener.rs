//! Where connections come from, and how many may come.

use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::access::Local;
use super::body::Budget;
use super::connection::{self, Terms};
use super::patient::Unstalled;
use super::tls::Tls;
use super::{Ends, Live, Settings};

/// Connections beyond the bound that are told so at once; more wait in the kernel's queue.
const REFUSALS: usize = 64;

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// TCP, with TLS on it.
    Tls(TcpListener, Tls),
    /// A unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        Listener::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Listener {
        Listener::Unix(listener)
    }
}

#[cfg(unix)]
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener, _) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// An accepted connection.
enum Stream {
    Tcp(TcpStream),
    Tls(TcpStream, TlsAcceptor),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    fn local(&self) -> Local {
        match self {
            // A connection that is gone already has no address; nor will it have requests.
            Stream::Tcp(stream) | Stream::Tls(stream, _) => {
                stream.local_addr().map_or(Local::Unix, |address| Local::Tcp(address.ip().to_canonical()))
            }
            #[cfg(unix)]
            Stream::Unix(_) => Local::Unix,
        }
    }
}

/// Accepts connections and serves them.
pub(super) struct Entrance<'a> {
    pub(super) listeners: &'a [Listener],
    pub(super) router: Router,
    pub(super) settings: Live,
    pub(super) ends: &'a Ends,
    pub(super) connections: &'a mut JoinSet<()>,
}

impl Entrance<'_> {
    pub(super) async fn run(mut self) -> std::convert::Infallible {
        let places = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let bodies = Budget::new(self.settings.now().max_bodies);
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let mut was_full = false;
        loop {
            let Ok(refusal) = self.reaping(Arc::clone(&refusals).acquire_owned()).await else { continue };
            let stream = match self.reaping(accept(self.listeners)).await {
                Ok(stream) => stream,
                Err(e) => {
                    wait_after(&e).await;
                    continue;
                }
            };
            let settings = self.settings.now();
            // How many may be open can change; nobody else takes places.
            let open = Semaphore::MAX_PERMITS - places.available_permits();
            let place = Arc::clone(&places).try_acquire_owned().ok().filter(|_| open < settings.max_connections.max(1));
            let full = place.is_none();
            if full && !std::mem::replace(&mut was_full, full) {
                tracing::warn!("{open} connections are open: more are answered 503");
            }
            was_full = full;
            let settings = if full { Arc::new(settings.hurried()) } else { settings };
            let terms = Terms {
                settings,
                live: self.settings.clone(),
                bodies: bodies.clone(),
                local: stream.local(),
                refused: full,
                place: place.unwrap_or(refusal),
            };
            self.serve(stream, terms);
        }
    }

    /// Awaits something, and meanwhile forgets connections that have ended.
    async fn reaping<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = std::pin::pin!(wanted);
        loop {
            tokio::select! {
                got = &mut wanted => return got,
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn serve(&mut self, stream: Stream, terms: Terms) {
        let (router, ends) = (self.router.clone(), self.ends.clone());
        match stream {
            Stream::Tcp(stream) => {
                set_options(&stream, &terms.settings);
                let stream = Unstalled::new(stream, &terms.settings);
                self.connections.spawn(connection::run(stream, router, terms, ends));
            }
            Stream::Tls(stream, acceptor) => {
                set_options(&stream, &terms.settings);
                let handshake = acceptor.accept(Unstalled::new(stream, &terms.settings));
                self.connections.spawn(connection::run_over(handshake, router, terms, ends));
            }
            #[cfg(unix)]
            Stream::Unix(stream) => {
                if let Err(e) = SockRef::from(&stream).set_send_buffer_size(terms.settings.buffer) {
                    tracing::debug!("socket options: {e}");
                }
                let stream = Unstalled::new(stream, &terms.settings);
                self.connections.spawn(connection::run(stream, router, terms, ends));
            }
        }
    }
}

/// The next connection of any listener.
async fn accept(listeners: &[Listener]) -> io::Result<Stream> {
    std::future::poll_fn(|cx| {
        for listener in listeners {
            let accepted = match listener {
                Listener::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Tcp(stream)),
                Listener::Tls(listener, tls) => {
                    listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Tls(stream, tls.acceptor()))
                }
                #[cfg(unix)]
                Listener::Unix(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Unix(stream)),
            };
            if accepted.is_ready() {
                return accepted;
            }
        }
        Poll::Pending
    })
    .await
}

fn set_options(stream: &TcpStream, settings: &Settings) {
    if let Err(e) = try_set_options(stream, settings) {
        tracing::debug!("socket options: {e}");
    }
}

fn try_set_options(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(settings.buffer)?;
    let every = settings.probe_interval;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(every).with_interval(every))
}

/// A connection that failed before it was accepted is nobody's business; without file descriptors, trying again at once
/// would only burn a core.
async fn wait_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!("cannot accept connections: {error}");
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(200)).await;
    }
}
