//! llama.cpp's adapter files: GGUF with `adapter.lora.alpha`, and the factors of a tensor as `NAME.lora_a` and `NAME.lora_b`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{LowRank, Matrix, joined};
use crate::{ModelError, gguf};

pub(super) fn read(path: &Path) -> Result<Vec<(String, LowRank)>, ModelError> {
    let files = gguf::open(path)?;
    let metadata = &files.metadata;
    for (key, wanted) in [("general.type", "adapter"), ("adapter.type", "lora")] {
        let given = metadata.read::<&str>(key)?.unwrap_or("absent");
        if given != wanted {
            let problem = format!("is {given:?}, not {wanted:?}; give the GGUF file of a LoRA adapter, not of a model");
            return Err(metadata.invalid(key, problem));
        }
    }
    let alpha = metadata.require::<f32>("adapter.lora.alpha")?;
    if !alpha.is_finite() {
        return Err(metadata.invalid("adapter.lora.alpha", format!("is {alpha} and must be a number")));
    }
    let mut factors: BTreeMap<&str, [Option<Matrix>; 2]> = BTreeMap::new();
    for tensor in &files.tensors {
        let (name, which) = split(&tensor.name).ok_or_else(|| {
            ModelError::unsupported(
                path,
                &tensor.name,
                "is neither lora_a nor lora_b of a tensor; plain LoRA alone is read",
            )
        })?;
        factors.entry(name).or_default()[which] = Some(Matrix::read(path, tensor, files.bytes(tensor))?);
    }
    let whole = |(name, [a, b]): (&str, [Option<Matrix>; 2])| {
        let missing = || ModelError::invalid(path, name, "has only one of lora_a and lora_b; fetch the adapter again");
        if name == "token_embd.weight" {
            return Err(ModelError::unsupported(
                path,
                name,
                "changes the embedding; only products with matrices can be adapted",
            ));
        }
        // No alpha is none, as llama.cpp has it.
        let scale = |rank: usize| if alpha == 0.0 { 1.0 } else { alpha / rank as f32 };
        Ok((name.to_owned(), joined(path, name, a.zip(b).ok_or_else(missing)?, scale)?))
    };
    factors.into_iter().map(whole).collect()
}

fn split(name: &str) -> Option<(&str, usize)> {
    let a = name.strip_suffix(".lora_a").map(|name| (name, 0));
    a.or_else(|| name.strip_suffix(".lora_b").map(|name| (name, 1)))
}
