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

/// Taken in this order where several GGUF files are there and none is asked for.
const PREFERRED: [&str; 3] = ["q4_k_m", "q4_0", "q8_0"];

/// Chooses: the GGUF file asked for (with the other parts of its split), else safetensors with their side files, else
/// the only GGUF file or one of a usual type.
pub(super) fn select<'a>(id: &ModelId, names: &[&'a str]) -> Result<Selection<'a>, HubError> {
    let mut names: Vec<&str> = names.iter().copied().filter(|name| is_safe(name)).collect();
    names.sort_unstable();
    let ggufs: Vec<&str> = names.iter().copied().filter(|n| is_model(n)).collect();
    let firsts: Vec<&str> = ggufs.iter().copied().filter(|n| part(n).is_none_or(|(_, number)| number == 1)).collect();
    if let Some(wanted) = &id.file {
        return match best(wanted, &firsts).as_slice() {
            [file] => Ok(with_parts(file, &ggufs)),
            [] => Err(choices(id, &format!("no GGUF file fits {wanted:?}"), &firsts)),
            several => Err(choices(id, &format!("{} files fit {wanted:?}", several.len()), several)),
        };
    }
    let weights = weights(&names);
    if !weights.is_empty() {
        let files = names.into_iter().filter(|n| weights.contains(n) || is_side_file(n)).collect();
        return Ok(Selection { files, open: None });
    }
    let preferred = PREFERRED.iter().map(|tag| best(tag, &firsts)).find(|fitting| !fitting.is_empty());
    match (firsts.as_slice(), preferred.as_deref()) {
        ([], _) => Err(choices(id, "it has neither safetensors nor GGUF files", &names)),
        ([file], _) | (_, Some([file])) => Ok(with_parts(file, &ggufs)),
        _ => Err(choices(id, "it has several GGUF files", &firsts)),
    }
}

/// Whether a file is a GGUF model, or the first part of one.
pub(super) fn begins(name: &str) -> bool {
    is_safe(name) && is_model(name) && part(name).is_none_or(|(_, number)| number == 1)
}

/// The files that fit `wanted` best. A tag is a whole word: `F16` is none of `BF16`'s, `Q4_0` none of `Q4_0_4_4`'s.
fn best<'a>(wanted: &str, files: &[&'a str]) -> Vec<&'a str> {
    let ranks = files.iter().filter_map(|file| Some((rank(wanted, file)?, *file))).collect::<Vec<_>>();
    let first = ranks.iter().map(|(rank, _)| *rank).min();
    ranks.into_iter().filter(|(rank, _)| Some(*rank) == first).map(|(_, file)| file).collect()
}

/// How well a file fits, 0 best; `None` if it does not.
fn rank(wanted: &str, file: &str) -> Option<usize> {
    let (folders, name) = file.rsplit_once('/').unwrap_or(("", file));
    if file == wanted || name == wanted {
        return Some(usize::from(file != wanted));
    }
    let [wanted, folders, name] = [wanted, folders, name].map(str::to_lowercase);
    let wanted = wanted.trim_end_matches(".gguf");
    let stem = part(&name).map_or(name.trim_end_matches(".gguf"), |(stem, _)| stem);
    match stem.strip_suffix(wanted) {
        // The tag is all that follows the model's name: `UD-Q4_K_M` is another one than `Q4_K_M`.
        Some(before) if before.is_empty() || before.ends_with(['-', '.']) && !is_dynamic(before) => Some(2),
        _ if folders == wanted || folders.split('/').any(|folder| folder == wanted) => Some(2),
        Some(before) if before.ends_with('-') || before.ends_with('_') && is_type(wanted) => Some(3),
        _ => has_words(stem, wanted).then_some(4),
    }
}

/// Whether `before` is a name and the `UD-` that makes another type of what follows.
fn is_dynamic(before: &str) -> bool {
    before == "ud-" || before.ends_with("-ud-")
}

/// Whether a word reads as a type, as `q4_k_m`, and not as a part of one, as `k_m` or `4_4`.
fn is_type(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.contains(|c: char| c.is_ascii_digit())
}

