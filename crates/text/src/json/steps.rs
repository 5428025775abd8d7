//! `normalizer`, `pre_tokenizer` and `post_processor` of a tokenizer.json.

use super::field::{Field, Fields};
use crate::TokenizerError;
use crate::base64::base64;
use crate::charsmap::Charsmap;
use crate::normalize::{Bert, Normalizer};
use crate::pretokenize::{Behavior, CharTest, Prepend, Pretokenizer};
use crate::split::Splitter;

/// How deep sequences of steps may be nested.
const DEEPEST: usize = 16;

/// GPT-2's words, which the byte-level step cuts by itself.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The steps of `normalizer`.
pub(crate) fn normalizers(field: &Field) -> Result<Vec<Normalizer>, TokenizerError> {
    flatten(field, "normalizers", DEEPEST)?.iter().filter_map(|step| normalizer(step).transpose()).collect()
}

/// The steps of `pre_tokenizer`.
pub(crate) fn pretokenizers(field: &Field) -> Result<Vec<Pretokenizer>, TokenizerError> {
    let mut steps = Vec::new();
    for step in flatten(field, "pretokenizers", DEEPEST)? {
        pretokenizer(&step, &mut steps)?;
    }
    Ok(steps)
}

/// The ids that `post_processor` puts before and after a text, and between two.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
    pub(super) between: Vec<u32>,
}

/// What the steps of `post_processor` put around texts.
pub(super) fn around(field: &Field) -> Result<Around, TokenizerError> {
    let mut around = Around::default();
    for step in flatten(field, "processors", DEEPEST)? {
        let own = match step.kind() {
            Some("TemplateProcessing") => template(&step)?,
            Some(kind @ ("BertProcessing" | "RobertaProcessing")) => {
                let id = |name| step.field(name).items()?.get(1).map_or(Err(step.error("has no id")), Field::id);
                let end = id("sep")?;
                let between = vec![end; if kind == "BertProcessing" { 1 } else { 2 }];
                Around { before: vec![id("cls")?], after: vec![end], between }
            }
            Some("ByteLevel") => continue,
            _ => return Err(unsupported(&step)),
        };
        around.before.splice(0..0, own.before);
        around.after.extend(own.after);
        around.between.extend(own.between);
    }
    Ok(around)
}

/// Whether the steps put a space before a text, which decoding is to take away.
pub(super) fn adds_space(normalizers: &[Normalizer], pretokenizers: &[Pretokenizer]) -> bool {
    let prepended = |step: &Normalizer| matches!(step, Normalizer::Prepend(p) if p == "▁" || p == " ");
    let words = |s: &Pretokenizer| matches!(s, Pretokenizer::Metaspace { prepend, .. } if *prepend != Prepend::Never);
    normalizers.iter().any(prepended) || pretokenizers.iter().any(words)
}

/// The steps of a step that may be a sequence of sequences.
fn flatten<'a>(field: &Field<'a>, list: &str, deepest: usize) -> Result<Vec<Fields<'a>>, TokenizerError> {
    if field.is_null() {
        return Ok(Vec::new());
    }
    if deepest == 0 {
        return Err(field.error("is nested too deep"));
    }
    let step = field.as_fields()?;
    if step.kind() != Some("Sequence") {
        return Ok(vec![step]);
    }
    let mut steps = Vec::new();
    for part in step.field(list).items()? {
        steps.extend(flatten(&part, list, deepest - 1)?);
    }
    Ok(steps)
}

fn unsupported(step: &Fields) -> TokenizerError {
    match step.kind() {
        Some(kind) => step.field("type").error(format!("{kind:?} is not supported")),
        None => step.error("has no type"),
    }
}

fn normalizer(step: &Fields) -> Result<Option<Normalizer>, TokenizerError> {
    let flag = |name: &str, default| step.field(name).bool_or(default);
    Ok(Some(match step.kind() {
        Some("NFC") => Normalizer::Nfc,
        Some("NFD") => Normalizer::Nfd,
        Some("NFKC") => Normalizer::Nfkc,
        Some("NFKD") => Normalizer::Nfkd,
        Some("Lowercase") => Normalizer::Lowercase,
        Some("StripAccents") => Normalizer::StripAccents,
        Some("Nmt") => Normalizer::Nmt,
        Some("ByteLevel") => Normalizer::ByteLevel,
        Some("Strip") => Normalizer::Strip { left: flag("strip_left", true)?, right: flag("strip_right", true)? },
        Some("Prepend") => Normalizer::Prepend(step.field("prepend").text()?.to_owned()),
        Some("Replace") => Normalizer::Replace(pattern(step)?, step.field("content").text()?.to_owned()),
        Some("BertNormalizer") => {
            let lowercase = flag("lowercase", true)?;
            Normalizer::Bert(Bert {
                clean: flag("clean_text", true)?,
                chinese: flag("handle_chinese_chars", true)?,
                accents: flag("strip_accents", lowercase)?,
                lowercase,
            })
        }
        Some("Precompiled") => {
            let field = step.field("precompiled_charsmap");
            let Some(text) = field.text_if_any()? else { return Ok(None) };
            let bytes = base64(text).ok_or_else(|| field.error("is not base64"))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            Normalizer::Precompiled(Charsmap::new(&bytes).map_err(|e| field.error(e))?)
        }
        _ => return Err(unsupported(step)),
    }))
}

