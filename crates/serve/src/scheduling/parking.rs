//! Requests are jobs of a pool of workers (the crate `prometheus_parking_lot`), one for each model: a job costs the blocks of the
//! KV cache that it is expected to need, and waits until they are free. A worker reads the answer from the engine into a
//! mailbox; the client reads it there, and finds it again by its key if the connection was lost.

mod mailbox;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use answer::{Ask, Generation, LoadedModel, Priority};
use engine::EngineView;
use prometheus_parking_lot::WorkerPool;
use prometheus_parking_lot::config::WorkerPoolConfig;
use prometheus_parking_lot::core::{SchedulerError, TaskError, TaskMetadata, WorkerExecutor};
use prometheus_parking_lot::util::{Priority as Urgency, ResourceCost, ResourceKind};
use serde_json::{Value, json};

use crate::faults::Struck;
use crate::models::Lease;
use crate::wire::{Wanted, begun};
use crate::{App, Kind, Problem};
use mailbox::{Mailbox, Mailboxes};

/// Tokens that an answer is expected to have if it may have more.
const USUAL: usize = 256;

/// Threads of a pool at most: each reads one answer.
const MOST_WORKERS: usize = 128;

/// Said of a request whose deadline has passed.
const LATE: &str =
    "The request found no worker before its deadline. Allow more time, or try again when less is going on.";

/// Longer than any answer takes: the engine knows deadlines.
const BUDGET: Duration = Duration::from_secs(24 * 3600);

/// The pools, by model, and the mailboxes.
#[derive(Default)]
pub(crate) struct Scheduling {
    pools: Mutex<Vec<(Weak<LoadedModel>, Arc<Pool>)>>,
    mailboxes: Mailboxes,
}

type Pool = WorkerPool<Job, (), Clerk>;

/// Begins what a request wants, if it wants anything; whoever comes with the key of a stream finds that. There is no model where
/// a request wants one gone that is not in memory.
pub(crate) async fn begin<T: Send + 'static>(
    app: Arc<App>,
    parse: impl FnOnce(&App) -> Result<Wanted<T>, Problem> + Send + 'static,
) -> Result<(T, Option<Lease>, Option<Generation>), Problem> {
    let (mut wanted, (mut model, job)) = begun(&app, parse, attempt).await?;
    let Some((mut mailbox, mut struck)) = job else { return Ok((wanted.rest, model, None)) };
    loop {
        let problem: Problem = match mailbox.generation().await {
            Ok(generation) => return Ok((wanted.rest, model, Some(struck.answer(generation)))),
            Err(problem) => problem.into(),
        };
        // A model that was replaced while the job waited: its successor has the same name.
        if problem.kind != Kind::Ask(answer::Kind::Draining) {
            return Err(problem);
        }
        let drained = model.map(|model| Arc::downgrade(model.model()));
        let again;
        (wanted, (model, again)) = begun(&app, move |_| Ok(wanted), submit).await?;
        let same = model.as_ref().zip(drained).is_some_and(|(model, old)| std::ptr::eq(old.as_ptr(), &**model));
        (mailbox, struck) = again.filter(|_| !same).ok_or(problem)?;
    }
}

type Attempt = (Option<Lease>, Option<(Arc<Mailbox>, Struck)>);

/// The model, and the mailbox of a stream that goes on or of a new job.
fn attempt<T>(app: &App, wanted: &Wanted<T>) -> Result<Attempt, Problem> {
    let model = app.model_or_none(wanted.model.as_deref(), wanted.unload)?;
    let (Some(lease), Some(ask)) = (&model, &wanted.ask) else { return Ok((model, None)) };
    let mut struck = app.strike(wanted.subject.as_ref(), lease)?;
    let mailbox = app.scheduling.mailbox(lease.model(), &lease.asking(struck.ask(ask)), wanted.key.clone())?;
    Ok((model, Some((mailbox, struck))))
}

/// The model, and the mailbox of a new job.
fn submit<T>(app: &App, wanted: &Wanted<T>) -> Result<Attempt, Problem> {
    let model = app.model(wanted.model.as_deref())?;
    let Some(ask) = &wanted.ask else { return Ok((Some(model), None)) };
    let mut struck = app.strike(wanted.subject.as_ref(), &model)?;
    let mailbox = app.scheduling.submitted(model.model(), &model.asking(struck.ask(ask)), wanted.key.clone())?;
    Ok((Some(model), Some((mailbox, struck))))
}

/// What runs and waits, in the words of schedulers; capacity is counted in blocks of the KV cache.
pub(crate) fn state(app: &App, model: &LoadedModel, _: &EngineView) -> Value {
    let pool = app.scheduling.known(model);
    let stats = pool.as_ref().map(|pool| pool.stats());
    let total = stats.as_ref().map_or(model.engine().stats().kv_blocks, |stats| stats.total_units as usize);
    let used = stats.as_ref().map_or(0, |stats| stats.used_units as usize);
    json!({
        "scheduler_type": "parking-lot",
        "active_workers": stats.as_ref().map_or(0, |stats| stats.active_tasks),
        "queued_tasks": stats.as_ref().map_or(0, |stats| stats.queued_tasks),
        "available_capacity": total.saturating_sub(used),
        "total_capacity": total,
    })
}

