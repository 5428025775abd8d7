//! The services that `whinchat serve` asks, in the place of its own stages.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, Services};
use engine::{Executor, RemoteExecutor, spread_of};
use serve::services::{Elsewhere, HttpCourier, Link, RemoteBlocks, RemotePolicy, RemoteTokenizer};
use text::Encode;
use whinchat::{Cpu, Prepared, Stages};

use super::process::{self, Worker};

/// The word for a process of the server's own.
const PROCESS: &str = "process";

/// How long a service may take, and how long a batch.
const PATIENCE: Duration = Duration::from_secs(30);
const BATCH: Duration = Duration::from_secs(600);

/// Services of a server, before they are asked.
#[derive(Default)]
pub(crate) struct Asked {
    tokenizer: Option<Arc<Link>>,
    scheduler: Option<(Arc<Link>, Option<String>)>,
    memory: Option<(Arc<Link>, Option<String>)>,
    compute: Option<Arc<Link>>,
    /// The process of the server's own that computes, if one does, and how long a batch may take.
    process: Option<(Arc<Worker>, Duration)>,
}

/// What is wrong with the settings about services: which, and why.
pub(crate) fn problem(config: &Config) -> Option<(&'static str, String)> {
    let Services { tokenizer, scheduler, memory, compute, timeout } = &config.engine.services;
    let compute = compute.as_ref().filter(|compute| *compute != PROCESS);
    let all = [
        ("engine.services.tokenizer", "tokenizer", tokenizer.as_ref()),
        ("engine.services.scheduler", "scheduler", scheduler.as_ref()),
        ("engine.services.memory", "memory", memory.as_ref()),
        ("engine.services.compute", "compute", compute),
    ];
    let patience = timeout.map_or(PATIENCE, |timeout| timeout.0);
    all.into_iter().find_map(|(path, name, url)| Some((path, Link::new(name, url?, patience).err()?)))
}

impl Asked {
    /// As the settings say.
    ///
    /// # Errors
    /// If one has no address.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Asked> {
        let Services { tokenizer, scheduler, memory, compute, timeout } = &config.engine.services;
        let patience = |usual| timeout.map_or(usual, |timeout| timeout.0);
        let link = |name, url: &Option<String>| -> anyhow::Result<Option<Arc<Link>>> {
            let patience = patience(if name == "compute" { BATCH } else { PATIENCE });
            let url = url.as_deref().filter(|url| *url != PROCESS);
            url.map(|url| Link::new(name, url, patience).map_err(anyhow::Error::msg)).transpose()
        };
        // What serve says goes before what the service was started with; its defaults say nothing.
        let policy = Some(config.engine.policy).filter(|policy| *policy != Default::default());
        let eviction = Some(config.cache.eviction).filter(|rule| *rule != Default::default());
        let named = |link: Option<Arc<Link>>, name: Option<&str>| link.map(|link| (link, name.map(str::to_owned)));
        Ok(Asked {
            tokenizer: link("tokenizer", tokenizer)?,
            scheduler: named(link("scheduler", scheduler)?, policy.as_ref().map(|policy| policy.0.name())),
            memory: named(link("memory", memory)?, eviction.as_ref().map(|rule| rule.0.name())),
            compute: link("compute", compute)?,
            process: (compute.as_deref() == Some(PROCESS)).then(|| (Arc::new(Worker::new(PROCESS)), patience(BATCH))),
        })
    }

    /// Stages that are elsewhere.
    pub(crate) fn elsewhere(&self) -> Vec<Arc<dyn Elsewhere>> {
        let [scheduler, memory] = [&self.scheduler, &self.memory].map(|named| named.as_ref().map(|(link, _)| link));
        let links = [self.tokenizer.as_ref(), scheduler, memory, self.compute.as_ref()].into_iter().flatten();
        let worker = self.process.iter().map(|(worker, _)| Arc::clone(worker) as Arc<dyn Elsewhere>);
        links.map(|link| Arc::clone(link) as Arc<dyn Elsewhere>).chain(worker).collect()
    }

    /// What takes the place of a model's own stages.
    ///
    /// # Errors
    /// If a service does not answer.
    pub(crate) fn stages(self, prepared: &Prepared, cpu: &Cpu) -> anyhow::Result<Stages> {
        let Asked { tokenizer, scheduler, memory, compute, process } = self;
        let mut stages = Stages::default();
        if let Some(link) = tokenizer {
            stages.encoder = Some(Box::new(move |own| {
                let encoder: Arc<dyn Encode> = Arc::new(RemoteTokenizer::connect(link, own)?);
                Ok(encoder)
            }));
        }
        if let Some((link, policy)) = scheduler {
            stages.policy = Some(Box::new(RemotePolicy::connect(link, policy).map_err(anyhow::Error::msg)?));
        }
        if let Some((link, eviction)) = memory {
            RemoteBlocks::check(&link, eviction.as_deref()).map_err(anyhow::Error::msg)?;
            stages.memory = Some(Box::new(move |managing| Box::new(RemoteBlocks::new(link, managing, eviction))));
        }
        let spread = spread_of(cpu.clone());
        let executor: Option<Box<dyn Executor>> = match (compute, process) {
            (Some(link), _) => Some(Box::new(RemoteExecutor::connect(HttpCourier::new(link))?.with_spread(spread))),
            (None, Some((worker, patience))) => {
                let process = process::start(prepared, worker, patience)?;
                Some(Box::new(RemoteExecutor::connect(process)?.with_spread(spread)))
            }
            (None, None) => None,
        };
        stages.executor = executor;
        Ok(stages)
    }
}
