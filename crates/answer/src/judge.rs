//! How well documents answer a query: by what a model says to that, the logits of yes and no, as the rerankers of Qwen3 are trained
//! ("Qwen3 Embedding", Zhang et al. 2025); by an encoder's head; or by how alike their vectors are.

use std::future::Future;
use std::pin::Pin;

use engine::Pooling;
use serde_json::json;
use text::{ChatPrompt, EncodeOptions};

use crate::{Chat, Embedder, Kind, LoadedModel, Problem, PromptText, Scoring, TextTokens};

/// What the model is to do.
const SYSTEM: &str = "Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that \
                      the answer can only be \"yes\" or \"no\".";

/// What a document is looked for where nobody says.
const INSTRUCTION: &str = "Given a web search query, retrieve relevant passages that answer the query";

/// Bytes of a prompt after which no more is put into it.
const LONGEST: usize = 64 << 20;

/// A query and a document, and what the document is to do for the query.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// What is asked.
    pub query: &'a str,
    /// What may answer it.
    pub document: &'a str,
    /// What is looked for (default: passages that answer a web search).
    pub instruction: Option<&'a str>,
}

impl LoadedModel {
    /// Lets it judge pairs; the vectors of `logits` are rows of logits.
    #[must_use]
    pub fn with_judge(mut self, logits: Embedder) -> LoadedModel {
        self.rows.judge = Some(logits);
        self
    }

    /// With a prompt that ranks a document, `{query}` and `{document}` in it, instead of the chat template's.
    #[must_use]
    pub fn with_pair_template(mut self, template: Option<String>) -> LoadedModel {
        self.rows.pair_template = template;
        self
    }

    /// Numbers of a row of [`LoadedModel::logits`]; `None` if it gives none.
    pub fn logits_width(&self) -> Option<usize> {
        self.rows.judge.as_ref().map(Embedder::width)
    }

    /// The logits after each of these tokens, row after row. The future ends when all are computed; dropping it gives them up.
    ///
    /// # Errors
    /// If the model gives no logits, too many texts wait already, or computing fails.
    pub fn logits(
        &self,
        tokens: Vec<u32>,
    ) -> Result<impl Future<Output = Result<Vec<f32>, Problem>> + Send + use<>, Problem> {
        let why = || Problem::new(Kind::Unsupported, format!("The model {} gives no logits.", self.info.name));
        let rows = self.rows.judge.as_ref().ok_or_else(why)?.vectors(vec![tokens.into()], Some(Pooling::Rows))?;
        Ok(async move { Ok(rows.await?.into_iter().flatten().collect()) })
    }

    /// What is read of each pair: a prompt in which the model is asked about it, the two as one text, or each of them.
    ///
    /// # Errors
    /// If the model does not chat and has no other way, or a prompt is longer than its context.
    pub fn pair_tokens(&self, pairs: &[Pair]) -> Result<PairTokens, Problem> {
        let texts: Vec<TextTokens> = match self.reading().scoring {
            Scoring::Asked | Scoring::AskedHead { .. } => {
                pairs.iter().map(|pair| self.asked(pair)).collect::<Result<_, Problem>>()?
            }
            Scoring::Head(_) => pairs.iter().map(|pair| self.joined(pair)).collect::<Result<_, Problem>>()?,
            Scoring::Alike => return self.apart(pairs),
        };
        Ok(PairTokens { places: (0..texts.len()).map(|i| [i, i]).collect(), texts })
    }

    /// The prompt in which the model is asked about a pair. Of one that is too long the document is cut, and then the query; what comes
    /// after them stays.
    fn asked(&self, pair: &Pair) -> Result<TextTokens, Problem> {
        let (mut ids, most) = (self.pair_prompt(pair)?, self.longest_text());
        if ids.len() <= most {
            return Ok(ids.into());
        }
        let short = |document| self.pair_prompt(&Pair { query: "", document, ..*pair });
        let (none, some) = (short("")?, short("x")?);
        let same = none.iter().rev().zip(some.iter().rev()).take_while(|(a, b)| a == b).count();
        let after = &none[none.len() - same..];
        if none.len() > most || !ids.ends_with(after) {
            let message = format!(
                "The prompt that ranks a document has {} tokens, {} of them beside query and document, and the model reads {most}. Shorten \
                 the texts or raise --context.",
                ids.len(),
                none.len()
            );
            return Err(Problem::new(Kind::ContextLength, message));
        }
        ids.truncate(most - same);
        ids.extend(after);
        Ok(TextTokens { ids, second: None, cut: true })
    }