impl Scheduling {
    /// The mailbox of a stream that goes on, or of a new job.
    fn mailbox(&self, model: &Arc<LoadedModel>, ask: &Ask, key: Option<String>) -> Result<Arc<Mailbox>, Problem> {
        match key.as_deref().and_then(|key| self.mailboxes.find(key)) {
            Some(mailbox) => Ok(mailbox),
            None => self.submitted(model, ask, key),
        }
    }

    /// The mailbox of a new job.
    fn submitted(&self, model: &Arc<LoadedModel>, ask: &Ask, key: Option<String>) -> Result<Arc<Mailbox>, Problem> {
        let meta = metadata(model, ask)?;
        let mailbox = Arc::new(Mailbox::new(key.is_some()));
        let job = Job { model: Arc::clone(model), ask: ask.clone(), mailbox: Arc::clone(&mailbox) };
        self.pool(model)?.submit(job, meta).map_err(|error| refused(model, &error))?;
        key.into_iter().for_each(|key| self.mailboxes.keep(key, &mailbox));
        Ok(mailbox)
    }

    fn pool(&self, model: &Arc<LoadedModel>) -> Result<Arc<Pool>, Problem> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|(known, _)| known.strong_count() > 0);
        if let Some((_, pool)) = pools.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), &**model)) {
            return Ok(Arc::clone(pool));
        }
        let config = WorkerPoolConfig::new()
            .with_worker_count(model.streams().saturating_mul(2).clamp(1, MOST_WORKERS))
            .with_max_units(units(model))
            .with_max_queue_depth(model.engine().max_queue())
            .with_timeout_ms(BUDGET.as_millis() as u64);
        let pool = WorkerPool::new(config, Clerk).map_err(|error| refused(model, &error))?;
        let pool = Arc::new(pool.with_result_ttl(Duration::from_secs(1)));
        pools.push((Arc::downgrade(model), Arc::clone(&pool)));
        Ok(pool)
    }

    fn known(&self, model: &LoadedModel) -> Option<Arc<Pool>> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), model)).map(|(_, pool)| Arc::clone(pool))
    }
}

/// A request that waits for a worker, or has one.
struct Job {
    model: Arc<LoadedModel>,
    ask: Ask,
    mailbox: Arc<Mailbox>,
}

impl Drop for Job {
    /// Whatever ends a job, nobody waits for it any longer.
    fn drop(&mut self) {
        let stopped = "The model was stopped before the answer was complete.";
        let (kind, message) = match self.ask.service.time_limit {
            Some(_) => (answer::Kind::TimeLimit, LATE),
            None => (answer::Kind::Draining, stopped),
        };
        self.mailbox.end(Some(answer::Problem::new(kind, message)));
    }
}

/// Reads answers into mailboxes.
#[derive(Clone)]
struct Clerk;

#[async_trait::async_trait]
impl WorkerExecutor<Job, ()> for Clerk {
    async fn execute(&self, job: Job, _: TaskMetadata) -> Result<(), TaskError> {
        match job.model.begin(&job.ask) {
            Ok(generation) => job.mailbox.fill(generation).await,
            Err(problem) => job.mailbox.end(Some(problem)),
        }
        Ok(())
    }
}

/// Units of a model: the blocks of its KV cache.
fn units(model: &LoadedModel) -> u32 {
    u32::try_from(model.engine().stats().kv_blocks).unwrap_or(u32::MAX).max(1)
}

/// What a job costs, how urgent it is and when it must be complete.
fn metadata(model: &LoadedModel, ask: &Ask) -> Result<TaskMetadata, Problem> {
    let prompts = model.prompt_tokens(&ask.input)?;
    let answer = ask.ending.max_tokens.unwrap_or(USUAL).min(USUAL);
    let tokens = prompts.saturating_add(answer.saturating_mul(ask.n));
    // As many positions as the cache has in a block; what is too long for it the engine refuses in better words.
    let blocks = u32::try_from(tokens.div_ceil(16)).unwrap_or(u32::MAX).clamp(1, units(model));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let priority = match ask.service.priority {
        Priority::High => Urgency::High,
        Priority::Normal => Urgency::Normal,
        Priority::Low => Urgency::Low,
    };
    Ok(TaskMetadata {
        id: 0,
        mailbox: None,
        priority,
        cost: ResourceCost::new(ResourceKind::GpuVram, blocks),
        deadline_ms: ask.service.time_limit.map(|limit| now.saturating_add(limit.as_millis())),
        created_at_ms: now,
        idempotency_key: None,
        sequence: 0,
    })
}

fn refused(model: &LoadedModel, error: &SchedulerError) -> Problem {
    match error {
        SchedulerError::QueueFull { depth, capacity, .. } => {
            let retry_after = model.engine().room_within(model.engine().queue_free() + 1);
            let message = format!("Too many requests are waiting: {depth} of {capacity}. Try again later.");
            Problem { retry_after, ..Problem::new(Kind::Ask(answer::Kind::Busy), message) }
        }
        SchedulerError::DeadlineExpired { .. } => Problem::new(Kind::Ask(answer::Kind::TimeLimit), LATE),
        other => Problem::new(Kind::Internal, format!("The request found no worker: {other}.")),
    }
}
