//! The execution plans of the models that are served, for whoever asks over HTTP: the plan, profiles, kernels, and trials of them.

mod compare;
mod limits;
mod store;
mod trial;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernels::{Choice, Cpu, RowClass};
use serde_json::{Value, json};
use serve::{PlanAsk, PlanError, Plans, ProfileAsk, TrialAsk};
use whinchat::{KernelRule, KernelSetting, PlanQuery, Prepared, ProfileOptions, Shape, Tuning};

pub(crate) use compare::compared;
pub(crate) use limits::measured;
pub(crate) use store::{About, Store};
use trial::Trial;

/// What is known of the models that are served.
pub(crate) struct Book {
    models: Mutex<HashMap<String, Served>>,
    store: Store,
}

/// A model that is served, and what is known of its plan: nothing of one that is computed in stages.
#[derive(Clone)]
struct Served {
    prepared: Arc<Prepared>,
    known: Option<Arc<Known>>,
}

/// What is known of a model's plan.
struct Known {
    prepared: Arc<Prepared>,
    cpu: Cpu,
    tuning: Tuning,
    /// The kernels that it began with.
    start: Choice,
    now: Mutex<Now>,
}

/// What has been told of it since.
#[derive(Default)]
struct Now {
    /// Kernels that were chosen, as they were given.
    chosen: Vec<String>,
    /// The last profile.
    profile: Option<Value>,
    trial: Option<Arc<Trial>>,
}

impl Known {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// With a place for profiles.
    pub(crate) fn new(store: Store) -> Book {
        Book { models: Mutex::default(), store }
    }

