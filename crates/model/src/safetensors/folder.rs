//! Which files of a folder make a safetensors model: config.json, and one file or the shards that an index names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::{config, parse};
use crate::checkpoint::{Files, read_optional};
use crate::mmap::Bytes;
use crate::{Metadata, ModelError, TensorInfo};

const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// Opens one file; its config.json stands beside it.
pub(crate) fn open_file(path: &Path) -> Result<Files, ModelError> {
    let folder = path.with_file_name("");
    let name = path.file_name().expect("a path that was found to be a file has a name");
    let name = name.to_string_lossy().into_owned();
    if shard_of(&name).is_some_and(|shard| shard.count > 1) {
        let problem = "is one of several parts of a model; give the folder that holds them all";
        return Err(ModelError::invalid(path, "file", problem));
    }
    open_files(&folder, &BTreeSet::from([name]))
}

/// Opens the model in a folder that holds files with these (sorted) names.
pub(crate) fn open_folder(folder: &Path, names: &[String]) -> Result<Files, ModelError> {
    let weights = || names.iter().filter(|n| n.ends_with(".safetensors"));
    if names.iter().any(|n| n == SINGLE) {
        return open_files(folder, &BTreeSet::from([SINGLE.to_string()]));
    }
    if let Some(index) = index(names) {
        return open_index(folder, index);
    }
    if let Some(shards) = shards(folder, weights())? {
        return open_files(folder, &shards);
    }
    match &weights().collect::<Vec<_>>()[..] {
        [one] => open_files(folder, &BTreeSet::from([(*one).clone()])),
        _ => {
            let problem = "holds several .safetensors files and no model.safetensors.index.json; download the index";
            Err(ModelError::invalid(folder, "folder", problem))
        }
    }
}

/// A folder without weights: config.json if it is there, for what is asked of the tokenizer only.
pub(crate) fn open_vocabulary(folder: &Path) -> Result<Files, ModelError> {
    let path = folder.join(CONFIG);
    let metadata = if path.exists() { read_config(&path)? } else { Metadata::of(folder) };
    Ok(Files::new(metadata, Vec::new(), Vec::new()))
}

fn index(names: &[String]) -> Option<&String> {
    let mut all = names.iter().filter(|n| n.ends_with(".safetensors.index.json"));
    all.clone().find(|n| *n == INDEX).or_else(|| all.next())
}

/// Opens the shards of an index and checks that each tensor is where the index has it.
fn open_index(folder: &Path, name: &str) -> Result<Files, ModelError> {
    let path = folder.join(name);
    let invalid = |field: &str, problem: String| ModelError::invalid(&path, field, problem);
    let map = weight_map(&path)?;
    let shards: BTreeSet<String> = map.values().cloned().collect();
    for shard in &shards {
        if !is_plain(shard) {
            let problem = format!(
                "names {shard:?}, which is not a file of this folder; take the index from the model's own page"
            );
            return Err(invalid("weight_map", problem));
        }
        if !folder.join(shard).is_file() {
            let problem = format!("names {shard}, which is missing; download it beside the index");
            return Err(invalid("weight_map", problem));
        }
    }
    let files = open_files(folder, &shards)?;
    let numbers: HashMap<&str, usize> = shards.iter().enumerate().map(|(i, s)| (s.as_str(), i)).collect();
    let there: BTreeSet<(&str, usize)> = files.tensors.iter().map(|t| (t.name.as_str(), t.file)).collect();
    for (tensor, shard) in &map {
        if !there.contains(&(tensor.as_str(), numbers[shard.as_str()])) {
            let problem = format!("is not in {shard}; index and files are not of one model, download them again");
            return Err(invalid(&format!("weight_map.{tensor}"), problem));
        }
    }
    Ok(files)
}

