//! The folder of a PEFT adapter: what adapter_config.json says, and the factors in adapter_model.safetensors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{LowRank, Matrix, joined};
use crate::checkpoint::read_optional;
use crate::mmap::Bytes;
use crate::{ModelError, safetensors};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT writes before the names of modules.
const PREFIX: &str = "base_model.model.";

/// What decides on the numbers. All else either does not, or is in [`REFUSED`].
#[derive(Deserialize)]
struct Config {
    peft_type: String,
    r: usize,
    lora_alpha: f32,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    rank_pattern: Option<HashMap<String, usize>>,
    #[serde(default)]
    alpha_pattern: Option<HashMap<String, f32>>,
}

/// Keys with which an adapter is more than b · a, and what it is then.
const REFUSED: [(&str, &str); 13] = [
    ("use_dora", "is DoRA, which also scales the matrices' columns"),
    ("modules_to_save", "replaces whole modules"),
    ("lora_bias", "adds biases"),
    ("fan_in_fan_out", "is for matrices that are stored transposed"),
    ("layer_replication", "repeats layers"),
    ("trainable_token_indices", "replaces rows of the embedding"),
    ("target_parameters", "changes parameters that are no modules, such as stacked experts"),
    ("alora_invocation_tokens", "begins to count only after some tokens"),
    ("use_qalora", "adapts groups of columns"),
    ("use_bdlora", "has factors of blocks"),
    ("arrow_config", "chooses among adapters"),
    ("kasa_config", "changes the base model's matrices as well"),
    ("lora_ga_config", "changes the base model's matrices as well"),
];

/// Ways to begin training that change the base model's matrices too.
const OTHER_BASES: [&str; 4] = ["pissa", "olora", "corda", "loftq"];

pub(super) fn read(folder: &Path) -> Result<Vec<(String, LowRank)>, ModelError> {
    let config = read_config(&folder.join(CONFIG))?;
    let path = folder.join(WEIGHTS);
    if !path.is_file() {
        let problem = "is missing; save the adapter as safetensors (safe_serialization=True), pickles are not read";
        return Err(ModelError::invalid(&path, "file", problem));
    }
    let bytes = Bytes::map(&path)?;
    let mut factors: BTreeMap<String, [Option<Matrix>; 2]> = BTreeMap::new();
    for tensor in safetensors::parse(&path, &bytes, 0)? {
        let (module, which) = split(&tensor.name).ok_or_else(|| refused_tensor(&path, &tensor.name))?;
        let matrix = Matrix::read(&path, &tensor, &bytes[tensor.start..][..tensor.bytes])?;
        factors.entry(module.to_owned()).or_default()[which] = Some(matrix);
    }
    let whole = |(module, [a, b]): (String, [Option<Matrix>; 2])| {
        let missing =
            || ModelError::invalid(&path, &module, "has only one of lora_A and lora_B; fetch the adapter again");
        let (a, b) = a.zip(b).ok_or_else(missing)?;
        let rank = a.dims[0];
        if rank != config.rank(&module) {
            let problem = format!(
                "has the rank {rank}, {CONFIG} says {}; the files are not of one adapter",
                config.rank(&module)
            );
            return Err(ModelError::invalid(&path, &module, problem));
        }
        let change = joined(&path, &module, (a, b), |rank| config.scale(&module, rank))?;
        Ok((module, change))
    };
    factors.into_iter().map(whole).collect()
}

/// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` → the module, and 0 for A, 1 for B.
fn split(name: &str) -> Option<(&str, usize)> {
    let name = name.strip_prefix(PREFIX)?;
    let module = |ending| name.strip_suffix(ending).filter(|module: &&str| !module.is_empty());
    let a = module(".lora_A.weight").map(|module| (module, 0));
    a.or_else(|| module(".lora_B.weight").map(|module| (module, 1)))
}

