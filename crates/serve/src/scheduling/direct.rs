//! Requests go to the model's engine, which has a queue and a scheduler of its own.

use std::sync::Arc;

use answer::{Ask, Generation, LoadedModel};
use engine::EngineView;
use serde_json::{Value, json};

use crate::faults::Subject;
use crate::models::Lease;
use crate::wire::{Wanted, begun};
use crate::{App, Problem};

/// Nothing besides the engines.
#[derive(Default)]
pub(crate) struct Scheduling {}

/// Begins what a request wants, if it wants anything. There is no model where it wants one gone that is not in memory.
pub(crate) async fn begin<T: Send + 'static>(
    app: Arc<App>,
    parse: impl FnOnce(&App) -> Result<Wanted<T>, Problem> + Send + 'static,
) -> Result<(T, Option<Lease>, Option<Generation>), Problem> {
    let (wanted, (model, mut generation)) = begun(&app, parse, attempt).await?;
    let Wanted { rest, ask, key, .. } = wanted;
    // Streams are not kept.
    drop(key);
    let due = ask.is_some_and(|ask| ask.service.time_limit.is_some());
    // Before anything is answered, so that a refusal has its status.
    if let Some(generation) = generation.as_mut().filter(|_| due) {
        generation.admitted().await?;
    }
    Ok((rest, model, generation))
}

fn attempt<T>(app: &App, wanted: &Wanted<T>) -> Result<(Option<Lease>, Option<Generation>), Problem> {
    let name = wanted.model.as_deref();
    let Some(ask) = &wanted.ask else { return Ok((app.model_or_none(name, wanted.unload)?, None)) };
    let (model, generation) = start(app, wanted.subject.as_ref(), name, ask)?;
    Ok((Some(model), Some(generation)))
}

/// What runs and waits, in the words of schedulers.
pub(crate) fn state(app: &App, model: &LoadedModel, view: &EngineView) -> Value {
    let Scheduling {} = &app.scheduling;
    let running: usize = view.running.iter().map(|sequence| sequence.continuations).sum();
    json!({
        "scheduler_type": "continuous-batching",
        "active_workers": running,
        "queued_tasks": view.waiting.iter().map(|sequence| sequence.continuations).sum::<usize>(),
        "available_capacity": model.engine().queue_free(),
        "total_capacity": model.engine().max_queue(),
    })
}

/// Starts an answer. A model that was replaced since it was looked up is looked up again, under the same name.
fn start(app: &App, subject: Option<&Subject>, name: Option<&str>, ask: &Ask) -> Result<(Lease, Generation), Problem> {
    loop {
        let model = app.model(name)?;
        let mut struck = app.strike(subject, &model)?;
        match model.begin(&model.asking(struck.ask(ask))) {
            Ok(generation) => return Ok((model, struck.answer(generation))),
            Err(problem) if problem.kind == answer::Kind::Draining => {
                let now = app.model(name)?;
                if Arc::ptr_eq(now.model(), model.model()) {
                    return Err(problem.into());
                }
            }
            Err(problem) => return Err(problem.into()),
        }
    }
}
