//! Time limits of connections, on a paused clock: it moves on when everybody waits.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::routing::{get, post};
use futures_core::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::Local;
use super::body::{self, Budget};
use super::connection::{self, Terms};
use super::{Live, Settings};
use crate::wire;

/// What a client does.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Sends this.
    Send(&'static str),
    /// Does nothing for so many seconds.
    Wait(u64),
    /// Reads so many bytes.
    Read(usize),
    /// Reads to the end.
    ReadAll,
}
use Act::{Read, ReadAll, Send, Wait};

const SHORT: Act = Send("GET /short HTTP/1.1\r\nhost: a\r\n\r\n");
const ENDLESS: Act = Send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n");
const BODY: Act = Send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n");

/// Bytes between client and server.
const PIPE: usize = 16 << 10;

struct Endless;

impl Stream for Endless {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Ok(Bytes::from_static(&[b'x'; 1024]))))
    }
}

fn router() -> Router {
    let whole = |request: Request| async {
        let (head, body) = request.into_parts();
        body::read(&head, body)
            .await
            .map(|whole| whole.to_vec())
            .map_err(|problem| wire::problem(head.uri.path(), &problem))
    };
    Router::new()
        .route("/short", get(|| async { "short" }))
        .route("/health", get(|| async { "well" }))
        .route("/endless", get(|| async { Body::from_stream(Endless) }))
        .route("/body", post(whole))
}

struct Client {
    reads: ReadHalf<DuplexStream>,
    writes: WriteHalf<DuplexStream>,
    got: Vec<u8>,
}

impl Client {
    async fn act(&mut self, act: Act) {
        match act {
            // The server may be gone already: what it did before is compared in the end.
            Send(text) => drop(self.writes.write_all(text.as_bytes()).await),
            Wait(seconds) => tokio::time::sleep_until(Instant::now() + Duration::from_secs(seconds)).await,
            Read(bytes) => {
                let start = self.got.len();
                self.got.resize(start + bytes, 0);
                self.reads.read_exact(&mut self.got[start..]).await.expect("the server writes");
            }
            ReadAll => drop(self.reads.read_to_end(&mut self.got).await),
        }
    }

    fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.got);
        let status = |rest: &str| rest[..3].parse().expect("a status");
        text.split("HTTP/1.1 ").skip(1).map(status).collect()
    }
}

/// A client that acts so gets these statuses, and the server ends the connection after so many seconds.
async fn check_with(refused: bool, acts: &[Act], statuses: &[u16], seconds: u64) {
    let began = Instant::now();
    let (client, server) = tokio::io::duplex(PIPE);
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
    let settings = if refused { Settings::default().hurried() } else { Settings::default() };
    let bodies = Budget::new(settings.max_bodies);
    let live = Live::from(settings.clone());
    let terms = Terms { settings: Arc::new(settings), live, bodies, local: Local::Unix, refused, place };
    let server = async move {
        connection::run(server, router(), terms, CancellationToken::new()).await;
        began.elapsed()
    };
    let server = tokio::spawn(server);
    let (reads, writes) = tokio::io::split(client);
    let mut client = Client { reads, writes, got: Vec::new() };
    for act in acts {
        client.act(*act).await;
    }
    let took = server.await.expect("no panic");
    assert_eq!((client.statuses().as_slice(), took.as_secs()), (statuses, seconds), "{acts:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_end_when_their_time_is_over() {
    let check = async |acts: &[Act], statuses: &[u16], seconds| check_with(false, acts, statuses, seconds).await;
    // Idle, from the beginning and after answers.
    check(&[ReadAll], &[], 75).await;
    check(&[SHORT, ReadAll], &[200], 75).await;
    check(&[SHORT, Wait(70), SHORT, ReadAll], &[200, 200], 145).await;
    // A head that comes slowly, the first and a later one.
    check(&[Send("GET /sh"), ReadAll], &[], 30).await;
    check(&[Wait(20), Send("G"), Wait(10), Send("E"), Wait(10), Send("T"), ReadAll], &[], 50).await;
    check(&[Send("GET /short HTTP/1.1\r\n"), Wait(29), Send("host: a\r\n\r\n"), ReadAll], &[200], 104).await;
    check(&[SHORT, Wait(40), Send("GET"), ReadAll], &[200], 70).await;
    // A body that does not arrive, or slowly.
    check(&[BODY, ReadAll], &[408], 120).await;
    check(&[BODY, Wait(60), Send("a"), Wait(59), Send("b"), ReadAll], &[408], 120).await;
    check(&[BODY, Wait(60), Send("a"), Wait(59), Send("bc"), ReadAll], &[200], 119 + 75).await;
    // An answer that is not read, or slowly; a client that has gone.
    check(&[ENDLESS], &[], 60).await;
    check(&[ENDLESS, Read(PIPE), Wait(59), Read(PIPE), Wait(59), Read(PIPE)], &[200], 118 + 60).await;
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_bound_end_soon() {
    let check = async |acts: &[Act], statuses: &[u16], seconds| check_with(true, acts, statuses, seconds).await;
    check(&[SHORT, ReadAll], &[503], 0).await;
    check(&[SHORT, SHORT, ReadAll], &[503], 0).await;
    check(&[BODY, Send("abc"), ReadAll], &[503], 0).await;
    check(&[Send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n"), ReadAll], &[200], 0).await;
    check(&[ReadAll], &[], 5).await;
    check(&[Send("GET"), ReadAll], &[], 5).await;
    check(&[BODY, ReadAll], &[503], 5).await;
}
