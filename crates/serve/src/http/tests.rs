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

use super::access::Local;
use super::body::{self, Budget};
use super::connection::{self, Terms};
use super::patient::Unstalled;
use super::{Ends, Live, Settings};
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
    /// Another process accepts from now on.
    Leave,
}
use Act::{Leave, Read, ReadAll, Send, Wait};

const SHORT: Act = Send("GET /short HTTP/1.1\r\nhost: a\r\n\r\n");
const ENDLESS: Act = Send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n");
const LONG: Act = Send("GET /long HTTP/1.1\r\nhost: a\r\n\r\n");
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
        .route("/long", get(|| async { "x".repeat(PIPE + 8000) }))
        .route("/endless", get(|| async { Body::from_stream(Endless) }))
        .route("/body", post(whole))
}

struct Client {
    reads: ReadHalf<DuplexStream>,
    writes: WriteHalf<DuplexStream>,
    got: Vec<u8>,
    ends: Ends,
}

impl Client {
    async fn act(&mut self, act: Act) {
        match act {
            // The server may be gone already: what it did before is compared in the end.
            Send(text) => drop(self.writes.write_all(text.as_bytes()).await),
            Wait(seconds) => Client::waits(seconds).await,
            Read(bytes) => {
                let start = self.got.len();
                self.got.resize(start + bytes, 0);
                self.reads.read_exact(&mut self.got[start..]).await.expect("the server writes");
            }
            ReadAll => drop(self.reads.read_to_end(&mut self.got).await),
            Leave => self.ends.leaving.cancel(),
        }
    }

    async fn waits(seconds: u64) {
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(seconds)).await;
    }

    fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.got);
        let status = |rest: &str| rest[..3].parse().expect("a status");
        text.split("HTTP/1.1 ").skip(1).map(status).collect()
    }
}

fn terms(refused: bool) -> Terms {
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
    let settings = if refused { Settings::default().hurried() } else { Settings::default() };
    let bodies = Budget::new(settings.max_bodies);
    let live = Live::from(settings.clone());
    Terms { settings: Arc::new(settings), live, bodies, local: Local::Unix, refused, place }
}

/// A client that acts so gets these statuses, and the server ends the connection after so many seconds.
async fn check_with(refused: bool, acts: &[Act], statuses: &[u16], seconds: u64) {
    let began = Instant::now();
    let (client, server) = tokio::io::duplex(PIPE);
    let (terms, ends) = (terms(refused), Ends::default());
    let heard = ends.clone();
    let server = async move {
        let server = Unstalled::new(server, &terms.settings);
        connection::run(server, router(), terms, heard).await;
        began.elapsed()
    };
    let server = tokio::spawn(server);
    let (reads, writes) = tokio::io::split(client);
    let mut client = Client { reads, writes, got: Vec::new(), ends };
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

/// Whoever has a request on its way when another process takes over gets its answer; the others have five seconds.
#[tokio::test(start_paused = true)]
async fn connections_that_are_left_end_politely() {
    let check = async |acts: &[Act], statuses: &[u16], seconds| check_with(false, acts, statuses, seconds).await;
    check(&[Leave, ReadAll], &[], 5).await;
    check(&[SHORT, Wait(10), Leave, ReadAll], &[200], 15).await;
    check(&[SHORT, Wait(10), Leave, Wait(4), SHORT, ReadAll], &[200, 200], 14).await;
    check(&[Send("GET /sh"), Leave, Wait(20), Send("ort HTTP/1.1\r\nhost: a\r\n\r\n"), ReadAll], &[200], 20).await;
    check(&[BODY, Leave, Wait(60), Send("abc"), ReadAll], &[200], 60).await;
    // The head of this answer does not say that the connection will end; who reads it slowly may ask again.
    check(&[LONG, Read(100), Leave, Wait(30), Read(PIPE + 8000), Wait(4), SHORT, ReadAll], &[200, 200], 34).await;
    check(&[LONG, Read(100), Leave, Wait(30), Read(PIPE + 8000), ReadAll], &[200], 35).await;
}

/// Clients that send nothing, clients that send a head byte by byte and clients that read nothing all keep their places for so
/// long and no longer; who asks meanwhile is answered at once.
#[tokio::test(start_paused = true)]
async fn a_thousand_slow_clients_hold_nobody_up() {
    const SLOW: &[Act] =
        &[Send("G"), Wait(9), Send("E"), Wait(9), Send("T"), Wait(9), Send(" "), Wait(2), Send("/"), ReadAll];
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..400 {
        clients.spawn(check_with(false, &[ReadAll], &[], 75));
        clients.spawn(check_with(false, SLOW, &[], 30));
        clients.spawn(check_with(false, &[BODY, Wait(60), Send("a"), ReadAll], &[408], 120));
    }
    for _ in 0..10 {
        check_with(
            false,
            &[SHORT, SHORT, Send("GET /short HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"), ReadAll],
            &[200, 200, 200],
            0,
        )
        .await;
        Client::waits(5).await;
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("it ended in time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_the_time_of_a_head() {
    let began = Instant::now();
    let never = std::future::pending::<std::io::Result<DuplexStream>>();
    connection::run_over(never, router(), terms(false), Ends::default()).await;
    assert_eq!(began.elapsed().as_secs(), 30);
    let ends = Ends::default();
    ends.closing.cancel();
    let never = std::future::pending::<std::io::Result<DuplexStream>>();
    connection::run_over(never, router(), terms(false), ends).await;
    assert_eq!(began.elapsed().as_secs(), 30, "it is not waited for when the server ends");
}

/// What is still to be sent when an answer ends waits in TLS and not in the stream below it.
#[tokio::test(start_paused = true)]
async fn tls_has_the_same_limits() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let files = super::TlsFiles { chain: chain.as_bytes(), key: key.as_bytes(), client_authorities: None };
    let server = super::Tls::new(&files).expect("it can be used").acceptor();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let rows: [(&str, bool, u64); 3] = [("/short", true, 75), ("/endless", false, 60), ("/long", false, 60)];
    for (path, reads, seconds) in rows {
        let (client, pipe) = tokio::io::duplex(PIPE);
        let accepted = server.accept(Unstalled::new(pipe, &Settings::default()));
        let run = tokio::spawn(connection::run_over(accepted, router(), terms(false), Ends::default()));
        let name = "localhost".try_into().expect("a name");
        let mut client = connector.connect(name, client).await.expect("a handshake");
        let began = Instant::now();
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.expect("it reads");
        client.flush().await.expect("it reads");
        if reads {
            let mut all = Vec::new();
            let _ = client.read_to_end(&mut all).await;
            assert!(all.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&all));
        }
        run.await.expect("no panic");
        assert_eq!(began.elapsed().as_secs(), seconds, "{path}");
    }
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