    /// A model is served; it takes the place of the one that had its name.
    pub(crate) fn add(&self, prepared: Prepared, cpu: Cpu, tuning: Option<&Tuning>) {
        let prepared = Arc::new(prepared);
        let known = tuning.map(|tuning| {
            let (tuning, start, prepared) = (tuning.clone(), tuning.chosen(), Arc::clone(&prepared));
            Arc::new(Known { cpu, tuning, start, now: Mutex::default(), prepared })
        });
        self.all().insert(prepared.model_name(), Served { prepared, known });
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Served>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plans for Book {
    fn answer(&self, model: &str, ask: PlanAsk) -> Result<Value, PlanError> {
        let unknown = || PlanError::Unknown(format!("Nothing is known of the plan of {model}."));
        let served = self.all().get(model).cloned().ok_or_else(unknown)?;
        let known = || served.known.as_ref().ok_or_else(unknown);
        match ask {
            PlanAsk::Plan { rows, context } => Ok(plan(known()?, rows, context)),
            PlanAsk::Check(plan) => Ok(check(known()?, model, &plan.into())),
            PlanAsk::Profile(ask) => self.profile(known()?, &ask),
            PlanAsk::Profiles => known().and_then(|_| self.store.list(Some(model)).map_err(stored)),
            PlanAsk::Compare(before, after) => known().and_then(|_| self.compare(&before, &after)),
            PlanAsk::Kernels => Ok(kernels(known()?, model)),
            PlanAsk::Choose(texts) => choose(known()?, model, texts),
            PlanAsk::Trial => Ok(trial_json(known()?, model)),
            PlanAsk::TryOut(ask) => try_out(known()?, model, ask),
            PlanAsk::EndTrial => {
                known()?.now().trial.iter().for_each(|trial| trial.end());
                Ok(trial_json(known()?, model))
            }
            PlanAsk::Memory => Ok(memory(&served.prepared)),
        }
    }
}

impl Book {
    fn profile(&self, known: &Known, ask: &ProfileAsk) -> Result<Value, PlanError> {
        let usual = ProfileOptions::default();
        let options = ProfileOptions {
            rows: if ask.rows.is_empty() { usual.rows } else { ask.rows.clone() },
            context: ask.context.unwrap_or(usual.context),
            repeats: ask.repeats.unwrap_or(usual.repeats),
            kernels: rules(&ask.kernels)?,
        };
        let machine = measured(known.prepared.threads());
        let mut profile = known.prepared.profile(known.cpu.clone(), machine, &options).map_err(|why| refused(&why))?;
        let about = About { note: ask.note.clone().unwrap_or_default(), ..About::now() };
        about.write(&mut profile);
        known.now().profile = Some(profile.clone());
        profile["id"] = match self.store.add(&about, &profile) {
            Ok(id) => json!(id),
            Err(why) => {
                profile["not_kept"] = json!(why.to_string());
                Value::Null
            }
        };
        Ok(profile)
    }

    fn compare(&self, before: &str, after: &str) -> Result<Value, PlanError> {
        let get = |field: &'static str, name: &str| {
            let found = self.store.get(name).map_err(stored)?;
            found.ok_or_else(|| {
                PlanError::Field(field, format!("No profile {name:?} is kept; GET /plan/profiles lists them."))
            })
        };
        Ok(compared(&get("before", before)?, &get("after", after)?))
    }
}

fn stored(why: anyhow::Error) -> PlanError {
    PlanError::Unknown(format!("{why:#}."))
}

/// What a model's options or the memory do not allow.
fn refused(why: &whinchat::Error) -> PlanError {
    match why {
        whinchat::Error::Request(message) => PlanError::Field("rows", format!("{message}.")),
        other => PlanError::Failed(other.to_string()),
    }
}

/// The plan, with what the last profile measured.
fn plan(known: &Known, rows: usize, context: usize) -> Value {
    let shape = Shape::of(rows, context);
    let machine = limits::known(known.prepared.threads());
    let mut plan = known.prepared.plan(&PlanQuery { shape, machine, tuning: Some(&known.tuning) });
    if let Some(profile) = &known.now().profile {
        let empty = vec![];
        let measured = profile["operators"].as_array().unwrap_or(&empty);
        for operator in plan["operators"].as_array_mut().into_iter().flatten() {
            let same = |row: &&Value| {
                row["op"] == operator["op"] && row["shape"] == operator["shape"] && row["rows"] == json!(shape.tokens())
            };
            let each =
                measured.iter().find(same).and_then(|row| Some(row["measured_us"].as_f64()? / row["count"].as_f64()?));
            operator["cost"]["measured_us"] = json!(each);
        }
    }
    plan
}

fn check(known: &Known, model: &str, plan: &Value) -> Value {
    let why = known.prepared.check_plan(plan).err();
    json!({ "object": "plan.check", "model": model, "valid": why.is_none(), "why": why })
}

/// Bytes that computing takes: weights, values, cache and states.
fn memory(prepared: &Prepared) -> Value {
    let memory = &prepared.memory;
    json!({
        "weight_bytes": memory.weights, "shared_weight_bytes": memory.shared_weights, "scratch_bytes": prepared.scratch_bytes(),
        "kv_pool_bytes": memory.kv_pool, "state_bytes": memory.states, "draft_weight_bytes": memory.draft_weights,
        "draft_kv_pool_bytes": memory.draft_kv_pool, "process_resident_bytes": resident(),
    })
}

/// Bytes of memory that the process has now, where the system says it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Rules as they are given over HTTP.
fn rules(texts: &[String]) -> Result<Vec<KernelRule>, PlanError> {
    let rule = |text: &String| match text.parse() {
        Ok(KernelSetting::Rule(rule)) => Ok(rule),
        Ok(KernelSetting::Isa(_)) => {
            let why = "kernels: the instruction set is chosen when the server starts (--kernel isa=…): weights are packed for it.";
            Err(PlanError::Field("kernels", why.to_owned()))
        }
        Err(why) => Err(PlanError::Field("kernels", format!("kernels: {why}."))),
    };
    texts.iter().map(rule).collect()
}

fn choice(known: &Known, texts: &[String]) -> Result<Choice, PlanError> {
    let chosen = known.prepared.choose(&known.tuning, &rules(texts)?, known.start.clone());
    chosen.map_err(|why| PlanError::Field("kernels", format!("kernels: {why}.")))
}

fn choose(known: &Known, model: &str, texts: Vec<String>) -> Result<Value, PlanError> {
    let choice = choice(known, &texts)?;
    known.tuning.choose(choice);
    tracing::info!(model, kernels = texts.join(" "), "kernels are chosen");
    known.now().chosen = texts;
    Ok(kernels(known, model))
}

/// The operators that have a choice, by operator and shape.
fn kernels(known: &Known, model: &str) -> Value {
    let (chosen, shape) = (known.tuning.chosen(), Shape::of(1, 0));
    let plan = known.prepared.plan(&PlanQuery { shape, machine: None, tuning: Some(&known.tuning) });
    let mut groups: BTreeMap<(String, String), (usize, Value)> = BTreeMap::new();
    for (at, operator) in plan["operators"].as_array().into_iter().flatten().enumerate() {
        let Some(ways) = operator.get("kernels") else { continue };
        let text = |name: &str| operator[name].as_str().unwrap_or_default().to_owned();
        let of = |class: RowClass| (class.name().to_owned(), json!(chosen[at][class as usize].to_string()));
        let kernel: serde_json::Map<_, _> = RowClass::ALL.into_iter().map(of).collect();
        let row = || (0, json!({ "kernels": ways, "kernel": kernel }));
        groups.entry((text("op"), text("shape"))).or_insert_with(row).0 += 1;
    }
    let row = |((op, shape), (count, said)): ((String, String), (usize, Value))| json!({ "op": op, "shape": shape, "count": count, "kernels": said["kernels"], "kernel": said["kernel"] });
    json!({
        "object": "kernels", "model": model, "isa": known.prepared.isa().name(), "chosen": known.now().chosen,
        "operators": groups.into_iter().map(row).collect::<Vec<_>>(),
    })
}

fn try_out(known: &Arc<Known>, model: &str, ask: TrialAsk) -> Result<Value, PlanError> {
    let candidate = choice(known, &ask.kernels)?;
    if candidate == known.tuning.chosen() {
        return Err(PlanError::Field("kernels", "kernels: these are the ones that are used already.".into()));
    }
    let trial = Trial::start(known.tuning.clone(), candidate, ask);
    if let Some(before) = known.now().trial.replace(Arc::clone(&trial)) {
        before.forget();
    }
    Ok(trial_json(known, model))
}

fn trial_json(known: &Known, model: &str) -> Value {
    let trial = known.now().trial.clone();
    trial.map_or_else(|| trial::none(model), |trial| trial.json(model))
}
