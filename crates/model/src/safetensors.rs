//! The safetensors reader: header and tensor table of a file, and the files of a folder.
//!
//! The schema and the element types are those of the `safetensors` crate; the checks are made here, because its own
//! errors do not say which tensor is at fault or how much of a file is missing.

mod folder;
mod header;

use std::borrow::Cow;
use std::path::Path;

use tensor::DType;

use crate::checkpoint::TensorInfo;
use crate::{Metadata, ModelError};
pub(crate) use folder::{open_file, open_folder, open_vocabulary};
use header::Entry;

/// Reads a file's table; its tensors will be found in the file with the number `file` of the set.
pub(crate) fn parse(path: &Path, bytes: &[u8], file: usize) -> Result<Vec<TensorInfo>, ModelError> {
    let (entries, start) = header::read(path, bytes)?;
    check_data(path, &entries, bytes.len() - start)?;
    entries.into_iter().map(|entry| info(path, entry, start, file)).collect()
}

/// Reads config.json.
pub(crate) fn config(path: &Path, text: &str) -> Result<Metadata, ModelError> {
    let json = serde_json::from_str(&finite(text));
    let json = json.map_err(|e| ModelError::invalid(path, "config.json", format!("is not sound JSON: {e}")))?;
    Metadata::from_json(path, json)
}

/// JSON in which numbers that Python writes although JSON has none are the largest there is, and `NaN` is null. Limits of time steps
/// have them.
fn finite(text: &str) -> Cow<'_, str> {
    const NAMES: [(&str, &str); 2] = [("Infinity", "1.7976931348623157e308"), ("NaN", "null")];
    if !NAMES.iter().any(|(name, _)| text.contains(name)) {
        return text.into();
    }
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let name = NAMES.iter().find(|(name, _)| !quoted && rest.starts_with(name));
        let taken = name.map_or(if quoted && c == '\\' { 2 } else { 1 }, |(name, _)| name.len());
        let taken = rest.char_indices().map(|(i, _)| i).nth(taken).unwrap_or(rest.len());
        quoted ^= c == '"';
        out.push_str(name.map_or(&rest[..taken], |(_, number)| number));
        rest = &rest[taken..];
    }
    out.into()
}

/// The tensors must follow each other without gaps and end with the file, as the format demands.
fn check_data(path: &Path, entries: &[Entry], len: usize) -> Result<(), ModelError> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|entry| entry.info.data_offsets);
    let mut end = 0;
    for entry in order {
        let (from, to) = entry.info.data_offsets;
        if from != end || to < from {
            let problem = format!("data_offsets are [{from}, {to}] where the tensor before ends at {end}");
            return Err(damaged(path, entry, &problem));
        }
        end = to;
    }
    if end > len {
        let problem = format!("the tensors end at byte {end}, but the file has {len}: {} are missing", end - len);
        return Err(ModelError::invalid(path, "data", problem + "; the download was cut short, fetch it again"));
    }
    if end < len {
        let problem = format!("{} bytes follow the last tensor; the file is damaged, fetch it again", len - end);
        return Err(ModelError::invalid(path, "data", problem));
    }
    Ok(())
}

fn info(path: &Path, entry: Entry, start: usize, file: usize) -> Result<TensorInfo, ModelError> {
    let (from, to) = entry.info.data_offsets;
    let elements = entry.info.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let bits = elements.and_then(|n| n.checked_mul(entry.info.dtype.bitsize()));
    if bits.is_none_or(|bits| bits % 8 != 0 || bits / 8 != to - from) {
        let (dtype, shape) = (entry.info.dtype, &entry.info.shape);
        return Err(damaged(
            path,
            &entry,
            &format!("has {} bytes, which a {dtype} of {shape:?} does not take", to - from),
        ));
    }
    let dtype = entry.info.dtype.to_string();
    let dtype = DType::all().find(|d| d.layout().block_len == 1 && d.name() == dtype).ok_or(dtype);
    let (dims, bytes, start) = (entry.info.shape, to - from, start + from);
    Ok(TensorInfo { name: entry.name, dims, dtype, bytes, file, start, packed: None })
}

fn damaged(path: &Path, entry: &Entry, problem: &str) -> ModelError {
    let problem = format!("{problem}; the file is damaged, fetch it again");
    ModelError::invalid(path, format!("tensor {}", entry.name), problem)
}
