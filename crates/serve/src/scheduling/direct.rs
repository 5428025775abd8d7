//! Requests go to the model's engine, which has a queue and a scheduler of its own.

use std::sync::Arc;

use answer::{Ask, Generation, LoadedModel};
use engine::EngineView;
use serde_json::{Value, json};

use crate::wire::{Wanted, blocking};
use crate::{App, Problem};

/// Nothing besides the engines.
#[derive(Default)]
pub(crate) struct Scheduling {}

/// Begins what a request wants, if it wants anything.
pub(crate) async fn begin<T: Send + 'static>(
    app: Arc<App>,
    parse: impl FnOnce(&App) -> Result<Wanted<T>, Problem> + Send + 'static,
) -> Result<(T, Arc<LoadedModel>, Option<Generation>), Problem> {
    let (due, rest, model, mut generation) = blocking(app, move |app| {
        let Wanted { rest, model, ask, key } = parse(app)?;
        // Streams are not kept.
        drop(key);
        let (model, generation) = match &ask {
            Some(ask) => start(app, model.as_deref(), ask).map(|(model, generation)| (model, Some(generation)))?,
            None => (app.model(model.as_deref())?, None),
        };
        let due = ask.is_some_and(|ask| ask.service.time_limit.is_some());
        Ok((due, rest, model, generation))
    })
    .await?;
    // Before anything is answered, so that a refusal has its status.
    if let Some(generation) = generation.as_mut().filter(|_| due) {
        generation.admitted().await?;
    }
    Ok((rest, model, generation))
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
fn start(app: &App, name: Option<&str>, ask: &Ask) -> Result<(Arc<LoadedModel>, Generation), Problem> {
    loop {
        let model = app.model(name)?;
        match model.begin(ask) {
            Ok(generation) => return Ok((model, generation)),
            Err(problem) if problem.kind == answer::Kind::Draining => {
                let now = app.model(name)?;
                if Arc::ptr_eq(&now, &model) {
                    return Err(problem.into());
                }
            }
            Err(problem) => return Err(problem.into()),
        }
    }
}
