//! `serve --hand-over PATH`: a server takes over the sockets of the one that runs, so that no client is refused between the two.
//!
//! Both have the same sockets of the kernel open, with their queues of connections. The new server connects to the unix socket at PATH, gets
//! them, loads its models, accepts, and says so; then the old one accepts no more and finishes what it has. If the new server fails
//! before, its connection ends, and the old one goes on.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::cmsg_space;
use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixListener;
use tokio::time::Instant;

use super::Sockets;

/// Sockets that one server has at most.
const MOST: usize = 64;

/// Bytes of the message with their names at most: the kernel keeps so much in one piece.
const MESSAGE: usize = 8 << 10;

/// What the message begins with: servers of other versions may speak otherwise.
const GREETING: &str = "whinchat hand-over 1";

/// What a new server says once it accepts.
const READY: u8 = b'!';

/// A server gives its sockets at once, unless another one is taking over.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server that runs, and goes on until it is told to leave.
pub(in crate::cmd) struct Predecessor {
    stream: UnixStream,
    sockets: Sockets,
}

impl Predecessor {
    /// Gets the sockets of the server that runs; `None` if none does.
    ///
    /// # Errors
    /// If it does not give them, or `path` is of somebody else.
    pub(in crate::cmd) fn find(path: &Path) -> anyhow::Result<Option<Predecessor>> {
        let failed = || format!("--hand-over {}", path.display());
        let Ok(found) = path.symlink_metadata() else { return Ok(None) };
        anyhow::ensure!(found.file_type().is_socket(), "{}: this is no socket; take a path that is free", failed());
        anyhow::ensure!(is_trusted(found.uid()), "{}: this is another user's socket", failed());
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            // It was killed, or has just ended.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) => return Err(e).with_context(failed),
        };
        stream.set_read_timeout(Some(PATIENCE)).with_context(failed)?;
        let sockets = received(&stream).with_context(|| format!("{}: the server that runs", failed()))?;
        Ok(Some(Predecessor { stream, sockets }))
    }

    /// Its sockets, once.
    pub(in crate::cmd) fn sockets(&mut self) -> Sockets {
        std::mem::take(&mut self.sockets)
    }

    /// Tells it that this process accepts now.
    ///
    /// # Errors
    /// If it has ended; then nothing is lost either.
    pub(in crate::cmd) fn leave(mut self) -> io::Result<()> {
        self.stream.write_all(&[READY])
    }
}

/// Where the next server asks for the sockets of this one.
pub(in crate::cmd) struct Door {
    listener: UnixListener,
    sockets: Sockets,
    path: PathBuf,
    /// The file that it has made: another one there is the next server's.
    file: (u64, u64),
}

impl Door {
    /// Opens at `path`, in the place of the server before.
    ///
    /// # Errors
    /// If nothing can listen there.
    pub(in crate::cmd) fn open(path: &Path, sockets: Sockets) -> anyhow::Result<Door> {
        bound(path, sockets).with_context(|| format!("--hand-over {}", path.display()))
    }

    /// Ends when another process accepts on the sockets.
    pub(in crate::cmd) async fn until_taken_over(self) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(e) => {
                    tracing::warn!("--hand-over: {e}");
                    tokio::time::sleep_until(Instant::now() + Duration::from_millis(200)).await;
                    continue;
                }
            };
            if !stream.peer_cred().is_ok_and(|peer| is_trusted(peer.uid())) {
                tracing::warn!("another user asked for the sockets at {}", self.path.display());
                continue;
            }
            tracing::info!("another server has got the sockets: it takes over when its models are loaded");
            match handed(&stream, &self.sockets).await {
                Ok(()) => return,
                Err(e) => tracing::warn!("the other server did not take over, all stays as it was: {e}"),
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if file_at(&self.path).is_ok_and(|file| file == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// This user's own, or root's.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    path.symlink_metadata().map(|found| (found.dev(), found.ino()))
}

/// A socket that takes the place of another one at once: at no time there is none.
fn bound(path: &Path, sockets: Sockets) -> io::Result<Door> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let _ = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    let file = file_at(&new)?;
    std::fs::rename(&new, path)?;
    Ok(Door { listener, sockets, path: path.to_owned(), file })
}

