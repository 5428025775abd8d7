//! A model with a layer that predicts ahead, for multi-token prediction, made of the small model in tests/data.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

/// The fixture tests/data/tiny with a layer that predicts ahead: a copy of its last one, which reads the token and not the model's row.
/// If the model `is_simple`, what comes next depends on the last token alone, so that the layer knows it.
pub(crate) fn predicting(fixture: &Path, is_simple: bool) -> tempfile::TempDir {
    const F16_ONE: [u8; 2] = [0x00, 0x3c];
    const F16_16: [u8; 2] = [0x00, 0x4c];
    let copy = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(fixture).expect("the fixture").map(|file| file.expect("a file").path()) {
        std::fs::copy(&file, copy.path().join(file.file_name().expect("it has a name"))).expect("it is copied");
    }
    let path = copy.path().join("model.safetensors");
    let file = std::fs::read(&path).expect("weights");
    let (len, rest) = file.split_first_chunk().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let header: Map<String, Value> = serde_json::from_slice(header).expect("JSON");
    let tensor = |(name, info): (&String, &Value)| {
        let [start, end] = [0, 1].map(|i| info["data_offsets"][i].as_u64().expect("a place") as usize);
        (name.clone(), (info["shape"].clone(), data[start..end].to_vec()))
    };
    let all = header.iter().filter(|(name, _)| *name != "__metadata__");
    let mut tensors: BTreeMap<String, (Value, Vec<u8>)> = all.map(tensor).collect();
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
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, (shape, bytes)) in tensors {
        let end = data.len() + bytes.len();
        header.insert(name, json!({"dtype": "F16", "shape": shape, "data_offsets": [data.len(), end]}));
        data.extend(bytes);
    }
    let header = Value::Object(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    std::fs::write(path, file).expect("it is written");
    copy
}