/// Tensor to file.
fn weight_map(path: &Path) -> Result<BTreeMap<String, String>, ModelError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = required(path)?;
    let index: Result<Index, _> = serde_json::from_slice(&bytes);
    let map =
        index.map_err(|e| ModelError::invalid(path, "file", format!("{e}; download the index again")))?.weight_map;
    if map.is_empty() {
        return Err(ModelError::invalid(path, "weight_map", "is empty; download the index again"));
    }
    Ok(map)
}

/// Whether a name stays in the folder: an index is a stranger's file.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\\')
}

/// `PREFIX-00001-of-00003.safetensors`.
struct Shard<'a> {
    prefix: &'a str,
    count: usize,
}

fn shard_of(name: &str) -> Option<Shard<'_>> {
    let (rest, count) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (prefix, no) = rest.rsplit_once('-')?;
    no.parse::<usize>().ok()?;
    Some(Shard { prefix, count: count.parse().ok()? })
}

/// The shards of a set without an index: those with the first prefix, all of them.
fn shards<'a>(
    folder: &Path,
    names: impl Iterator<Item = &'a String> + Clone,
) -> Result<Option<BTreeSet<String>>, ModelError> {
    let Some(Shard { prefix, count }) = names.clone().find_map(|n| shard_of(n)) else { return Ok(None) };
    let of_set = |name: &str| shard_of(name).is_some_and(|s| s.prefix == prefix && s.count == count);
    let set: BTreeSet<String> = names.filter(|n| of_set(n)).cloned().collect();
    if set.len() != count {
        let problem = format!("holds {} of the {count} parts of {prefix}; download the others beside them", set.len());
        return Err(ModelError::invalid(folder, "folder", problem));
    }
    Ok(Some(set))
}

fn open_files(folder: &Path, names: &BTreeSet<String>) -> Result<Files, ModelError> {
    let metadata = read_config(&folder.join(CONFIG))?;
    let mut files = Files::new(metadata, Vec::new(), Vec::new());
    for (i, name) in names.iter().enumerate() {
        let path = folder.join(name);
        let bytes = Bytes::map(&path)?;
        files.tensors.extend(parse(&path, &bytes, i)?);
        files.files.push((path, bytes));
    }
    for (number, path) in (2..).zip(dense(folder)?) {
        let bytes = Bytes::map(&path)?;
        let own = parse(&path, &bytes, files.files.len())?;
        files.tensors.extend(
            own.into_iter().map(|tensor| TensorInfo {
                name: tensor.name.replace("linear.", &format!("dense_{number}.")),
                ..tensor
            }),
        );
        files.files.push((path, bytes));
    }
    Ok(files)
}

/// The files of projections after the model, in sentence-transformers' folders. As GGUF has it, they are `dense_2` and `dense_3`.
fn dense(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    #[derive(serde::Deserialize)]
    struct Module {
        path: String,
        r#type: String,
    }
    let path = folder.join("modules.json");
    let Some(bytes) = read_optional(&path)? else { return Ok(Vec::new()) };
    let modules: Vec<Module> = serde_json::from_slice(&bytes)
        .map_err(|e| ModelError::invalid(&path, "file", format!("{e}; download it again")))?;
    let dense = modules.into_iter().filter(|module| module.r#type.ends_with(".Dense"));
    dense
        .map(|module| match is_plain(&module.path) {
            true => Ok(folder.join(module.path).join(SINGLE)),
            false => Err(ModelError::invalid(&path, "path", "names what is not a folder of this folder")),
        })
        .collect()
}

fn read_config(path: &Path) -> Result<Metadata, ModelError> {
    let text = String::from_utf8(required(path)?);
    config(path, &text.map_err(|_| ModelError::invalid(path, "file", "is not UTF-8; download it again"))?)
}

fn required(path: &Path) -> Result<Vec<u8>, ModelError> {
    let missing = || ModelError::invalid(path, "file", "is missing; download it beside the .safetensors files");
    read_optional(path)?.ok_or_else(missing)
}
