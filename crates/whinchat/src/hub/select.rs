//! Which files of a repository make a model.

use super::{HubError, ModelId};

/// What to download and what to open of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection<'a> {
    /// The files.
    pub(super) files: Vec<&'a str>,
    /// The file to open; the folder itself if none.
    pub(super) open: Option<&'a str>,
}

/// Chooses: the GGUF file asked for (with the other parts of its split), else safetensors with their side files, else
/// the only GGUF file or the Q4_K_M one.
pub(super) fn select<'a>(id: &ModelId, names: &[&'a str]) -> Result<Selection<'a>, HubError> {
    let mut names: Vec<&str> = names.iter().copied().filter(|name| is_safe(name)).collect();
    names.sort_unstable();
    let ggufs: Vec<&str> = names.iter().copied().filter(|n| n.ends_with(".gguf") && !n.contains("mmproj")).collect();
    let firsts: Vec<&str> = ggufs.iter().copied().filter(|n| part(n).is_none_or(|(_, number)| number == 1)).collect();
    if let Some(wanted) = &id.file {
        if let Some(file) = firsts.iter().copied().find(|n| n == wanted) {
            return Ok(with_parts(file, &ggufs));
        }
        let lower = wanted.to_lowercase();
        let fitting: Vec<&str> = firsts.iter().copied().filter(|n| n.to_lowercase().contains(&lower)).collect();
        return match fitting.as_slice() {
            [file] => Ok(with_parts(file, &ggufs)),
            _ => Err(choices(id, &format!("{} files fit {wanted:?}", fitting.len()), &firsts)),
        };
    }
    if names.iter().any(|n| is_weights(n)) {
        return Ok(Selection {
            files: names.into_iter().filter(|n| is_weights(n) || is_side_file(n)).collect(),
            open: None,
        });
    }
    match (firsts.as_slice(), firsts.iter().find(|n| n.to_uppercase().contains("Q4_K_M"))) {
        ([], _) => Err(choices(id, "it has neither safetensors nor GGUF files", &names)),
        ([file], _) | (_, Some(file)) => Ok(with_parts(file, &ggufs)),
        _ => Err(choices(id, "it has several GGUF files", &firsts)),
    }
}

fn choices(id: &ModelId, why: &str, names: &[&str]) -> HubError {
    let list = names.iter().take(40).copied().collect::<Vec<_>>().join(", ");
    let why = format!("{why}; ask for one as {}:FILE. There are: {list}", id.repo);
    HubError::NoFile { id: id.to_string(), why }
}

/// Names come from a stranger and become paths.
fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', ':', '\0'])
        && name.split('/').all(|p| !p.is_empty() && p != "." && p != "..")
}

fn is_weights(name: &str) -> bool {
    !name.contains('/') && name.ends_with(".safetensors")
}

fn is_side_file(name: &str) -> bool {
    const SIDE: [&str; 7] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "chat_template.json",
    ];
    SIDE.contains(&name) || (!name.contains('/') && name.ends_with(".safetensors.index.json"))
}

/// `x-00002-of-00003.gguf` → (`x`, 2).
fn part(name: &str) -> Option<(&str, u32)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    count.parse::<u32>().ok()?;
    Some((stem, number.parse().ok()?))
}

fn with_parts<'a>(file: &'a str, ggufs: &[&'a str]) -> Selection<'a> {
    let files = match part(file) {
        Some((stem, _)) => ggufs.iter().copied().filter(|n| part(n).is_some_and(|(s, _)| s == stem)).collect(),
        None => vec![file],
    };
    Selection { files, open: Some(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, names: &[&str], wanted: Result<(&[&str], Option<&str>), &str>) {
        let id = ModelId::parse(id).expect("an id");
        match (select(&id, names), wanted) {
            (Ok(got), Ok((files, open))) => assert_eq!((got.files.as_slice(), got.open), (files, open)),
            (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{e}"),
            (got, wanted) => panic!("{got:?}, wanted {wanted:?}"),
        }
    }

    #[test]
    fn the_files_of_a_model_are_found() {
        let folder =
            ["README.md", "config.json", "model.safetensors", "tokenizer.json", "onnx/model.onnx", "pytorch_model.bin"];
        check("o/n", &folder, Ok((&["config.json", "model.safetensors", "tokenizer.json"], None)));
        check("o/n", &["a.gguf", "README.md"], Ok((&["a.gguf"], Some("a.gguf"))));
        check("o/n", &["m-Q4_K_M.gguf", "m-Q8_0.gguf"], Ok((&["m-Q4_K_M.gguf"], Some("m-Q4_K_M.gguf"))));
        check("o/n", &["m-Q5_0.gguf", "m-Q8_0.gguf"], Err("m-Q5_0.gguf, m-Q8_0.gguf"));
        check("o/n:q8_0", &["m-Q5_0.gguf", "m-Q8_0.gguf"], Ok((&["m-Q8_0.gguf"], Some("m-Q8_0.gguf"))));
        check("o/n:q2_k", &["m-Q5_0.gguf"], Err("0 files fit"));
        let split = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "x.gguf"];
        check("o/n:m-0", &split, Ok((&split[..2], Some(split[0]))));
        check("o/n", &["README.md"], Err("neither"));
        check("o/n:x", &["../x.gguf", "/x.gguf", "a//x.gguf"], Err("0 files fit"));
    }
}
