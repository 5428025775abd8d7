//! The header of a safetensors file: 8 bytes of length, then JSON.

use std::path::Path;

use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::ModelError;

/// The limit of the reference implementation.
const MAX_HEADER: u64 = 100_000_000;

/// A tensor as the header has it.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) info: TensorInfo,
}

/// Reads the header; gives its entries in its order and the byte at which the data begins.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<(Vec<Entry>, usize), ModelError> {
    let invalid = |field: &str, problem: String| ModelError::invalid(path, field, problem);
    let Some((length, rest)) = bytes.split_first_chunk() else {
        let problem = format!("the file has {} bytes and must have 8 or more; fetch it again", bytes.len());
        return Err(invalid("header length", problem));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        let problem = format!("is {length}, more than any model's; this is not a safetensors file or it is damaged");
        return Err(invalid("header length", problem));
    }
    let Some(json) = rest.get(..length as usize) else {
        let missing = length - rest.len() as u64;
        let problem =
            format!("{missing} of its {length} bytes are missing; the download was cut short, fetch it again");
        return Err(invalid("header", problem));
    };
    let entries = serde_json::from_slice(json).map(|Entries(entries)| entries);
    let entries = entries.map_err(|e| invalid("header", format!("{e}; the file is damaged, fetch it again")))?;
    Ok((entries, 8 + length as usize))
}

/// In the file's order, each name once; the crate's own map forgets both.
struct Entries(Vec<Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        deserializer.deserialize_map(EntriesVisitor).map(Entries)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with the tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Entry>, A::Error> {
        let mut seen = std::collections::HashSet::new();
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(Error::custom(format!("{name} stands twice")));
            }
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                let info = map.next_value().map_err(|e| Error::custom(format!("tensor {name}: {e}")))?;
                entries.push(Entry { name, info });
            }
        }
        Ok(entries)
    }
}
