//! Adapters with the logits that PEFT gives (xtask/goldens/lora.py), for any backend: `#[path]` includes it beside `golden.rs`.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;

use graph::{Backend, WeightInfo};
use model::{Adapter, Checkpoint, ModelError};
use serde_json::Value;

/// The names of all fixtures.
pub const ALL: [&str; 5] = ["llama", "llama-gguf", "phi3", "qwen2", "gptneox"];

/// A fixture: its base model, and its adapter as PEFT saves it.
pub struct Fixture {
    pub base: Arc<Checkpoint>,
    pub recipe: Value,
    pub folder: tempfile::TempDir,
}

impl Fixture {
    pub fn new(name: &str) -> Fixture {
        let recipe = crate::golden::recipe(&format!("lora/{name}"));
        let base = crate::golden::recipe(recipe["base"].as_str().expect("a name"));
        let base = Checkpoint::from_safetensors_bytes(crate::golden::safetensors(&base), &base["config"].to_string());
        let fixture = Fixture { base: base.expect("sound"), recipe, folder: tempfile::tempdir().expect("a folder") };
        fixture.save();
        fixture
    }

    pub fn save(&self) {
        let write = |name: &str, bytes: &[u8]| std::fs::write(self.folder.path().join(name), bytes).expect("written");
        write("adapter_config.json", self.recipe["config"].to_string().as_bytes());
        write("adapter_model.safetensors", &crate::golden::safetensors(&self.recipe));
    }

    pub fn adapter(&self) -> Result<Adapter, ModelError> {
        Adapter::open(self.folder.path())
    }

    /// Its logits with the adapter beside it, on a backend, are those of PEFT.
    pub fn check<B: Backend>(name: &str, backend: &B, rounds: impl Fn(&WeightInfo) -> bool) {
        let fixture = Fixture::new(name);
        let model = fixture.base.bind(Some(40)).expect("sound");
        let adapter =
            fixture.adapter().and_then(|adapter| adapter.bind(&model)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let base = fixture.recipe["base"].as_str().expect("a name");
        crate::golden::check_adapted((name, base), backend, &model, Arc::new(adapter), rounds);
    }
}
