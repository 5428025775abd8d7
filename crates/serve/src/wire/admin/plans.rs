//! `/plan`: what a model's graph has become, how long it takes, and by which kernels. Errors are OpenAI's.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Extensions, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value};

use super::{check_local, done, respond};
use crate::http::body;
use crate::plans::{PlanAsk, PlanError, ProfileAsk, TrialAsk};
use crate::wire::fields::{self, Fields};
use crate::wire::known;
use crate::wire::query::Query;
use crate::{App, Kind, Problem};

/// Rows and positions that costs are given for where nothing is said: a sequence that decodes.
const USUAL: (usize, usize) = (1, 512);

/// Kernels that are named at once at most.
const MOST_KERNELS: usize = 1024;

/// Steps that a profile computes at most.
const MOST_REPEATS: i64 = 1000;

/// Letters of a note at most.
const LONGEST_NOTE: usize = 1000;

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/plan", get(plan))
        .route("/plan/check", post(check))
        .route("/plan/profile", post(profile))
        .route("/plan/profiles", get(profiles))
        .route("/plan/compare", get(compare))
        .route("/plan/kernels", get(kernels).put(choose))
        .route("/plan/trial", get(trial).post(try_out).delete(end_trial))
}

async fn plan(State(app): State<Arc<App>>, request: Request) -> Response {
    let ask = |query: &Query| {
        let rows = query.integer("rows", 1..=1 << 20)?.map_or(USUAL.0, |rows| rows as usize);
        Ok(PlanAsk::Plan { rows, context: query.maybe_count("context")?.unwrap_or(USUAL.1) })
    };
    respond(asked(app, request.uri(), request.extensions(), ask).await)
}

async fn profiles(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(asked(app, request.uri(), request.extensions(), |_| Ok(PlanAsk::Profiles)).await)
}

async fn compare(State(app): State<Arc<App>>, request: Request) -> Response {
    let name = |query: &Query, field: &str| {
        let missing = || Problem::of(Kind::Ask(answer::Kind::Missing), field, format!("{field} is missing."));
        query.get(field).map(str::to_owned).ok_or_else(missing)
    };
    let ask = |query: &Query| Ok(PlanAsk::Compare(name(query, "before")?, name(query, "after")?));
    respond(asked(app, request.uri(), request.extensions(), ask).await)
}

async fn kernels(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(asked(app, request.uri(), request.extensions(), |_| Ok(PlanAsk::Kernels)).await)
}

async fn trial(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(asked(app, request.uri(), request.extensions(), |_| Ok(PlanAsk::Trial)).await)
}

async fn end_trial(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(asked(app, request.uri(), request.extensions(), |_| Ok(PlanAsk::EndTrial)).await)
}

async fn check(State(app): State<Arc<App>>, request: Request) -> Response {
    let ask = |fields: Fields| {
        fields.required("plan")?;
        Ok(PlanAsk::Check(fields.object("plan")?.cloned().unwrap_or_default()))
    };
    respond(told(app, request, &known::PLAN_CHECK, ask).await)
}

async fn profile(State(app): State<Arc<App>>, request: Request) -> Response {
    let ask = |fields: Fields| {
        let note = fields.string("note")?.map(str::to_owned);
        if note.as_ref().is_some_and(|note| note.len() > LONGEST_NOTE) {
            return Err(wrong("note", format!("note must have at most {LONGEST_NOTE} letters.")));
        }
        Ok(PlanAsk::Profile(ProfileAsk {
            rows: rows(fields)?,
            context: fields.count("context", 0)?,
            repeats: fields.integer("repeats", 1..=MOST_REPEATS)?.map(|repeats| repeats as usize),
            kernels: fields.strings("kernels", MOST_KERNELS)?,
            note,
        }))
    };
    respond(told(app, request, &known::PLAN_PROFILE, ask).await)
}

/// Rows of each step that is measured.
fn rows(fields: Fields) -> Result<Vec<usize>, Problem> {
    let list = fields.list("rows", 16)?.map_or(&[][..], Vec::as_slice);
    let row = |value: &Value| {
        let rows = value.as_u64().and_then(|rows| usize::try_from(rows).ok()).filter(|rows| *rows > 0);
        rows.ok_or_else(|| wrong("rows", format!("rows must be whole numbers above 0, but one is {value}.")))
    };
    list.iter().map(row).collect()
}

async fn choose(State(app): State<Arc<App>>, request: Request) -> Response {
    let ask = |fields: Fields| {
        fields.required("kernels")?;
        Ok(PlanAsk::Choose(fields.strings("kernels", MOST_KERNELS)?))
    };
    respond(told(app, request, &known::PLAN_KERNELS, ask).await)
}

async fn try_out(State(app): State<Arc<App>>, request: Request) -> Response {
    let ask = |fields: Fields| {
        fields.required("kernels")?;
        Ok(PlanAsk::TryOut(TrialAsk {
            kernels: fields.strings("kernels", MOST_KERNELS)?,
            share: fields.number("share", 0.01..=0.99)?.map_or(0.5, f64::from),
            alpha: fields.number("alpha", 1e-6..=0.5)?.map_or(0.01, f64::from),
        }))
    };
    respond(told(app, request, &known::PLAN_TRIAL, ask).await)
}

/// Answers what an address asks.
async fn asked(
    app: Arc<App>,
    uri: &Uri,
    extensions: &Extensions,
    ask: impl FnOnce(&Query) -> Result<PlanAsk, Problem>,
) -> Result<Value, Problem> {
    check_local(extensions)?;
    let query = Query::of(uri);
    let ask = ask(&query)?;
    answered(app, query.get("model"), ask).await
}

/// Answers what a body asks.
async fn told(
    app: Arc<App>,
    request: Request,
    of: &'static known::Request,
    ask: impl FnOnce(Fields<'_>) -> Result<PlanAsk, Problem>,
) -> Result<Value, Problem> {
    super::check(&app, request.extensions())?;
    let (head, body) = request.into_parts();
    let map: Map<String, Value> = fields::object(&body::read(&head, body).await?)?;
    let fields = Fields::of(of, &map)?;
    let ask = ask(fields)?;
    answered(app, fields.string("model")?, ask).await
}

async fn answered(app: Arc<App>, model: Option<&str>, ask: PlanAsk) -> Result<Value, Problem> {
    let plans =
        app.outside.plans.get().cloned().ok_or_else(|| unknown("This server knows no plans of its models.".into()))?;
    let lease = app.model(model)?;
    let name = lease.model().info.name.clone();
    done(async move {
        let work = move || plans.answer(&name, ask);
        let answer = tokio::task::spawn_blocking(work).await;
        // Its model stays in memory meanwhile.
        drop(lease);
        let failed = |why: String| Problem::new(Kind::Internal, format!("It failed: {why}."));
        answer.map_err(|_| failed("the server's log says why".into()))?.map_err(|error| match error {
            PlanError::Field(name, message) => wrong(name, message),
            PlanError::Unknown(message) => unknown(message),
            PlanError::Failed(why) => failed(why),
        })
    })
    .await
}

fn wrong(param: &str, message: String) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), param, message)
}

fn unknown(message: String) -> Problem {
    Problem::new(Kind::UnknownUrl, message)
}
