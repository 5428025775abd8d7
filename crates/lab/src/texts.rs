//! Texts for calibration and evaluation, kept apart: no passage of the one is in the other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use text::{ChatPrompt, ChatTemplate, Conversation, EncodeOptions, Tokenizer};

use crate::Error;

/// Bytes of a passage, about: long enough to be coherent, short enough that many files are mixed evenly.
const PASSAGE: usize = 2000;
/// Shorter paragraphs (a closing brace, a heading) are not looked for on the other side.
const TELLING: usize = 40;
/// One passage of so many is for evaluation, where no file is given for it.
const SHARE: u8 = 5;

/// The texts of one file.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called in reports: the file's name.
    pub name: String,
    passages: Vec<Passage>,
}

/// What stays together.
#[derive(Clone, Debug)]
enum Passage {
    /// Consecutive paragraphs.
    Text(String),
    /// A conversation, rendered.
    Chat(ChatPrompt),
}

/// Texts of both purposes.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// What the model is calibrated with.
    calibration: Vec<Source>,
    /// What it is evaluated with.
    evaluation: Vec<Source>,
}

impl Source {
    /// Reads a file: conversations, one JSON object a line with `messages` (as OpenAI has them) or `text`, if its name ends with
    /// `.jsonl`; else plain text. Conversations are rendered by the model's own template.
    ///
    /// # Errors
    /// If it cannot be read, is not UTF-8, or a line is neither; and if there are conversations and no template.
    pub fn read(path: &Path, template: Option<&ChatTemplate>) -> Result<Source, Error> {
        let text = std::fs::read(path).map_err(Error::io(path))?;
        let text = String::from_utf8(text).map_err(|_| Error::file(path, "is not UTF-8; give text or JSON lines"))?;
        let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        let is_lines = path.extension().is_some_and(|extension| extension == "jsonl");
        let passages = if is_lines { lines(path, &text, template)? } else { passages(&text) };
        Ok(Source { name, passages })
    }

    /// Plain text.
    pub fn text(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), passages: passages(text) }
    }
}

/// Consecutive paragraphs, cut after a blank line when they are long enough.
fn passages(text: &str) -> Vec<Passage> {
    let (mut passages, mut open) = (Vec::new(), String::new());
    let mut before_is_blank = false;
    for line in text.split_inclusive('\n') {
        let blank = line.trim().is_empty();
        if before_is_blank && !blank && open.len() >= PASSAGE {
            passages.push(Passage::Text(std::mem::take(&mut open)));
        }
        open.push_str(line);
        before_is_blank = blank;
    }
    passages.extend((!open.trim().is_empty()).then_some(Passage::Text(open)));
    passages
}

fn lines(path: &Path, text: &str, template: Option<&ChatTemplate>) -> Result<Vec<Passage>, Error> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let passage = |(number, line): (usize, &str)| {
        let problem = |problem: &str| Error::file(path, format!("line {number} {problem}"));
        let value: Value = serde_json::from_str(line).map_err(|e| problem(&format!("is not JSON: {e}")))?;
        if let Some(text) = value.get("text").and_then(Value::as_str) {
            return Ok(Passage::Text(text.to_owned()));
        }
        let messages = value.get("messages").ok_or_else(|| problem("has neither `messages` nor `text`"))?;
        let Some(template) = template else {
            return Err(problem("is a conversation, and the model has no chat template; give plain text"));
        };
        let conversation = Conversation { add_generation_prompt: false, now: Some(0), ..Conversation::new(messages) };
        template.render(&conversation).map(Passage::Chat).map_err(|e| problem(&format!("cannot be rendered: {e}")))
    };
    lines.map(passage).collect()
}

impl Passage {
    fn text(&self) -> &str {
        match self {
            Passage::Text(text) => text,
            Passage::Chat(prompt) => prompt.text(),
        }
    }

    /// What it is known by: the hashes of its paragraphs, without white space around them.
    fn marks(&self) -> impl Iterator<Item = [u8; 32]> {
        let whole = match self {
            Passage::Chat(prompt) => Some(prompt.text()),
            Passage::Text(_) => None,
        };
        let paragraphs = self.text().split("\n\n").filter(move |_| whole.is_none());
        let telling = paragraphs.map(str::trim).filter(|paragraph| paragraph.len() >= TELLING);
        telling.chain(whole).map(|text| Sha256::digest(text.as_bytes()).into())
    }

    /// Whether it is for evaluation, where nothing else says it: the same passage always is, or never.
    fn is_evaluation(&self) -> bool {
        Sha256::digest(self.text().trim().as_bytes())[0].is_multiple_of(SHARE)
    }

