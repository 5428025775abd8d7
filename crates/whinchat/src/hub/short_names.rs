//! Short names of popular models. Their table is the page that documents them.

use super::ModelId;

/// The page: `| name | model | … |`, both in backticks.
const PAGE: &str = include_str!("../../../../docs/short-names.md");

/// The model that a short name means, perhaps with another file of its repository behind a colon.
pub(super) fn find(text: &str) -> Option<ModelId> {
    // Names are written with hyphens, as one word; Ollama's have a colon there.
    let name = text.strip_suffix(":latest").unwrap_or(text);
    if let Some(id) = row(&name.replace(':', "-")) {
        return Some(id);
    }
    let (name, file) = name.rsplit_once(':').filter(|(_, file)| !file.is_empty())?;
    Some(ModelId { file: Some(file.to_owned()), ..row(&name.replace(':', "-"))? })
}

fn row(name: &str) -> Option<ModelId> {
    let found = rows().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.and_then(|(_, model)| ModelId::parse(model))
}

/// Names, and what they stand for.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split("` | `");
        Some((cells.next()?, cells.next()?.split('`').next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let check = |text: &str, wanted: Option<&str>| {
            assert_eq!(find(text).map(|id| id.to_string()).as_deref(), wanted, "{text}");
        };
        let qwen = Some("Qwen/Qwen3-0.6B-GGUF:Q8_0");
        for text in ["qwen3-0.6b", "Qwen3-0.6B", "qwen3:0.6b", "qwen3-0.6b:latest"] {
            check(text, qwen);
        }
        check("llama-3.2-1b:Q8_0", Some("bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0"));
        check("gpt-oss:20b", Some("ggml-org/gpt-oss-20b-GGUF"));
        for none in ["", ":", "qwen3", "qwen3-0.6b:", "name", "org/name"] {
            check(none, None);
        }
    }

    #[test]
    fn every_row_names_a_model_once() {
        let all: Vec<_> = rows().collect();
        assert!(all.len() > 25, "the page is no longer read as it is written: {all:?}");
        for (at, (name, model)) in all.iter().enumerate() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            assert!(name.chars().all(plain), "{name}");
            assert_eq!(ModelId::parse(model).map(|id| id.to_string()).as_deref(), Some(*model), "{name}");
            assert!(all[..at].iter().all(|(other, _)| other != name), "{name} is there twice");
        }
    }
}