/// Whether `words` stand in `stem`, not as a part of longer ones.
fn has_words(stem: &str, words: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    stem.match_indices(words)
        .any(|(at, _)| !joins(stem[..at].chars().next_back()) && !joins(stem[at + words.len()..].chars().next()))
}

fn choices(id: &ModelId, why: &str, names: &[&str]) -> HubError {
    let list = names.iter().take(40).copied().collect::<Vec<_>>().join(", ");
    let why = format!("{why}; ask for one as {}:FILE. There are: {list}", id.repo);
    HubError::NoFile { id: id.to_string(), why }
}

/// Names come from a stranger and become paths.
fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', ':'])
        && !name.contains(char::is_control)
        && name.split('/').all(|p| !p.is_empty() && p != "." && p != "..")
}

/// GGUF files with a language model: not the projectors of vision models and not statistics.
fn is_model(name: &str) -> bool {
    let stem = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    stem.ends_with(".gguf") && !stem.contains("mmproj") && !stem.contains("imatrix")
}

/// The safetensors files that are opened later: one, or the shards, but not a second copy of the same weights.
fn weights<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let all = || names.iter().copied().filter(|n| !n.contains('/') && n.ends_with(".safetensors"));
    if let Some(single) = all().find(|n| *n == "model.safetensors") {
        return vec![single];
    }
    let shards = all().filter(|n| n.starts_with("model-") && n.contains("-of-"));
    let others = all().filter(|n| !n.starts_with("consolidated"));
    let choices = [shards.collect::<Vec<_>>(), others.collect(), all().collect()];
    choices.into_iter().find(|choice| !choice.is_empty()).unwrap_or_default()
}

