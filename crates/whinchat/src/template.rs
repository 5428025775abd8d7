//! Which chat template a model uses: one that was chosen, its own, or ChatML where only its vocabulary has the marks for it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use text::{ChatTemplate, EncodeOptions, TemplateError, Tokenizer, builtin_template, builtin_template_names};

use crate::Error;

/// A longer file is no template.
const LONGEST: u64 = 1 << 20;

/// The template of most models that have none of their own.
const FALLBACK: &str = "chatml";

/// A chat template to use instead of the model's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateChoice {
    origin: TemplateOrigin,
    source: Arc<str>,
}

/// Where a model's chat template comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateOrigin {
    /// The model's own files.
    Model,
    /// The program: chosen by this name.
    Builtin(String),
    /// A file that was chosen.
    File(PathBuf),
    /// The program: the model's files have none, but its vocabulary has the marks of ChatML.
    Fallback,
}

impl TemplateChoice {
    /// Takes a template of the program by its name, else a file with Jinja in it. What has the name of a file too is a file as
    /// `./NAME`.
    ///
    /// # Errors
    /// If there is neither, the file cannot be read, or it is no valid template; the error then has the line.
    pub fn open(name: impl AsRef<Path>) -> Result<TemplateChoice, Error> {
        let name = name.as_ref();
        if let Some((own, source)) = name.to_str().and_then(|own| Some((own, builtin_template(own)?))) {
            return Ok(TemplateChoice { origin: TemplateOrigin::Builtin(own.to_owned()), source: source.into() });
        }
        let source: Arc<str> = read(name)?.into();
        ChatTemplate::new(&source, &[]).map_err(|error| {
            let TemplateError::Syntax(problem) = error else { return error.into() };
            Error::Request(format!("{}: is not a valid chat template: {problem}", name.display()))
        })?;
        Ok(TemplateChoice { origin: TemplateOrigin::File(name.to_owned()), source })
    }
}

impl fmt::Display for TemplateOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateOrigin::Model => f.write_str("the model's own"),
            TemplateOrigin::Builtin(name) => write!(f, "{name}, built in"),
            TemplateOrigin::File(path) => write!(f, "{}", path.display()),
            TemplateOrigin::Fallback => {
                write!(f, "{FALLBACK}, built in: the model has none, but its vocabulary has the marks")
            }
        }
    }
}

/// The text of a template's file.
fn read(path: &Path) -> Result<String, Error> {
    let what = |problem: &str| Error::Request(format!("{}: {problem}", path.display()));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let names = builtin_template_names().collect::<Vec<_>>().join(", ");
            return Err(what(&format!("is neither a file nor a built-in chat template; built in are {names}")));
        }
        Err(source) => return Err(Error::Io { what: format!("reading the chat template {}", path.display()), source }),
        Ok(_) => {}
    }
    if bytes.len() as u64 > LONGEST {
        return Err(what("is longer than any chat template; give a file with Jinja in it"));
    }
    String::from_utf8(bytes).map_err(|_| what("is not text; give a file with Jinja in it, not a model"))
}

/// A model's template, or why it cannot be used (said to whoever asks for a chat, no reason not to load), and where it is from.
pub(crate) struct Resolved {
    pub(crate) template: Result<ChatTemplate, String>,
    /// `None`: there is none.
    pub(crate) origin: Option<TemplateOrigin>,
}

/// The template of a model that has `own`, where `chosen` was chosen.
pub(crate) fn resolve(chosen: Option<&TemplateChoice>, own: Option<&str>, tokenizer: &Tokenizer) -> Resolved {
    let (origin, source) = match (chosen, own) {
        (Some(chosen), _) => (chosen.origin.clone(), &*chosen.source),
        (None, Some(own)) => (TemplateOrigin::Model, own),
        (None, None) => match builtin_template(FALLBACK).filter(|_| has_marks(tokenizer)) {
            Some(source) => (TemplateOrigin::Fallback, source),
            None => {
                let why = "the model has no chat template; use /v1/completions or `whinchat run`, or choose one with \
                           --chat-template";
                return Resolved { template: Err(why.into()), origin: None };
            }
        },
    };
    let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
    let special = [("bos_token", piece(tokenizer.bos())), ("eos_token", piece(tokenizer.eos()))];
    let template = ChatTemplate::new(source, &special).map_err(|e| e.to_string());
    Resolved { template, origin: Some(origin) }
}