    /// The tokens of the prompt in which the model is asked about a pair.
    fn pair_prompt(&self, pair: &Pair) -> Result<Vec<u32>, Problem> {
        if let Some(template) = &self.rows.pair_template {
            return Ok(self.encoder.encode_chat(&filled(template, pair)?)?);
        }
        let mut chat = match &self.info.template {
            Ok(template) if template.ranks() => ranked(pair),
            _ => judged(pair),
        };
        // What is thought about would come before the answer.
        chat.variables.insert("enable_thinking".into(), json!(false));
        self.chat_tokens(&chat)
    }

    /// Both texts of a pair as one.
    fn joined(&self, pair: &Pair) -> Result<TextTokens, Problem> {
        let plain = EncodeOptions { add_special: false, parse_special: false };
        let (query, document) = (self.text_tokens(pair.query, plain)?, self.text_tokens(pair.document, plain)?);
        let (ids, second, cut) = self.info.tokenizer.pair([&query, &document], self.longest_text());
        Ok(TextTokens { ids, second: Some(second).filter(|_| self.reading().types), cut })
    }

    /// Each text of the pairs; of queries that are the same one.
    fn apart(&self, pairs: &[Pair]) -> Result<PairTokens, Problem> {
        let text = |text: &str| PromptText::Text(text.to_owned());
        let mut queries: Vec<&str> = pairs.iter().map(|pair| pair.query).collect();
        queries.dedup();
        let all: Vec<PromptText> =
            queries.iter().copied().chain(pairs.iter().map(|pair| pair.document)).map(text).collect();
        let texts = self.embedding_tokens("documents", &all, (None, None))?;
        let mut query = 0;
        let places = pairs.iter().enumerate().map(|(i, pair)| {
            query += usize::from(queries[query] != pair.query);
            [query, queries.len() + i]
        });
        Ok(PairTokens { places: places.collect(), texts })
    }

    /// How well the document of each pair answers its query: 0 to 1, or, by how alike their vectors are, −1 to 1.
    ///
    /// # Errors
    /// If the model has no way to judge, too many texts wait already, or computing fails.
    pub fn judge(
        &self,
        pairs: PairTokens,
    ) -> Result<impl Future<Output = Result<Vec<f32>, Problem>> + Send + use<>, Problem> {
        let PairTokens { texts, places } = pairs;
        let scoring = self.reading().scoring;
        let judge = || self.rows.judge.as_ref().ok_or_else(|| self.cannot_judge("judges no documents"));
        let (mut yes, mut no) = (0, None);
        let rows: Rows = match scoring {
            Scoring::Alike => Box::pin(self.embed(texts, None)?),
            Scoring::Head(labels) if labels != 1 => {
                return Err(self.cannot_judge(&format!("has {labels} labels, where a ranking needs one score")));
            }
            Scoring::Head(_) => Box::pin(judge()?.vectors(texts, None)?),
            Scoring::AskedHead { yes: first, no: second } => {
                (yes, no) = (first, second);
                Box::pin(judge()?.vectors(texts, None)?)
            }
            Scoring::Asked => {
                let judge = judge()?;
                (yes, no) = self.words()?;
                Box::pin(judge.vectors(texts, None)?)
            }
        };
        Ok(async move {
            let rows = rows.await?;
            let score = |[query, document]: [usize; 2]| match scoring {
                Scoring::Alike => alike(&rows[query], &rows[document]),
                _ => sigmoid(rows[query][yes] - no.map_or(0.0, |no| rows[query][no])),
            };
            Ok(places.into_iter().map(score).collect())
        })
    }