fn is_side_file(name: &str) -> bool {
    const SIDE: [&str; 13] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "chat_template.json",
        // How sentence-transformers makes vectors of a model.
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
        "1_LogitScore/config.json",
        "2_Dense/model.safetensors",
        "3_Dense/model.safetensors",
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
        let parsed = ModelId::parse(id).expect("an id");
        match (select(&parsed, names), wanted) {
            (Ok(got), Ok((files, open))) => {
                assert_eq!((got.files.as_slice(), got.open), (files, open), "{id} {names:?}");
            }
            (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{id}: {e}"),
            (got, wanted) => panic!("{id} {names:?}: {got:?}, wanted {wanted:?}"),
        }
    }

    /// One GGUF file is chosen, or none with a reason.
    fn check_tag(tag: &str, names: &[&str], wanted: Result<&str, &str>) {
        let id = if tag.is_empty() { "o/n".to_owned() } else { format!("o/n:{tag}") };
        let one = wanted.as_ref().map_or([""], |name| [*name]);
        check(&id, names, wanted.map(|name| (&one[..], Some(name))));
    }

    #[test]
    fn a_tag_is_the_whole_type() {
        let all = [
            "m-BF16.gguf",
            "m-IQ4_XS.gguf",
            "m-Q4_0.gguf",
            "m-Q4_0_4_4.gguf",
            "m-Q4_K_M.gguf",
            "m-Q4_K_S.gguf",
            "m-UD-Q4_K_M.gguf",
            "m-UD-Q4_K_XL.gguf",
            "m-imatrix.gguf",
            "mmproj-F16.gguf",
        ];
        check_tag("BF16", &all, Ok("m-BF16.gguf"));
        check_tag("F16", &all, Err("no GGUF file fits \"F16\""));
        check_tag("q4_0", &all, Ok("m-Q4_0.gguf"));
        check_tag("Q4_0_4_4", &all, Ok("m-Q4_0_4_4.gguf"));
        check_tag("Q4_K_M", &all, Ok("m-Q4_K_M.gguf"));
        check_tag("UD-Q4_K_M", &all, Ok("m-UD-Q4_K_M.gguf"));
        check_tag("Q4_K_XL", &all, Ok("m-UD-Q4_K_XL.gguf"));
        check_tag("m-Q4_K_S.gguf", &all, Ok("m-Q4_K_S.gguf"));
        check_tag("m-Q4_K_S", &all, Ok("m-Q4_K_S.gguf"));
        check_tag("Q4_K_M.gguf", &all, Ok("m-Q4_K_M.gguf"));
        check_tag("m", &all, Err("8 files fit"));
        for none in ["Q4_K", "Q4", "XS", "4_4", "K_M"] {
            check_tag(none, &all, Err("no GGUF file fits"));
        }
        check_tag("", &all, Ok("m-Q4_K_M.gguf"));
        // Other ways to write names.
        check_tag("q4_k_m", &["m.Q4_K_M.gguf", "m.Q4_K_S.gguf"], Ok("m.Q4_K_M.gguf"));
        check_tag("q4_k_m", &["m_Q4_K_M.gguf", "m_Q4_K_S.gguf"], Ok("m_Q4_K_M.gguf"));
        check_tag("F16", &["BF16/m.gguf", "F16/m.gguf"], Ok("F16/m.gguf"));
        check_tag("m.gguf", &["F16/m.gguf"], Ok("F16/m.gguf"));
        check_tag("it", &["a-it-Q8_0.gguf", "a-pt-Q8_0.gguf"], Ok("a-it-Q8_0.gguf"));
        check_tag("Q8_0", &["a-it-Q8_0.gguf", "a-pt-Q8_0.gguf"], Err("2 files fit \"Q8_0\""));
        check_tag("Q8_0", &["model.safetensors", "config.json"], Err("no GGUF file fits"));
    }

    #[test]
    fn without_a_tag_a_usual_type_is_taken() {
        check_tag("", &["a.gguf", "README.md"], Ok("a.gguf"));
        check_tag("", &["m-Q4_K_M.gguf", "m-Q8_0.gguf"], Ok("m-Q4_K_M.gguf"));
        check_tag("", &["m-Q5_0.gguf", "m-Q8_0.gguf"], Ok("m-Q8_0.gguf"));
        check_tag("", &["m-UD-Q4_K_M.gguf", "m-UD-Q2_K.gguf"], Ok("m-UD-Q4_K_M.gguf"));
        check_tag("", &["m-F16.gguf", "mmproj-m-F16.gguf"], Ok("m-F16.gguf"));
        check_tag("", &["m-Q5_0.gguf", "m-Q6_K.gguf"], Err("m-Q5_0.gguf, m-Q6_K.gguf"));
        check_tag("", &["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], Err("several GGUF files"));
        check_tag("", &["README.md"], Err("neither"));
        check_tag("x", &["../x.gguf", "/x.gguf", "a//x.gguf", "\u{1b}[31mx.gguf"], Err("no GGUF file fits"));
    }

    #[test]
    fn parts_of_a_split_come_together() {
        let split = ["UD-Q2/m-UD-Q2-00001-of-00002.gguf", "UD-Q2/m-UD-Q2-00002-of-00002.gguf", "x.gguf"];
        for tag in ["UD-Q2", "q2", "m-UD-Q2-00001-of-00002.gguf"] {
            check(&format!("o/n:{tag}"), &split, Ok((&split[..2], Some(split[0]))));
        }
        check("https://hf.co/o/n/tree/main/UD-Q2", &split, Ok((&split[..2], Some(split[0]))));
    }

    #[test]
    fn weights_are_not_fetched_twice() {
        let side = ["README.md", "config.json", "onnx/model.onnx", "pytorch_model.bin", "tokenizer.json"];
        let check = |weights: &[&str], wanted: &[&str]| {
            let names = [&side[..], weights].concat();
            let mut files = [&["config.json", "tokenizer.json"], wanted].concat();
            files.sort_unstable();
            check("o/n", &names, Ok((&files, None)));
        };
        check(&["model.safetensors"], &["model.safetensors"]);
        check(&["consolidated.safetensors"], &["consolidated.safetensors"]);
        check(&["weights.safetensors"], &["weights.safetensors"]);
        check(&["model.safetensors", "consolidated.safetensors", "model.fp16.safetensors"], &["model.safetensors"]);
        let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        let index = ["model.safetensors.index.json"];
        check(&[&shards[..], &["consolidated.safetensors"], &index].concat(), &[&shards[..], &index].concat());
        check(&["a.safetensors", "consolidated.safetensors"], &["a.safetensors"]);
        let dense = ["1_Pooling/config.json", "2_Dense/model.safetensors", "model.safetensors", "modules.json"];
        check(&[&dense[..], &["onnx/model.safetensors"]].concat(), &dense);
    }
}
