//! GGUF's table of tensors: read, sized, and found inside the file.

use std::collections::HashSet;

use super::reader::Reader;
use super::types::{Stored, stored};
use crate::ModelError;
use crate::checkpoint::TensorInfo;

/// Bytes of the smallest entry: an empty name, no dimensions, a type, an offset.
pub(super) const MIN_ENTRY: usize = 8 + 4 + 4 + 8;
const MAX_DIMS: u32 = 4;

/// A row of the table.
pub(super) struct Entry {
    name: String,
    /// Outermost first.
    dims: Vec<usize>,
    stored: Stored,
    /// Bytes from the start of the data.
    offset: u64,
}

impl Entry {
    fn field(&self) -> String {
        field(&self.name)
    }
}

fn field(name: &str) -> String {
    format!("tensor {name}")
}

/// Reads the table.
pub(super) fn table(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Entry>, ModelError> {
    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    for i in 0..count {
        let entry = entry(reader, &format!("tensor {i} of {count}"))?;
        if !seen.insert(entry.name.clone()) {
            return Err(reader.invalid(&entry.field(), "stands twice in the file; convert or download the model again"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(reader: &mut Reader<'_>, ordinal: &str) -> Result<Entry, ModelError> {
    let name = reader.name(ordinal)?;
    let field = field(&name);
    let n = reader.u32(&field)?;
    if !(1..=MAX_DIMS).contains(&n) {
        return Err(reader.invalid(&field, format!("has {n} dimensions; 1 to {MAX_DIMS} are possible")));
    }
    let mut dims = Vec::with_capacity(n as usize);
    for _ in 0..n {
        dims.push(dimension(reader, &field)?);
    }
    dims.reverse();
    let stored = stored(reader.u32(&field)?);
    Ok(Entry { name, dims, stored, offset: reader.u64(&field)? })
}

fn dimension(reader: &mut Reader<'_>, field: &str) -> Result<usize, ModelError> {
    let dim = reader.u64(field)?;
    usize::try_from(dim)
        .ok()
        .filter(|&d| d > 0)
        .ok_or_else(|| reader.invalid(field, format!("has a dimension of {dim}; the file is damaged, fetch it again")))
}

/// Finds the tensors in the data, which begins at the next multiple of `alignment`, and checks that they lie inside the
/// file and apart from each other.
pub(super) fn locate(
    reader: &mut Reader<'_>,
    entries: Vec<Entry>,
    alignment: usize,
    file: usize,
) -> Result<Vec<TensorInfo>, ModelError> {
    let start = (reader.position() as u128).next_multiple_of(alignment as u128);
    let mut placed = Vec::with_capacity(entries.len());
    for entry in &entries {
        let bytes = size(reader, entry)?;
        if !entry.offset.is_multiple_of(alignment as u64) {
            let problem = format!("begins at {}, which is not a multiple of {alignment}", entry.offset);
            return Err(reader.invalid(&entry.field(), problem + "; the file is damaged, fetch it again"));
        }
        placed.push((start + u128::from(entry.offset), bytes));
    }
    check_end(reader, &entries, &placed)?;
    check_apart(reader, &entries, &placed)?;
    let info = |(entry, (start, bytes)): (Entry, (u128, usize))| TensorInfo {
        name: entry.name,
        dims: entry.dims,
        dtype: entry.stored.dtype,
        bytes,
        file,
        start: start as usize,
        packed: None,
    };
    Ok(entries.into_iter().zip(placed).map(info).collect())
}

/// Bytes of a tensor; 0 for a type of unknown size.
fn size(reader: &Reader<'_>, entry: &Entry) -> Result<usize, ModelError> {
    let Some((block_len, block_bytes)) = entry.stored.block else { return Ok(0) };
    let cols = *entry.dims.last().expect("a tensor has dimensions");
    if !cols.is_multiple_of(block_len) {
        let problem = format!("has rows of {cols} elements, which are not whole blocks of {block_len}");
        return Err(reader.invalid(&entry.field(), problem + "; the file is damaged or was converted wrongly"));
    }
    let row = match entry.stored.dtype {
        Ok(dtype) => dtype.row_bytes(cols),
        Err(_) => (cols / block_len).checked_mul(block_bytes),
    };
    let bytes = entry.dims[..entry.dims.len() - 1].iter().fold(row, |n, &d| n?.checked_mul(d));
    bytes
        .ok_or_else(|| reader.invalid(&entry.field(), "its dimensions are larger than any memory; the file is damaged"))
}

/// Says by how much a truncated file is short.
fn check_end(reader: &Reader<'_>, entries: &[Entry], placed: &[(u128, usize)]) -> Result<(), ModelError> {
    let ends = placed.iter().map(|&(start, bytes)| start + bytes as u128);
    let Some((last, end)) = ends.enumerate().max_by_key(|&(_, end)| end) else { return Ok(()) };
    let len = reader.len() as u128;
    if end <= len {
        return Ok(());
    }
    let problem = format!("ends at byte {end}, but the file has {len}: {} bytes are missing", end - len);
    let fix = "; the download was cut short (fetch it again) or the file is one raw piece of several (join them)";
    Err(reader.invalid(&entries[last].field(), problem + fix))
}

fn check_apart(reader: &Reader<'_>, entries: &[Entry], placed: &[(u128, usize)]) -> Result<(), ModelError> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&i| placed[i]);
    for pair in order.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        if placed[a].0 + placed[a].1 as u128 > placed[b].0 {
            let problem = format!("overlaps tensor {}; the file is damaged, fetch it again", entries[b].name);
            return Err(reader.invalid(&entries[a].field(), problem));
        }
    }
    Ok(())
}