    /// The tokens of yes and no, or those that the model's files name instead.
    fn words(&self) -> Result<(usize, Option<usize>), Problem> {
        if let Some((yes, no)) = self.reading().words {
            let known = |id: u32| self.logits_width().is_some_and(|width| (id as usize) < width);
            if !known(yes) || no.is_some_and(|no| !known(no)) {
                return Err(self.cannot_judge("cannot judge: its 1_LogitScore names a token that it does not have"));
            }
            return Ok((yes as usize, no.map(|no| no as usize)));
        }
        let word = |word: &str| {
            let tokens = self.info.tokenizer.encode(word, EncodeOptions { add_special: false, parse_special: false });
            let unknown = || self.cannot_judge(&format!("cannot judge: `{word}` is no token of its own"));
            if let [id] = tokens[..] { Ok(id as usize) } else { Err(unknown()) }
        };
        Ok((word("yes")?, Some(word("no")?)))
    }

    fn cannot_judge(&self, why: &str) -> Problem {
        Problem::new(Kind::Unsupported, format!("The model {} {why}.", self.info.name))
    }
}

/// The question to a model that chats, in the words in which rerankers of Qwen3 are trained.
fn judged(pair: &Pair) -> Chat {
    let instruction = pair.instruction.unwrap_or(INSTRUCTION);
    let asked = format!("<Instruct>: {instruction}\n<Query>: {}\n<Document>: {}", pair.query, pair.document);
    Chat::new(json!([{ "role": "system", "content": SYSTEM }, { "role": "user", "content": asked }]))
}

/// The pair as messages of its own roles, for a template with the question in it.
fn ranked(pair: &Pair) -> Chat {
    let instruction = pair.instruction.map(|text| json!({ "role": "system", "content": text }));
    let [query, document] = [("query", pair.query), ("document", pair.document)]
        .map(|(role, text)| json!({ "role": role, "content": text }));
    Chat::new(instruction.into_iter().chain([query, document]).collect())
}

/// A prompt with the pair in its places. Only what the template has in it can be control tokens.
fn filled(template: &str, pair: &Pair) -> Result<ChatPrompt, Problem> {
    let mut places = vec![("{query}", pair.query), ("{document}", pair.document)];
    if let Some(instruction) = pair.instruction {
        if !template.contains(INSTRUCTION) {
            let message = "instruction: the model's prompt for ranking has one of its own. Leave it out.";
            return Err(Problem::of(Kind::Unsupported, "instruction", message));
        }
        places.push((INSTRUCTION, instruction));
    }
    let (mut text, mut parts, mut rest) = (String::new(), Vec::new(), template);
    let next = |rest: &str| places.iter().filter_map(|(name, value)| Some((rest.find(name)?, *name, *value))).min();
    // A template may name a place many times.
    while let Some((at, name, value)) = next(rest).filter(|_| text.len() <= LONGEST) {
        text += &rest[..at];
        parts.push((text.len(), true));
        text += value;
        parts.push((text.len(), false));
        rest = &rest[at + name.len()..];
    }
    text += rest;
    parts.push((text.len(), true));
    // Of parts that end where the one before does there is nothing.
    parts.dedup_by_key(|part| part.0);
    parts.retain(|part| part.0 > 0);
    let broken = || Problem::new(Kind::Internal, "The prompt for ranking could not be put together.");
    ChatPrompt::of_parts(text, &parts, template).ok_or_else(broken)
}

/// Rows of texts, some time.
type Rows = Pin<Box<dyn Future<Output = Result<Vec<Vec<f32>>, Problem>> + Send>>;

/// The texts that are read of some pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairTokens {
    /// The texts.
    pub texts: Vec<TextTokens>,
    /// Which of them are each pair's query and document; the same one where both are one text.
    places: Vec<[usize; 2]>,
}

impl PairTokens {
    /// The pairs of which a text was too long, and is cut.
    pub fn cut(&self) -> impl Iterator<Item = usize> {
        let cut = |pair: &[usize; 2]| pair.iter().any(|&text| self.texts[text].cut);
        self.places.iter().enumerate().filter(move |(_, pair)| cut(pair)).map(|(i, _)| i)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The cosine of the angle between two vectors.
fn alike(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 }
}
