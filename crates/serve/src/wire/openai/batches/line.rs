//! One line of a batch: it is asked as a request of the batch's owner, and its answer becomes a line of a file.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use batch::{Line, Status};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::app::State;
use crate::http::Caller;
use crate::http::log::Tokens;
use crate::wire::{problem, routes, unique};
use crate::{App, Problem};

/// After this time a line is tried again that the server had no room for, where it does not say how long that takes. Who waits longer
/// looks whether the server drains as often.
const PAUSE: Duration = Duration::from_secs(1);

/// A line, whether it succeeded and its answer as a line of a file; `None` if the server ends before there is one.
pub(super) type Answered = (Line, Option<(bool, String)>);

/// Answers the lines of one batch.
#[derive(Clone)]
pub(super) struct Lines {
    /// The routes that everybody has.
    router: Router,
    app: Weak<App>,
    endpoint: Arc<str>,
    owner: Option<Arc<str>>,
}

/// What became of asking.
enum Asked {
    Answered(StatusCode, Value),
    /// There is no room, perhaps until then.
    Later(Duration),
    /// Nobody is asked any more.
    Ends,
}

impl Lines {
    /// Those of a batch that goes to this endpoint.
    pub(super) fn of(app: &Arc<App>, endpoint: &str, owner: Option<Arc<str>>) -> Lines {
        let router = routes().with_state(Arc::clone(app));
        Lines { router, app: Arc::downgrade(app), endpoint: endpoint.into(), owner }
    }

    /// The answer to a line.
    pub(super) async fn answer(self, line: Line) -> Answered {
        loop {
            match self.ask(&line.body).await {
                Asked::Ends => return (line, None),
                Asked::Later(after) => {
                    // Nothing wakes it before its time.
                    let _ = tokio::time::timeout(after, std::future::pending::<()>()).await;
                }
                Asked::Answered(status, body) => {
                    let request = unique("batch_req_");
                    let response = json!({ "status_code": status.as_u16(), "request_id": request, "body": body });
                    let answer =
                        json!({ "id": request, "custom_id": line.custom_id, "response": response, "error": null });
                    return (line, Some((status.is_success(), answer.to_string())));
                }
            }
        }
    }

    async fn ask(&self, body: &str) -> Asked {
        let tokens = Tokens::default();
        let caller = match self.caller(&tokens) {
            None => return self.later(PAUSE),
            // Nothing says that there is room by then: others of the key are asked too.
            Some(Err(Problem { retry_after: Some(after), .. })) => return self.later(after.min(PAUSE)),
            Some(Err(refused)) => return whole(problem(&self.endpoint, &refused)).await,
            Some(Ok(caller)) => caller,
        };
        let request = Request::post(&*self.endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-priority", "low")
            .extension(caller.clone())
            .extension(tokens)
            .body(Body::from(body.to_owned()));
        let Ok(request) = request else { return Asked::Ends };
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        // Nobody will answer it if all have failed.
        match retry(response.status(), response.headers()) {
            Some(after) if self.state() != Some(State::Failed) => self.later(after),
            _ => whole(response).await,
        }
    }

    /// The batch's owner, as the caller that it was; `None` as long as nobody is answered.
    fn caller(&self, tokens: &Tokens) -> Option<Result<Caller, Problem>> {
        let Some(owner) = &self.owner else { return Some(Ok(Caller::default())) };
        let app = self.app.upgrade()?;
        Some(Caller::left_behind(app.answered_keys()?, owner, tokens))
    }

    fn later(&self, after: Duration) -> Asked {
        match self.state() {
            None | Some(State::Draining) => Asked::Ends,
            Some(State::Loading | State::Ready | State::Degraded | State::Failed) => Asked::Later(after),
        }
    }

    fn state(&self) -> Option<State> {
        self.app.upgrade().map(|app| app.state())
    }
}

/// After which time there may be room, if there is none. A model that has failed or cannot be loaded does not say when to try again.
fn retry(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let full = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let after = headers.get(header::RETRY_AFTER).filter(|_| full)?;
    Some(after.to_str().ok().and_then(|after| after.parse().ok()).map_or(PAUSE, Duration::from_secs))
}

async fn whole(response: Response) -> Asked {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    Asked::Answered(head.status, serde_json::from_slice(&body).unwrap_or_default())
}

/// What stands for the answer of a line that was not computed.
pub(super) fn missing(end: Status) -> impl Fn(&str) -> String + Send + 'static {
    let (code, message) = match end {
        Status::Expired => ("batch_expired", "The batch's time was up before this request was computed."),
        _ => ("batch_cancelled", "The batch was cancelled before this request was computed."),
    };
    move |custom_id| {
        let error = json!({ "code": code, "message": message });
        let id = unique("batch_req_");
        json!({ "id": id, "custom_id": custom_id, "response": null, "error": error }).to_string()
    }
}
