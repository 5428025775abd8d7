//! A model with a layer that predicts ahead, for multi-token prediction, and an EAGLE-3 head for it, made of the small model in tests/data.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

const F16_ONE: [u8; 2] = [0x00, 0x3c];
const F16_16: [u8; 2] = [0x00, 0x4c];

/// Shapes and F16 numbers by name.
type Tensors = BTreeMap<String, (Value, Vec<u8>)>;

/// The fixture tests/data/tiny with a layer that predicts ahead: a copy of its last one, which reads the token and not the model's row.
/// If the model `is_simple`, what comes next depends on the last token alone, so that the layer knows it.
pub(crate) fn predicting(fixture: &Path, is_simple: bool) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(fixture).expect("the fixture").map(|file| file.expect("a file").path()) {
        std::fs::copy(&file, copy.path().join(file.file_name().expect("it has a name"))).expect("it is copied");
    }
    let path = copy.path().join("model.safetensors");
    let mut tensors = read(&path);
    if is_simple {
        let added = tensors.iter_mut().filter(|(name, _)| name.contains("o_proj") || name.contains("down_proj"));
        added.for_each(|(_, (_, bytes))| bytes.fill(0));
        tensors.get_mut("model.norm.weight").expect("a norm").1 = F16_16.repeat(48);
        let mut table = tensors["model.embed_tokens.weight"].1.clone();
        table.rotate_right(2 * 48);
        tensors.get_mut("lm_head.weight").expect("a head").1 = table;
    }
    let last = tensors.clone().into_iter().filter(|(name, _)| name.starts_with("model.layers.1."));
    tensors.extend(last.map(|(name, tensor)| (name.replace("layers.1", "layers.2"), tensor)));
    let identity = (0..48 * 96).flat_map(|i| if i / 96 == i % 96 { F16_ONE } else { [0; 2] }).collect();
    let ones = (json!([48]), F16_ONE.repeat(48));
    let norm = tensors["model.norm.weight"].clone();
    let beside = [("eh_proj", (json!([48, 96]), identity)), ("enorm", ones.clone()), ("hnorm", ones)];
    let beside = beside.into_iter().chain([("shared_head.norm", norm)]);
    tensors.extend(beside.map(|(name, tensor)| (format!("model.layers.2.{name}.weight"), tensor)));
    write(&path, tensors, &[]);
    copy
}

/// An EAGLE-3 head for the model in that folder, if it is simple: it reads the token before from what goes into the first layer, and knows
/// what comes after the next one. Its embedding is the model's; its tokens have other numbers.
pub(crate) fn eagle3(model: &Path) -> tempfile::TempDir {
    let (folder, of_model) = (tempfile::tempdir().expect("a folder"), read(&model.join("model.safetensors")));
    let config = std::fs::read_to_string(model.join("config.json")).expect("numbers");
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    config["num_hidden_layers"] = 1.into();
    config["eagle_aux_hidden_state_layer_ids"] = json!([0, 1, 2]);
    std::fs::write(folder.path().join("config.json"), config.to_string()).expect("it is written");
    let zeros = |rows: usize, cols: usize| (json!([rows, cols]), vec![0; 2 * rows * cols]);
    let ones = || (json!([48]), F16_ONE.repeat(48));
    let first = (0..48 * 144).flat_map(|i| if i / 144 == i % 144 { F16_ONE } else { [0; 2] }).collect();
    let mut ahead = of_model["lm_head.weight"].1.clone();
    ahead.rotate_right(2 * 48);
    let rows: Vec<u8> = ahead.chunks_exact(2 * 48).rev().flatten().copied().collect();
    let vocab = rows.len() / (2 * 48);
    let mut tensors: Tensors = [
        ("self_attn.q_proj", zeros(96, 96)),
        ("self_attn.k_proj", zeros(32, 96)),
        ("self_attn.v_proj", zeros(32, 96)),
        ("self_attn.o_proj", zeros(48, 96)),
        ("mlp.gate_proj", zeros(80, 48)),
        ("mlp.up_proj", zeros(80, 48)),
        ("mlp.down_proj", zeros(48, 80)),
        ("input_layernorm", ones()),
        ("hidden_norm", ones()),
        ("post_attention_layernorm", ones()),
    ]
    .map(|(name, tensor)| (format!("midlayer.{name}.weight"), tensor))
    .into();
    tensors.insert("fc.weight".into(), (json!([48, 144]), first));
    tensors.insert("norm.weight".into(), of_model["model.norm.weight"].clone());
    tensors.insert("lm_head.weight".into(), (json!([vocab, 48]), rows));
    let offsets: Vec<i64> = (0..vocab as i64).map(|i| vocab as i64 - 1 - 2 * i).collect();
    write(&folder.path().join("model.safetensors"), tensors, &offsets);
    folder
}

fn read(path: &Path) -> Tensors {
    let file = std::fs::read(path).expect("weights");
    let (len, rest) = file.split_first_chunk().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let header: Map<String, Value> = serde_json::from_slice(header).expect("JSON");
    let tensor = |(name, info): (&String, &Value)| {
        let [start, end] = [0, 1].map(|i| info["data_offsets"][i].as_u64().expect("a place") as usize);
        (name.clone(), (info["shape"].clone(), data[start..end].to_vec()))
    };
    header.iter().filter(|(name, _)| *name != "__metadata__").map(tensor).collect()
}

/// Writes a safetensors file of these, and of how far tokens are away if that is said.
fn write(path: &Path, tensors: Tensors, offsets: &[i64]) {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, (shape, bytes)) in tensors {
        let end = data.len() + bytes.len();
        header.insert(name, json!({"dtype": "F16", "shape": shape, "data_offsets": [data.len(), end]}));
        data.extend(bytes);
    }
    if !offsets.is_empty() {
        let end = data.len() + 8 * offsets.len();
        header
            .insert("d2t".into(), json!({"dtype": "I64", "shape": [offsets.len()], "data_offsets": [data.len(), end]}));
        data.extend(offsets.iter().flat_map(|offset| offset.to_le_bytes()));
    }
    let header = Value::Object(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    std::fs::write(path, file).expect("it is written");
}
