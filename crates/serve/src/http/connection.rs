//! One connection: HTTP/1 over a stream with time limits.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tower::ServiceExt;

use super::access::Local;
use super::body::{self, Budget};
use super::patient::{Patient, Requests};
use super::{Ends, Live, Settings};
use crate::{Kind, Problem, wire};

/// How a connection is served.
pub(super) struct Terms {
    pub(super) settings: Arc<Settings>,
    /// Those of its requests: what is allowed may change while it is open.
    pub(super) live: Live,
    /// What its bodies share with those of all others.
    pub(super) bodies: Budget,
    /// Where it came to.
    pub(super) local: Local,
    /// It is one too many: each request but for /health is answered 503.
    pub(super) refused: bool,
    /// Its place among the connections.
    pub(super) place: OwnedSemaphorePermit,
}

/// As [`run`], over what a handshake gives. That must be done as soon as a request's head must be there.
pub(super) async fn run_over<S>(
    handshake: impl Future<Output = io::Result<S>>,
    router: Router,
    terms: Terms,
    ends: Ends,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let done = tokio::select! {
        done = tokio::time::timeout(terms.settings.head_timeout, handshake) => done,
        () = ends.closing.cancelled() => return,
    };
    match done {
        Ok(Ok(stream)) => run(stream, router, terms, ends).await,
        Ok(Err(e)) => tracing::debug!("handshake: {e}"),
        Err(_) => tracing::debug!("handshake: the client took too long"),
    }
}

/// Serves a connection until it ends, over a stream that has its own limit for writes ([`super::patient::Unstalled`]); when it is to be closed, until the request being answered is.
pub(super) async fn run<S>(stream: S, router: Router, terms: Terms, ends: Ends)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Terms { settings, live, bodies, local, refused, place: _place } = terms;
    let requests = Requests::default();
    let Ends { leaving, closing } = ends;
    let stream = Patient::new(stream, Arc::clone(&settings), requests.clone(), leaving.clone());
    let mut http = http1::Builder::new();
    // The stream has the time limits; hyper's own cannot tell an idle connection from a slow head.
    http.header_read_timeout(None).max_buf_size(settings.buffer.max(8 << 10)).keep_alive(!refused);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let open = requests.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(if refused { Arc::clone(&settings) } else { live.now() });
        request.extensions_mut().insert(bodies.clone());
        request.extensions_mut().insert(local);
        let (answer, leaving) = (answer(request, router.clone(), refused), leaving.clone());
        async move {
            let mut answer = answer.await.map(|body| body::with(body, open));
            if leaving.is_cancelled() {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = &mut connection => served,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = served {
        tracing::debug!("connection: {e}");
    }
}

async fn answer(request: Request, router: Router, refused: bool) -> Response {
    if refused && !request.uri().path().starts_with("/health") {
        let path = request.uri().path().to_owned();
        return wire::problem(&path, &refuse(request).await);
    }
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The body is read first: else the connection would be reset under the answer.
async fn refuse(request: Request) -> Problem {
    let (head, body) = request.into_parts();
    let _ = body::read(&head, body).await;
    Problem::new(
        Kind::Connections,
        "The server has as many connections as it takes. Close those that are idle, or try again later.",
    )
}
