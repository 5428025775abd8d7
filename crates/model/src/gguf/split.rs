//! A model in one GGUF file or in several: `NAME-00001-of-00003.gguf` with `split.*` keys.

use std::path::{Path, PathBuf};

use super::{Gguf, parse};
use crate::checkpoint::Files;
use crate::mmap::Bytes;
use crate::{Metadata, ModelError};

const NO: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// Opens the file, and where it is a part of a set all parts, whichever was named.
pub(crate) fn open(path: &Path) -> Result<Files, ModelError> {
    let bytes = Bytes::map(path)?;
    let first = parse(path, &bytes, 0)?;
    match first.metadata.read::<u16>(COUNT)? {
        None | Some(0 | 1) => Ok(Files::new(first.metadata, first.tensors, vec![(path.to_owned(), bytes)])),
        Some(count) => open_parts(&paths(path, &first.metadata, count)?),
    }
}

/// The paths of all parts: that of the first, with its number changed.
fn paths(path: &Path, metadata: &Metadata, count: u16) -> Result<Vec<PathBuf>, ModelError> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(&format!("-of-{count:05}.gguf"));
    let base = stem.and_then(|s| s.rsplit_once('-')).filter(|(_, no)| no.len() == 5).map(|(base, _)| base);
    let Some(base) = base else {
        let problem = format!(
            "the file is one of {count} parts, which are found by their names; name it and the others \
             NAME-00001-of-{count:05}.gguf and so on"
        );
        return Err(metadata.invalid(COUNT, problem));
    };
    Ok((1..=count).map(|no| path.with_file_name(format!("{base}-{no:05}-of-{count:05}.gguf"))).collect())
}

fn open_parts(paths: &[PathBuf]) -> Result<Files, ModelError> {
    // Asked of all before any is read, so that one message comes early.
    for path in paths {
        if !path.exists() {
            let problem = format!("this part of {} is missing; download it beside the others", paths.len());
            return Err(ModelError::invalid(path, "file", problem));
        }
    }
    let mut set = Files::default();
    for (no, path) in paths.iter().enumerate() {
        let bytes = Bytes::map(path)?;
        let part = parse(path, &bytes, no)?;
        check_part(&part, no, paths.len())?;
        if no == 0 {
            set.metadata = part.metadata;
        }
        set.tensors.extend(part.tensors);
        set.files.push((path.clone(), bytes));
    }
    check_total(&set)?;
    Ok(set)
}

fn check_part(part: &Gguf, no: usize, count: usize) -> Result<(), ModelError> {
    for (key, wanted) in [(NO, no), (COUNT, count)] {
        let found: usize = part.metadata.require(key)?;
        if found != wanted {
            let problem =
                format!("is {found} where {wanted} must stand; the parts are not of one set, download them again");
            return Err(part.metadata.invalid(key, problem));
        }
    }
    Ok(())
}

fn check_total(set: &Files) -> Result<(), ModelError> {
    match set.metadata.read::<usize>(TENSORS)? {
        Some(total) if total != set.tensors.len() => {
            let problem = format!("is {total}, but the parts hold {} tensors; download them again", set.tensors.len());
            Err(set.metadata.invalid(TENSORS, problem))
        }
        _ => Ok(()),
    }
}
