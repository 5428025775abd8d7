//! Begins what a request wants. Where its model is a route's name, a variant answers; if that one fails before its first token, the
//! first variant answers instead, and the client sees no more of it than a header.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use answer::{Ask, Generation};

use super::Wanted;
use crate::faults::Subject;
use crate::models::Lease;
use crate::routes::{Answered, Asker, Pass, hear};
use crate::{App, Kind, Problem, scheduling};

/// What has begun: what else matters of the request, who answers, and by which way.
pub(super) struct Begun<T> {
    pub(super) rest: T,
    pub(super) lease: Option<Lease>,
    pub(super) generation: Option<Generation>,
    pub(super) way: Option<Way>,
    /// What clients may say something of.
    pub(super) answered: Answered,
}

/// Which way a request took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The name that clients use.
    pub(crate) route: String,
    pub(crate) variant: String,
    /// The variant that failed before.
    pub(crate) fallen: Option<String>,
}

/// What is kept of a request while it begins: a refusal leaves nothing of what is wanted.
struct Held<T> {
    rest: T,
    pass: Option<(Pass, Ask)>,
    /// The request as faults see it.
    subject: Option<Subject>,
}

type Heard = (Lease, Generation, Way, Answered);

type Started = (Option<Lease>, Option<Generation>);

/// Begins what a request wants; `parse` says that, and who asks.
///
/// # Errors
/// If nobody answers it.
pub(super) async fn begin<T: Send + 'static>(
    app: Arc<App>,
    parse: impl FnOnce(&App) -> Result<(Wanted<T>, Asker), Problem> + Send + 'static,
) -> Result<Begun<T>, Problem> {
    let came = Instant::now();
    let held = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&held);
    let begun = scheduling::begin(Arc::clone(&app), move |app| {
        let (wanted, asker) = parse(app)?;
        select(app, wanted, &asker, &mut lock(&slot))
    })
    .await;
    let begun = begun.map(|((), lease, generation)| (lease, generation));
    let kept = lock(&held).take();
    let Some(Held { rest, pass, subject }) = kept else {
        let lost = || Problem::new(Kind::Internal, "The request was lost while it began.");
        return Err(begun.err().unwrap_or_else(lost));
    };
    match pass {
        None => begun.map(|(lease, generation)| {
            let public = lease.as_ref().map(|lease| lease.name().into_owned()).unwrap_or_default();
            let answered = Answered { public, ..Answered::default() };
            Begun { rest, lease, generation, way: None, answered }
        }),
        Some((pass, ask)) => {
            let (lease, generation, way, answered) = answered(&app, (pass, ask, subject), begun, came).await?;
            Ok(Begun { rest, lease: Some(lease), generation: Some(generation), way: Some(way), answered })
        }
    }
}

fn lock<T>(held: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what a request wants apart from the answer, and finds out whose that is.
fn select<T>(app: &App, wanted: Wanted<T>, asker: &Asker, slot: &mut Option<Held<T>>) -> Result<Wanted<()>, Problem> {
    let Wanted { rest, mut model, ask, key, unload, subject } = wanted;
    let pass = ask.as_ref().map_or(Ok(None), |ask| app.select(model.as_deref(), asker, ask))?;
    if let Some(pass) = &pass {
        model = Some(pass.model().to_owned());
    }
    *slot = Some(Held { rest, pass: pass.zip(ask.clone()), subject: subject.clone() });
    Ok(Wanted { rest: (), model, ask, key, unload, subject })
}

/// Waits until it is clear that the variant answers, where another could do so instead.
async fn answered(
    app: &Arc<App>,
    (mut pass, ask, subject): (Pass, Ask, Option<Subject>),
    begun: Result<Started, Problem>,
    came: Instant,
) -> Result<Heard, Problem> {
    let Some(instead) = pass.instead().map(str::to_owned) else {
        return match complete(begun) {
            Ok(begun) => Ok(heard(app, begun, pass, &ask)),
            Err(problem) => {
                pass.refused(&problem);
                Err(problem)
            }
        };
    };
    let failed = match first_token(begun).await {
        Ok(begun) => return Ok(heard(app, begun, pass, &ask)),
        Err(failed) => failed,
    };
    let ask_again = Some(later(&ask, came));
    let wanted = Wanted { rest: (), model: Some(instead), ask: ask_again, key: None, unload: false, subject };
    let begun = scheduling::begin(Arc::clone(app), move |_| Ok(wanted))
        .await
        .map(|((), lease, generation)| (lease, generation));
    match complete(begun) {
        Ok(begun) => {
            // What a problem says may be of the request.
            let (route, variant, kind) = (pass.public(), pass.variant(), failed.kind);
            tracing::warn!(route, variant, ?kind, "it failed before its first token: the first variant answers");
            pass.fall_back();
            Ok(heard(app, begun, pass, &ask))
        }
        Err(problem) => {
            pass.refused(&failed);
            Err(problem)
        }
    }
}

fn heard(app: &Arc<App>, (lease, generation): (Lease, Generation), mut pass: Pass, ask: &Ask) -> Heard {
    pass.serves_for(app.routes.releases.now().saturating_sub(lease.info.created.saturating_mul(release::SECOND)));
    let fallen = pass.fallen().map(str::to_owned);
    let way = Way { route: pass.public().to_owned(), variant: pass.variant().to_owned(), fallen };
    let answered = pass.answered();
    (lease, hear(app, generation, pass, ask), way, answered)
}

async fn first_token(begun: Result<Started, Problem>) -> Result<(Lease, Generation), Problem> {
    let (lease, mut generation) = complete(begun)?;
    generation.begun().await?;
    Ok((lease, generation))
}

/// Where something is asked there is a model and a generation.
fn complete(begun: Result<Started, Problem>) -> Result<(Lease, Generation), Problem> {
    let lost = || Problem::new(Kind::Internal, "The request has not begun.");
    begun.and_then(|(lease, generation)| lease.zip(generation).ok_or_else(lost))
}

/// The same request with what is left of its time.
fn later(ask: &Ask, came: Instant) -> Ask {
    let mut ask = ask.clone();
    if let Some(limit) = &mut ask.service.time_limit {
        *limit = limit.saturating_sub(came.elapsed()).max(Duration::from_millis(1));
    }
    ask
}