/// Gives the sockets away, and waits until who has them is ready.
async fn handed(stream: &tokio::net::UnixStream, sockets: &Sockets) -> io::Result<()> {
    stream.async_io(Interest::WRITABLE, || sent(stream.as_fd(), sockets)).await?;
    let mut said = [0];
    loop {
        stream.readable().await?;
        return match stream.try_read(&mut said) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended")),
            Ok(_) if said[0] == READY => Ok(()),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it says what this server does not know")),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => Err(e),
        };
    }
}

/// The greeting and the names, each with a zero byte behind it, with the descriptors in the order of the names: one message.
fn sent(stream: BorrowedFd, Sockets(sockets): &Sockets) -> io::Result<()> {
    let names = sockets.iter().map(|(name, _)| name.as_str());
    let message: String = [GREETING].into_iter().chain(names).flat_map(|name| [name, "\0"]).collect();
    let descriptors: Vec<BorrowedFd> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if message.len() > MESSAGE || !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there are too many sockets"));
    }
    let length = sendmsg(stream, &[IoSlice::new(message.as_bytes())], &mut control, SendFlags::empty())?;
    match length == message.len() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::WriteZero, "the names of the sockets are too long")),
    }
}

fn received(stream: &UnixStream) -> anyhow::Result<Sockets> {
    let mut message = vec![0; MESSAGE];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = match recvmsg(stream, &mut [IoSliceMut::new(&mut message)], &mut control, RecvFlags::empty()) {
        Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!("does not answer: another one may be taking over from it"),
        got => got?,
    };
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = rights.flatten().collect();
    for descriptor in &descriptors {
        rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    let names = std::str::from_utf8(&message[..got.bytes]).ok().and_then(|text| text.strip_suffix('\0'));
    let names: Vec<&str> = names.into_iter().flat_map(|text| text.split('\0')).collect();
    match names.split_first() {
        Some((&GREETING, names)) if !names.is_empty() && names.len() == descriptors.len() => {
            Ok(Sockets(names.iter().map(|name| (*name).to_owned()).zip(descriptors).collect()))
        }
        _ => anyhow::bail!("gives its sockets in a way that this version does not know"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn tcp() -> (TcpListener, Sockets) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let socket = listener.try_clone().expect("a descriptor").into();
        (listener, Sockets(vec![("127.0.0.1:0".to_owned(), socket)]))
    }

    /// Finds who runs, on a thread that may block.
    async fn find(path: &Path) -> anyhow::Result<Option<Predecessor>> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || Predecessor::find(&path)).await.expect("no panic")
    }

    #[tokio::test]
    async fn sockets_go_from_one_to_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("door");
        assert!(find(&path).await.expect("nobody is there").is_none());
        let (listener, sockets) = tcp();
        let door = Door::open(&path, sockets).expect("it opens");
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let old = tokio::spawn(door.until_taken_over());

        // One that fails changes nothing.
        drop(find(&path).await.expect("it is given").expect("it runs"));
        let mut running = find(&path).await.expect("it is given").expect("it runs");
        let mut sockets = running.sockets();
        assert_eq!(sockets.names(), ["127.0.0.1:0"]);
        let Some(Ok(super::super::Opened::Tcp(taken))) = sockets.take("127.0.0.1:0") else { panic!("it is TCP") };
        assert_eq!(taken.local_addr().expect("bound"), listener.local_addr().expect("bound"));
        assert!(sockets.take("127.0.0.1:0").is_none());
        assert!(!old.is_finished(), "it goes on");

        let next = Door::open(&path, tcp().1).expect("it takes the place");
        running.leave().expect("it is told");
        old.await.expect("it ends");
        assert!(path.exists(), "that is the next one's");
        drop(next);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_at_the_path_decides() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("door");
        std::fs::write(&path, "precious").expect("written");
        let refused = find(&path).await.err().expect("it is a file").to_string();
        assert!(refused.contains("this is no socket"), "{refused}");
        std::fs::remove_file(&path).expect("removed");

        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(find(&path).await.expect("a dead one").is_none());
        let door = Door::open(&path, tcp().1).expect("it takes its place");
        drop(door);
        assert!(!path.exists());

        let other = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let greets = std::thread::spawn(move || other.accept().expect("a client").0.write_all(b"hello\0"));
        let refused = format!("{:#}", find(&path).await.err().expect("it speaks otherwise"));
        assert!(refused.contains("this version does not know"), "{refused}");
        greets.join().expect("no panic").expect("written");
    }
}