fn pretokenizer(step: &Fields, out: &mut Vec<Pretokenizer>) -> Result<(), TokenizerError> {
    let flag = |name: &str, default| step.field(name).bool_or(default);
    let isolated = Behavior::Isolated;
    let split = |pattern, invert, behavior| Pretokenizer::Split { pattern, behavior, invert };
    let fixed = |pattern: &str| Splitter::new(pattern).map_err(|e| step.error(e));
    match step.kind() {
        Some("ByteLevel") => {
            if flag("add_prefix_space", true)? {
                out.push(Pretokenizer::PrefixSpace);
            }
            if flag("use_regex", true)? {
                out.push(split(fixed(GPT2)?, false, isolated));
            }
            out.push(Pretokenizer::ByteLevel);
        }
        Some("Split") => out.push(split(pattern(step)?, flag("invert", false)?, behavior(&step.field("behavior"))?)),
        Some("Whitespace") => out.push(split(fixed(r"\w+|[^\w\s]+")?, true, Behavior::Removed)),
        Some("WhitespaceSplit") => out.push(Pretokenizer::Chars(CharTest::Space, Behavior::Removed)),
        Some("Digits") if flag("individual_digits", false)? => {
            out.push(Pretokenizer::Chars(CharTest::Number, isolated));
        }
        Some("Digits") => out.push(Pretokenizer::Chars(CharTest::Number, Behavior::Contiguous)),
        Some("Punctuation") => {
            out.push(Pretokenizer::Chars(CharTest::Punctuation, behavior(&step.field("behavior"))?));
        }
        Some("BertPreTokenizer") => out.extend([
            Pretokenizer::Chars(CharTest::Space, Behavior::Removed),
            Pretokenizer::Chars(CharTest::Punctuation, isolated),
        ]),
        Some("CharDelimiterSplit") => {
            out.push(Pretokenizer::Chars(CharTest::Is(step.field("delimiter").char()?), Behavior::Removed));
        }
        Some("FixedLength") => out.push(Pretokenizer::Fixed(step.field("length").count_or(5)?)),
        Some("Metaspace") => out.push(metaspace(step)?),
        _ => return Err(unsupported(step)),
    }
    Ok(())
}

fn metaspace(step: &Fields) -> Result<Pretokenizer, TokenizerError> {
    let prepend = match step.field("prepend_scheme").text_if_any()? {
        _ if !step.field("add_prefix_space").bool_or(true)? => Prepend::Never,
        None | Some("always") => Prepend::Always,
        Some("first") => Prepend::First,
        Some("never") => Prepend::Never,
        Some(other) => return Err(step.field("prepend_scheme").error(format!("{other:?} is not known"))),
    };
    let replacement = step.field("replacement").char()?;
    Ok(Pretokenizer::Metaspace { replacement, prepend, split: step.field("split").bool_or(true)? })
}

fn behavior(field: &Field) -> Result<Behavior, TokenizerError> {
    Ok(match field.text_if_any()? {
        None | Some("Isolated") => Behavior::Isolated,
        Some("Removed") => Behavior::Removed,
        Some("MergedWithPrevious") => Behavior::MergedWithPrevious,
        Some("MergedWithNext") => Behavior::MergedWithNext,
        Some("Contiguous") => Behavior::Contiguous,
        Some(other) => return Err(field.error(format!("{other:?} is not known"))),
    })
}

fn pattern(step: &Fields) -> Result<Splitter, TokenizerError> {
    let pattern = step.fields("pattern")?;
    if pattern.has("String") {
        return Ok(Splitter::Literal(pattern.field("String").text()?.to_owned()));
    }
    let regex = pattern.field("Regex");
    Splitter::new(regex.text()?).map_err(|e| regex.error(e))
}

fn template(step: &Fields) -> Result<Around, TokenizerError> {
    let [before, after, _] = parts_of_template(step, "single")?;
    let between = if step.has("pair") { parts_of_template(step, "pair")?[1].clone() } else { Vec::new() };
    Ok(Around { before, after, between })
}

/// The ids before, after and between texts: those that come after so many of them.
fn parts_of_template(step: &Fields, name: &str) -> Result<[Vec<u32>; 3], TokenizerError> {
    let special = step.field("special_tokens");
    let mut parts = [const { Vec::new() }; 3];
    let mut seen = 0;
    for part in step.field(name).items()? {
        let part = part.as_fields()?;
        if part.has("Sequence") {
            seen = (seen + 1).min(2);
            continue;
        }
        let name = part.fields("SpecialToken")?.field("id").text()?;
        let ids = special.as_fields()?.fields(name)?.field("ids").items()?;
        let ids = ids.iter().map(Field::id).collect::<Result<Vec<u32>, _>>()?;
        parts[seen].extend(ids);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn nesting_is_limited() {
        let mut json = serde_json::json!({"type": "NFC"});
        for _ in 0..20 {
            json = serde_json::json!({"type": "Sequence", "normalizers": [json]});
        }
        assert!(normalizers(&Field { path: "normalizer".into(), value: &json }).is_err());
        assert!(normalizers(&Field { path: String::new(), value: &Value::Null }).is_ok_and(|n| n.is_empty()));
    }
}