    fn tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        match self {
            Passage::Text(text) => tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: false }),
            Passage::Chat(prompt) => tokenizer.encode_chat(prompt),
        }
    }
}

impl Split {
    /// Sources whose passages are for either purpose by their hashes, and sources for evaluation alone. A passage with a paragraph
    /// that is evaluated, in whatever file, is not calibrated with.
    pub fn new(sources: Vec<Source>, evaluation: Vec<Source>) -> Split {
        let given = !evaluation.is_empty();
        let evaluated = |passage: &Passage| !given && passage.is_evaluation();
        let mut split = Split { calibration: vec![], evaluation };
        for Source { name, passages } in sources {
            let (own, other): (Vec<_>, Vec<_>) = passages.into_iter().partition(evaluated);
            split.calibration.push(Source { name: name.clone(), passages: other });
            split.evaluation.push(Source { name, passages: own });
        }
        let seen = |source: &Source| source.passages.iter().flat_map(Passage::marks).collect::<Vec<_>>();
        let seen: HashSet<[u8; 32]> = split.evaluation.iter().flat_map(seen).collect();
        for source in &mut split.calibration {
            source.passages.retain(|passage| !passage.marks().any(|mark| seen.contains(&mark)));
        }
        split.evaluation.retain(|source| !source.passages.is_empty());
        split.calibration.retain(|source| !source.passages.is_empty());
        split
    }

    /// Reads both kinds of files.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read(data: &[PathBuf], evaluation: &[PathBuf], template: Option<&ChatTemplate>) -> Result<Split, Error> {
        let read =
            |paths: &[PathBuf]| paths.iter().map(|path| Source::read(path, template)).collect::<Result<Vec<_>, _>>();
        Ok(Split::new(read(data)?, read(evaluation)?))
    }

    /// The names of the files that are calibrated with.
    pub fn datasets(&self) -> Vec<String> {
        self.calibration.iter().map(|source| source.name.clone()).collect()
    }

    /// Up to `count` chunks of `length` tokens for calibration: a passage of each file in turn, so that languages and code are mixed.
    pub fn calibration(&self, tokenizer: &Tokenizer, length: usize, count: usize) -> Vec<Vec<u32>> {
        let longest = self.calibration.iter().map(|source| source.passages.len()).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|i| self.calibration.iter().filter_map(move |source| source.passages.get(i)));
        chunks(turns, tokenizer, length, count)
    }

    /// Up to `count` chunks of `length` tokens for evaluation, one file after the other. A file for evaluation alone is tokenized as the
    /// whole that it is, so that its chunks are those of llama.cpp's perplexity.
    pub fn evaluation(&self, tokenizer: &Tokenizer, length: usize, count: usize) -> Vec<Vec<u32>> {
        let whole: Vec<Passage> = self.evaluation.iter().flat_map(|source| joined(&source.passages)).collect();
        chunks(whole.iter(), tokenizer, length, count)
    }
}

/// Passages that end with a line go on in the next one.
fn joined(passages: &[Passage]) -> Vec<Passage> {
    let mut whole: Vec<Passage> = Vec::new();
    for passage in passages {
        match (whole.last_mut(), passage) {
            (Some(Passage::Text(open)), Passage::Text(text)) if open.ends_with('\n') => open.push_str(text),
            _ => whole.push(passage.clone()),
        }
    }
    whole
}

/// Tokens of the passages one after the other, in chunks. Where the model's sequences begin with a token, it stands before all of them
/// and takes the place of each chunk's first, as llama.cpp's perplexity does it.
fn chunks<'p>(
    passages: impl Iterator<Item = &'p Passage>,
    tokenizer: &Tokenizer,
    length: usize,
    count: usize,
) -> Vec<Vec<u32>> {
    let begin = tokenizer.encode("a", EncodeOptions { add_special: true, parse_special: false });
    let begin = tokenizer.bos().filter(|bos| begin.first() == Some(bos));
    let (mut chunks, mut open) = (Vec::new(), Vec::from_iter(begin));
    for passage in passages {
        open.extend(passage.tokens(tokenizer));
        while open.len() >= length.max(1) && chunks.len() < count {
            let rest = open.split_off(length.max(1));
            chunks.push(std::mem::replace(&mut open, rest));
        }
        if chunks.len() >= count {
            break;
        }
    }
    if let Some(begin) = begin {
        chunks.iter_mut().filter_map(|chunk| chunk.first_mut()).for_each(|first| *first = begin);
    }
    chunks
}
