//! The models: whether their files are there and can be used.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Config;
use model::Checkpoint;
use whinchat::hub::{Hub, HubError};
use whinchat::{BUILTIN, LoadOptions, Prepared};

use super::super::loader::options_of;
use super::super::{demand, ready};
use super::{Finding, Patient};

const CHECK: &str = "model";

/// A model that the server would load.
pub(super) struct Candidate {
    pub(super) name: String,
    /// It is loaded when it is asked for, not at the start.
    pub(super) lazy: bool,
    pub(super) prepared: Result<Prepared, Unready>,
}

/// Why a model cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unready {
    /// A model of this name has to be downloaded first.
    Absent(String),
    Broken(String),
}

/// What there is to judge of a model that can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) size: String,
    pub(super) tokenizer: Result<usize, String>,
    /// Whether it continues texts; others give vectors or scores of them.
    pub(super) continues: bool,
    /// Where its chat template is from, if it has one.
    pub(super) template: Result<Option<String>, String>,
    pub(super) context: usize,
    /// What it was made for.
    pub(super) own_context: usize,
    pub(super) builtin: bool,
}

/// Every model of the configuration, opened as `serve` does, but for the download.
pub(super) fn candidates(config: &Config, options: &LoadOptions) -> Vec<Candidate> {
    let source = config.model.source.as_deref();
    let first = Candidate {
        name: source.unwrap_or(BUILTIN).to_owned(),
        lazy: false,
        prepared: opened(source.map(OsStr::new)).and_then(|checkpoint| prepared(checkpoint, options)),
    };
    let further = |further: &config::Further, lazy: bool| {
        let order = demand::order(further.clone());
        let checkpoint = opened(Some(order.source.as_ref()));
        let prepared = checkpoint.and_then(|checkpoint| prepared(checkpoint, &options_of(options, &order)));
        Candidate { name: further.name.clone(), lazy, prepared }
    };
    let also = config.models.iter().map(|one| further(one, false));
    let lazy = config.demand.lazy.iter().map(|one| further(one, true));
    std::iter::once(first).chain(also).chain(lazy).collect()
}

fn prepared(checkpoint: Arc<Checkpoint>, options: &LoadOptions) -> Result<Prepared, Unready> {
    let draft_model = options.draft_model.as_ref().map(|source| found(source.as_os_str())).transpose()?;
    let options = LoadOptions { draft_model, ..options.clone() };
    whinchat::prepare(checkpoint, &options).map_err(|e| Unready::Broken(e.to_string()))
}

/// Opens what is on this machine.
fn opened(source: Option<&OsStr>) -> Result<Arc<Checkpoint>, Unready> {
    let opened = match source {
        Some(source) => whinchat::open(found(source)?, &|_, _, _| {}),
        None => whinchat::builtin(),
    };
    opened.map_err(|e| Unready::Broken(e.to_string()))
}

/// Where a model is on this machine.
fn found(source: &OsStr) -> Result<PathBuf, Unready> {
    let hub = Hub::from_env();
    let id = source.to_str().filter(|name| *name != BUILTIN && !Path::new(name).exists());
    let Some(id) = id.and_then(|name| hub.parse(name)) else { return Ok(source.into()) };
    (Hub { offline: true, ..hub.clone() }).fetch(&id, &|_, _, _| {}).map_err(|e| match e {
        HubError::Offline { .. } if !hub.offline => Unready::Absent(source.to_string_lossy().into_owned()),
        e => Unready::Broken(e.to_string()),
    })
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let judged = |one: &Candidate| judge(&one.name, one.lazy, one.prepared.as_ref().map(seen).map_err(Clone::clone));
    patient.candidates.iter().flat_map(judged).collect()
}

fn seen(prepared: &Prepared) -> Seen {
    let tokenizer = whinchat::tokenizer(&prepared.checkpoint).map_err(|e| e.to_string());
    let template = match &tokenizer {
        Ok(tokenizer) => prepared.template_origin(tokenizer).map_err(|e| e.to_string()),
        Err(_) => Ok(None),
    };
    Seen {
        size: ready::size(prepared),
        tokenizer: tokenizer.map(|tokenizer| tokenizer.vocab()),
        continues: prepared.model.spec().continues(),
        template: template.map(|origin| origin.map(|origin| origin.to_string())),
        context: prepared.context,
        own_context: prepared.model.spec().context,
        builtin: prepared.checkpoint.files().iter().all(|file| !file.exists()),
    }
}

/// What is to be said of a model.
pub(super) fn judge(name: &str, lazy: bool, seen: Result<Seen, Unready>) -> Vec<Finding> {
    // One that is loaded later does not keep the server from starting.
    let bad = if lazy { Finding::warning } else { Finding::fails };
    let seen = match seen {
        Ok(seen) => seen,
        Err(Unready::Absent(name)) => {
            let what =
                format!("{name}: is not on this machine; it is downloaded first, with network and room on the disk");
            return vec![Finding::warning(CHECK, what, format!("whinchat pull {name} downloads it now"))];
        }
        Err(Unready::Broken(why)) => {
            let fix = "take another copy of its files, or another model; whinchat inspect shows what is in one";
            return vec![bad(CHECK, format!("{name}: {why}"), fix.to_owned())];
        }
    };
    let mut findings = vec![Finding::fine(CHECK, format!("{name}: {}, its files can be used", seen.size))];
    match seen.tokenizer {
        Ok(pieces) => findings.push(Finding::fine(CHECK, format!("{name}: its tokenizer has {pieces} pieces"))),
        Err(why) => findings.push(bad(CHECK, why, "put the model's own tokenizer beside its weights".to_owned())),
    }
    let chats = "--chat-template NAME|FILE gives it one";
    findings.push(match seen.template {
        _ if !seen.continues => {
            Finding::fine(CHECK, format!("{name}: gives vectors or scores of texts, and writes none"))
        }
        Ok(Some(origin)) => Finding::fine(CHECK, format!("{name}: chats by its template ({origin})")),
        Ok(None) => Finding::warning(CHECK, format!("{name}: has no chat template: it goes on with texts"), chats),
        Err(why) => Finding::warning(CHECK, format!("{name}: chats are refused: {why}"), chats),
    });
    if seen.context > seen.own_context {
        let what = format!("{name}: a context of {}, but it was made for {} positions", seen.context, seen.own_context);
        findings.push(Finding::warning(CHECK, what, "give no more than that to --context"));
    }
    if seen.builtin {
        let what = format!("{name} is small and in this program, to try things out");
        findings.push(Finding::warning(CHECK, what, format!("--model takes {}", super::super::MODELS)));
    }
    findings
}
