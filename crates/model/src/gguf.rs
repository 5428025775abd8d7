//! GGUF files. The reader: header, metadata, tensor table, and the checks that make every later access safe.
//!
//! Written for files of strangers: nothing is allocated before the file has been found long enough to justify it, and
//! every offset is checked once, here, against the length of the file.

mod reader;
mod split;
mod tensors;
mod types;
mod writer;

use std::path::Path;

use crate::checkpoint::TensorInfo;
use crate::{Metadata, ModelError};
use reader::Reader;
pub(crate) use split::open;
pub use writer::GgufValue;
pub(crate) use writer::{Entry, Writer};

/// What one GGUF file holds.
pub(crate) struct Gguf {
    pub(crate) metadata: Metadata,
    /// In the order of the file's table.
    pub(crate) tensors: Vec<TensorInfo>,
}

/// A tensor for [`write_gguf`].
#[derive(Clone, Debug, PartialEq)]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub dims: Vec<usize>,
    /// F32 values, row after row.
    pub values: Vec<f32>,
}

/// Writes a GGUF file that is no model, such as an importance matrix: some keys and tensors of F32. The file `out` appears whole or not
/// at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_gguf(out: &Path, keys: &[(String, GgufValue)], tensors: &[GgufTensor]) -> Result<(), ModelError> {
    let entry = |t: &GgufTensor| Entry { name: t.name.clone(), dims: t.dims.clone(), dtype: tensor::DType::F32 };
    let entries: Vec<Entry> = tensors.iter().map(entry).collect();
    let mut writer = Writer::new(Vec::new(), keys, &entries).map_err(|e| ModelError::io(out, e))?;
    for tensor in tensors {
        let bytes: Vec<u8> = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        writer.tensor(&bytes).map_err(|e| ModelError::io(out, e))?;
    }
    let temporary = crate::export::Temporary::beside(out);
    std::fs::write(temporary.path(), writer.finish()).map_err(|e| ModelError::io(out, e))?;
    temporary.rename(out).map_err(|e| ModelError::io(out, e))
}

/// Bytes of the smallest entry: an empty key, a type, a value of one byte.
const MIN_KEY_VALUE: usize = 8 + 4 + 1;

/// Reads a GGUF file; its tensors will be found in the file with the number `file` of the set.
pub(crate) fn parse(path: &Path, bytes: &[u8], file: usize) -> Result<Gguf, ModelError> {
    let mut reader = Reader::new(path, bytes);
    let (tensor_count, key_count) = header(&mut reader)?;
    let metadata = metadata(&mut reader, key_count)?;
    let entries = tensors::table(&mut reader, tensor_count)?;
    let tensors = tensors::locate(&mut reader, entries, alignment(&metadata)?, file)?;
    Ok(Gguf { metadata, tensors })
}

/// The metadata keys of a file that has been parsed, each with its value as the file has it: the number of its type and what
/// follows.
pub(crate) fn raw_keys(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
    let mut reader = Reader::new(path, bytes);
    let (_, count) = header(&mut reader)?;
    let mut keys = Vec::with_capacity(count);
    for i in 0..count {
        let key = reader.name(&format!("metadata key {i} of {count}"))?;
        let start = reader.position();
        let kind = reader.u32(&key)?;
        reader.value(kind, &key)?;
        keys.push((key, bytes[start..reader.position()].to_vec()));
    }
    Ok(keys)
}

/// Checks magic and version; gives the numbers of tensors and of metadata keys.
fn header(reader: &mut Reader<'_>) -> Result<(usize, usize), ModelError> {
    if reader.take(4, "magic")? != b"GGUF" {
        return Err(reader.invalid("magic", "is not GGUF; give a GGUF file or a folder with safetensors files"));
    }
    match reader.u32("version")? {
        2 | 3 => {}
        1 => return Err(reader.unsupported("version", "is 1; convert the model again, versions 2 and 3 are read")),
        v if (1..=3).contains(&v.swap_bytes()) => {
            let problem = "the file is big-endian; convert it (gguf-convert-endian) or take the little-endian file";
            return Err(reader.unsupported("version", problem));
        }
        v => return Err(reader.unsupported("version", format!("is {v}; versions 2 and 3 are read"))),
    }
    let tensors = reader.count(tensors::MIN_ENTRY, "tensor_count")?;
    Ok((tensors, reader.count(MIN_KEY_VALUE, "metadata_kv_count")?))
}

fn metadata(reader: &mut Reader<'_>, count: usize) -> Result<Metadata, ModelError> {
    let mut metadata = Metadata::of(reader.path());
    for i in 0..count {
        let key = reader.name(&format!("metadata key {i} of {count}"))?;
        if metadata.get(&key).is_some() {
            return Err(reader.invalid(&key, "stands twice in the metadata; convert or download the model again"));
        }
        let kind = reader.u32(&key)?;
        let value = reader.value(kind, &key)?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// What the offsets of tensors are multiples of.
fn alignment(metadata: &Metadata) -> Result<usize, ModelError> {
    const KEY: &str = "general.alignment";
    match metadata.read::<u32>(KEY)? {
        None => Ok(32),
        Some(a) if a.is_power_of_two() => Ok(a as usize),
        Some(a) => Err(metadata.invalid(KEY, format!("is {a} and must be a power of two"))),
    }
}