/// Whether the marks of ChatML are tokens of the vocabulary: a model that never saw them would go on with them as with any text.
fn has_marks(tokenizer: &Tokenizer) -> bool {
    let options = EncodeOptions { add_special: false, parse_special: true };
    ["<|im_start|>", "<|im_end|>"].iter().all(|mark| tokenizer.encode(mark, options).len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vocabulary of bytes, with these words added as special tokens.
    fn tokenizer(added: &[&str]) -> Tokenizer {
        let vocab: serde_json::Map<String, serde_json::Value> =
            (b'!'..=b'~').enumerate().map(|(i, byte)| (char::from(byte).to_string(), i.into())).collect();
        let special =
            |(i, word): (usize, &&str)| serde_json::json!({ "id": 100 + i, "content": word, "special": true });
        let added: Vec<_> = added.iter().enumerate().map(special).collect();
        let model = serde_json::json!({ "type": "BPE", "vocab": vocab, "merges": [] });
        let json = serde_json::json!({ "model": model, "added_tokens": added }).to_string();
        Tokenizer::from_json(json.as_bytes(), None).expect("a vocabulary")
    }

    #[test]
    fn what_is_chosen_has_the_first_word_and_base_models_have_none() {
        let chosen = TemplateChoice::open("llama3").expect("built in");
        let (plain, marks) = (tokenizer(&["<s>"]), tokenizer(&["<|im_start|>", "<|im_end|>"]));
        let check = |chosen: Option<&TemplateChoice>, own: Option<&str>, tokenizer: &Tokenizer, said: Option<&str>| {
            let resolved = resolve(chosen, own, tokenizer);
            assert_eq!(resolved.origin.map(|origin| origin.to_string()).as_deref(), said);
            assert_eq!(resolved.template.is_ok(), said.is_some());
        };
        check(None, Some("{{ messages }}"), &marks, Some("the model's own"));
        check(Some(&chosen), Some("{{ messages }}"), &marks, Some("llama3, built in"));
        check(Some(&chosen), None, &plain, Some("llama3, built in"));
        let fallback = "chatml, built in: the model has none, but its vocabulary has the marks";
        check(None, None, &marks, Some(fallback));
        check(None, None, &plain, None);
        check(None, None, &tokenizer(&["<|im_start|>"]), None);
    }

    #[test]
    fn what_is_no_template_is_said_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |content: &[u8], parts: &[&str]| {
            let file = folder.path().join("own.jinja");
            std::fs::write(&file, content).expect("written");
            let said = TemplateChoice::open(&file).map_or_else(|e| e.to_string(), |choice| choice.origin.to_string());
            assert!(parts.iter().chain(&["own.jinja"]).all(|part| said.contains(part)), "{said}");
        };
        check(b"{{ messages[0].content }}", &[]);
        check(b"{% for m in messages %}\n{{ m }\n", &["not a valid chat template", "(line 2)"]);
        check(b"GGUF\xff\xfe", &["is not text"]);
        check(&vec![b' '; (1 << 20) + 1], &["longer than any"]);
        let said = |name: &Path| TemplateChoice::open(name).expect_err("it is none").to_string();
        assert!(
            said(Path::new("llama4")).contains("built in are chatml, deepseek3, gemma"),
            "{}",
            said("llama4".as_ref())
        );
        assert!(said(folder.path()).contains("reading the chat template"), "{}", said(folder.path()));
    }
}
