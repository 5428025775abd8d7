//! Which models there are.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Route;
use crate::Stay;

/// The first model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Model {
    /// A GGUF file, a safetensors folder, or a Hugging Face id (org/name, org/name:file.gguf) [default: whinchat-demo, the small
    /// model in this program]
    #[schemars(extend("x-flag" = "model", "x-short" = "m", "x-value" = "MODEL"))]
    pub source: Option<String>,
    /// The name clients use [default: the model's own]
    #[garde(length(min = 1))]
    #[schemars(extend("x-flag" = "alias", "x-value" = "NAME"))]
    pub name: Option<String>,
    /// Longest sequence, prompt and answer [default: the model's own, at most 8192 and what the memory holds]
    #[garde(range(min = 1, max = 1 << 24))]
    #[schemars(extend("x-short" = "c", "x-value" = "TOKENS"))]
    pub context: Option<usize>,
    /// What computes: auto (a GPU as far as its memory goes, and the CPU the rest), cpu, gpu, gpu:1 where there are several (`whinchat
    /// devices`), some layers each (cpu+gpu, gpu:0+gpu:1), or replicas (gpu:0,gpu:1); GPUs are in builds with the feature gpu:
    /// docs/gpu.md [default: cpu]
    #[schemars(extend("x-value" = "DEVICE"))]
    pub device: Option<String>,
    /// A smaller model with the same vocabulary, or an EAGLE-3 head, that drafts what may come next: a file, a folder or a Hugging Face id;
    /// or mtp, the model's own layer for that (multi-token prediction). What is drafted is computed where that is expected to be faster;
    /// answers are the same: docs/speculation.md [default: none]
    #[garde(length(min = 1))]
    #[schemars(extend("x-value" = "MODEL"))]
    pub draft_model: Option<String>,
    /// Layers that GPUs compute, the CPU the others: a number, or auto (as many as there is memory for) [default: of a GPU alone all,
    /// else auto]
    #[schemars(extend("x-value" = "N|auto"))]
    pub gpu_layers: Option<String>,
    /// How tokens are chosen where neither a request nor the model says: llama.cpp (temperature 0.8, top-k 40, top-p 0.95, min-p
    /// 0.05) or openai (the model's own distribution) [default: llama.cpp for GGUF files, else openai]
    #[schemars(extend("x-value" = "WHOSE"))]
    pub sampling_defaults: Option<Whose>,
    /// The chat template: a file with Jinja in it, or a built-in one (chatml, deepseek3, gemma, llama2, llama3, mistral-v3,
    /// mistral-v7, phi3, vicuna, zephyr) [default: the model's own, else chatml where its vocabulary has the marks]
    #[schemars(extend("x-value" = "NAME|FILE"))]
    pub chat_template: Option<PathBuf>,
    /// A LoRA adapter beside the model, which answers as MODEL:NAME or NAME, once or several times: a folder of PEFT, or a GGUF file.
    /// docs/lora.md
    #[garde(dive)]
    #[schemars(extend("x-flag" = "lora", "x-value" = "NAME=PATH"))]
    pub lora: Vec<Lora>,
    /// Answer to any model name, not only to its own.
    #[schemars(extend("x-reload" = "live"))]
    pub any_model_name: bool,
}

/// A LoRA adapter of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Lora {
    /// What clients call it, alone or behind the model's name and a colon.
    #[garde(custom(adapter_name))]
    pub name: String,
    /// A folder of PEFT, or a GGUF file.
    #[garde(length(min = 1))]
    pub path: String,
}

/// A name that may stand behind a model's and a colon.
fn adapter_name(name: &str, (): &()) -> garde::Result {
    match name.is_empty() || name.contains([':', '@']) {
        true => Err(garde::Error::new("expected a name without : and @")),
        false => Ok(()),
    }
}

/// A model beside the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Further {
    /// The name clients use.
    #[garde(length(min = 1))]
    pub name: String,
    /// A file, a folder or a Hugging Face id.
    #[garde(length(min = 1))]
    pub source: String,
    /// Longest sequence [default: as for the first model]
    #[serde(default)]
    #[garde(range(min = 1, max = 1 << 24))]
    pub context: Option<usize>,
    /// Positions of its KV cache [default: as for the first model]
    #[serde(default)]
    #[garde(range(min = 1, max = 1 << 26))]
    pub kv_tokens: Option<usize>,
    /// Sequences that run at once [default: as for the first model]
    #[serde(default)]
    #[garde(range(min = 1, max = 1 << 12))]
    pub max_sequences: Option<usize>,
    /// A smaller model or an EAGLE-3 head that drafts for it, or mtp, its own layer for that [default: none]
    #[serde(default)]
    #[garde(length(min = 1))]
    pub draft_model: Option<String>,
    /// How long it stays in memory after its last answer [default: as demand.keep_alive says]
    #[serde(default)]
    pub keep_alive: Option<Stay>,
    /// LoRA adapters beside it.
    #[serde(default)]
    #[garde(dive)]
    pub lora: Vec<Lora>,
}

/// Models that come into memory when they are asked for, and how long they stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Demand {
    /// A further model that is loaded when a request first names it, once or several times.
    #[garde(dive)]
    #[schemars(extend("x-flag" = "lazy", "x-value" = "NAME=MODEL"))]
    pub lazy: Vec<Further>,
    /// Serve every model that was pulled (whinchat list), loaded when a request first names it.
    pub pulled: bool,
    /// Another name for a model that is served, or for a version as NAME@VERSION, once or several times.
    #[garde(dive)]
    #[schemars(extend("x-flag" = "model-alias", "x-value" = "ALIAS=NAME"))]
    pub aliases: Vec<Alias>,
    /// A public name over several models, and which of them answers: docs/routes.md.
    #[garde(dive)]
    #[schemars(extend("x-reload" = "live"))]
    pub routes: Vec<Route>,
    /// How long a model stays in memory after its last answer: 5m, 1h30m, a number of seconds, 0, or -1 for ever. It is loaded
    /// again when it is asked for.
    #[schemars(extend("x-reload" = "live"))]
    pub keep_alive: Stay,
    /// Do not let requests change how long models stay in memory (keep_alive in Ollama's API).
    #[schemars(extend("x-reload" = "live"))]
    pub keep_alive_fixed: bool,
}

impl Default for Demand {
    fn default() -> Demand {
        let keep_alive = Stay("-1".to_owned());
        let (lazy, aliases, routes) = (Vec::new(), Vec::new(), Vec::new());
        Demand { lazy, pulled: false, aliases, routes, keep_alive, keep_alive_fixed: false }
    }
}

/// Another name for a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Alias {
    /// The name clients use.
    #[garde(length(min = 1))]
    pub alias: String,
    /// The name of a model that is served.
    #[garde(length(min = 1))]
    pub model: String,
}

/// Whose sampling settings hold where nobody says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Whose {
    #[allow(missing_docs, reason = "the name says it")]
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    #[allow(missing_docs, reason = "the name says it")]
    #[serde(rename = "openai")]
    OpenAi,
}
