//! Importance matrices in GGUF: for each weight its sums of squares and its counts, as tensors.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Checkpoint, GgufTensor, GgufValue, List};
use tensor::DType;

use super::{Entry, Statistics};
use crate::Error;

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";
const DATASETS: &str = "imatrix.datasets";
const CHUNKS: &str = "imatrix.chunk_count";
const CHUNK_SIZE: &str = "imatrix.chunk_size";

pub(super) fn read(path: &Path) -> Result<Statistics, Error> {
    let file = Checkpoint::open(path)?;
    let metadata = file.metadata();
    if metadata.read::<&str>("general.type")?.is_some_and(|kind| kind != "imatrix") {
        return Err(Error::file(path, "is a GGUF file, but no importance matrix; give one from `lab calibrate`"));
    }
    let datasets = match metadata.read::<&List>(DATASETS)? {
        Some(List::Bytes(texts)) => texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect(),
        _ => vec![],
    };
    let [chunks, chunk_size] = [metadata.read::<u32>(CHUNKS)?, metadata.read::<u32>(CHUNK_SIZE)?];
    let mut entries = BTreeMap::new();
    for sums in file.tensors() {
        let Some(name) = sums.name.strip_suffix(SUMS) else { continue };
        let entry =
            Entry { sums: floats(&file, path, &sums.name)?, counts: floats(&file, path, &format!("{name}{COUNTS}"))? };
        if entry.cols() == 0 {
            let problem = format!("{name} has {} sums for {} counts", entry.sums.len(), entry.counts.len());
            return Err(Error::file(path, problem + "; calibrate again"));
        }
        entries.insert(name.to_owned(), entry);
    }
    Ok(Statistics { entries, datasets, chunks: chunks.unwrap_or(0), chunk_size: chunk_size.unwrap_or(0) })
}

fn floats(file: &Checkpoint, path: &Path, name: &str) -> Result<Vec<f32>, Error> {
    let tensor = file.tensor(name).filter(|tensor| tensor.dtype == Ok(DType::F32));
    let tensor = tensor.ok_or_else(|| Error::file(path, format!("has no F32 tensor {name}; calibrate again")))?;
    Ok(file.bytes(tensor).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

pub(super) fn write(statistics: &Statistics, path: &Path) -> Result<(), Error> {
    let datasets = statistics.datasets.iter().map(|name| name.clone().into_bytes()).collect();
    let keys = [
        ("general.type", GgufValue::Str("imatrix".into())),
        (DATASETS, GgufValue::Strs(datasets)),
        (CHUNKS, GgufValue::U32(statistics.chunks)),
        (CHUNK_SIZE, GgufValue::U32(statistics.chunk_size)),
    ];
    let mut tensors = Vec::new();
    for (name, entry) in &statistics.entries {
        let matrices = entry.counts.len();
        let tensor = |suffix: &str, cols, values: &[f32]| GgufTensor {
            name: format!("{name}{suffix}"),
            dims: vec![matrices, cols],
            values: values.to_vec(),
        };
        tensors.push(tensor(SUMS, entry.cols(), &entry.sums));
        tensors.push(tensor(COUNTS, 1, &entry.counts));
    }
    let keys = keys.map(|(key, value)| (key.to_owned(), value));
    Ok(model::write_gguf(path, &keys, &tensors)?)
}