fn refused_tensor(path: &Path, name: &str) -> ModelError {
    let what = match name {
        _ if name.contains("lora_embedding") => "changes the embedding",
        _ if name.contains("lora_magnitude_vector") => "is DoRA's",
        _ if name.contains("base_layer") => {
            "is a copy of the base model's matrix, which may be another (save_embedding_layers=False)"
        }
        _ if name.contains("modules_to_save") => "replaces a whole module",
        _ => "is neither lora_A nor lora_B of a module",
    };
    ModelError::unsupported(
        path,
        name,
        format!("{what}; only products with matrices can be adapted (merge it with PEFT's merge_and_unload)"),
    )
}

fn read_config(path: &Path) -> Result<Config, ModelError> {
    let missing = || ModelError::invalid(path, "file", "is missing; give the folder of a PEFT adapter, or a GGUF file");
    let bytes = read_optional(path)?.ok_or_else(missing)?;
    let json: Value = serde_json::from_slice(&bytes)
        .map_err(|e| ModelError::invalid(path, "file", format!("is not sound JSON: {e}; fetch it again")))?;
    let refuse = |key: &str, what: &str| {
        Err(ModelError::unsupported(
            path,
            key,
            format!("{what}; plain LoRA alone is read (merge it with PEFT's merge_and_unload)"),
        ))
    };
    for (key, what) in REFUSED {
        let empty = matches!(&json[key], Value::Null | Value::Bool(false))
            || json[key].as_array().is_some_and(Vec::is_empty)
            || json[key].as_object().is_some_and(serde_json::Map::is_empty);
        if !empty {
            return refuse(key, what);
        }
    }
    if json["bias"].as_str().is_some_and(|bias| bias != "none") {
        return refuse("bias", "trains biases too");
    }
    let way = json["init_lora_weights"].as_str().unwrap_or_default().to_lowercase();
    if OTHER_BASES.iter().any(|other| way.starts_with(other)) {
        return refuse("init_lora_weights", "changes the base model's matrices as well");
    }
    let config: Config = serde_json::from_value(json)
        .map_err(|e| ModelError::invalid(path, "file", format!("{e}; take the file that PEFT wrote")))?;
    config.check(path).map(|()| config)
}

impl Config {
    fn check(&self, path: &Path) -> Result<(), ModelError> {
        if !self.peft_type.eq_ignore_ascii_case("lora") {
            let problem = format!("is {}; LORA alone is read", self.peft_type);
            return Err(ModelError::unsupported(path, "peft_type", problem));
        }
        let alphas = self.alpha_pattern.iter().flat_map(HashMap::values).chain([&self.lora_alpha]);
        if let Some(alpha) = alphas.into_iter().find(|alpha| !alpha.is_finite()) {
            return Err(ModelError::invalid(path, "lora_alpha", format!("is {alpha} and must be a number")));
        }
        let keys =
            self.rank_pattern.iter().flat_map(HashMap::keys).chain(self.alpha_pattern.iter().flat_map(HashMap::keys));
        let plain = |key: &&String| key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        match keys.into_iter().find(|key| !plain(key)) {
            Some(key) => {
                let problem = format!("{key:?} is a regular expression; names of modules alone are read");
                Err(ModelError::unsupported(path, "rank_pattern, alpha_pattern", problem))
            }
            None => Ok(()),
        }
    }

    fn rank(&self, module: &str) -> usize {
        pattern(self.rank_pattern.as_ref(), module).unwrap_or(self.r)
    }

    /// How many times b · a counts.
    fn scale(&self, module: &str, rank: usize) -> f32 {
        let alpha = pattern(self.alpha_pattern.as_ref(), module).unwrap_or(self.lora_alpha);
        if self.use_rslora { alpha / (rank as f32).sqrt() } else { alpha / rank as f32 }
    }
}

/// What is said of a module by its name or the end of it.
fn pattern<T: Copy>(patterns: Option<&HashMap<String, T>>, module: &str) -> Option<T> {
    let is = |key: &str| module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    patterns?.iter().filter(|(key, _)| is(key)).max_by_key(|(key, _)| key.len()).map(|(_, value)| *value)
}
