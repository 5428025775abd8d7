//! How well documents answer a query, by what a model says to that: the logits of yes and no, as the rerankers of Qwen3 are
//! trained ("Qwen3 Embedding", Zhang et al. 2025).

use std::future::Future;

use serde_json::json;
use text::EncodeOptions;

use crate::{Chat, Embedder, Kind, LoadedModel, Problem};

/// What the model is to do.
const SYSTEM: &str = "Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that \
                      the answer can only be \"yes\" or \"no\".";

/// What a document is looked for where nobody says.
const INSTRUCTION: &str = "Given a web search query, retrieve relevant passages that answer the query";

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

    /// The prompts in which the model is asked about pairs.
    ///
    /// # Errors
    /// If the model does not chat, or a pair is longer than its context.
    pub fn pair_tokens(&self, pairs: &[Pair]) -> Result<Vec<Vec<u32>>, Problem> {
        let read = |pair: &Pair| {
            let instruction = pair.instruction.unwrap_or(INSTRUCTION);
            let asked = format!("<Instruct>: {instruction}\n<Query>: {}\n<Document>: {}", pair.query, pair.document);
            let messages = json!([{ "role": "system", "content": SYSTEM }, { "role": "user", "content": asked }]);
            let mut chat = Chat::new(messages);
            // What is thought about would come before the answer.
            chat.variables.insert("enable_thinking".into(), json!(false));
            let tokens = self.chat_tokens(&chat)?;
            self.check_length(tokens.len(), false)?;
            Ok(tokens)
        };
        pairs.iter().map(read).collect()
    }

    /// How likely the answer to each of these prompts is yes rather than no, 0 to 1.
    ///
    /// # Errors
    /// If the vocabulary has no such words, too many texts wait already, or computing fails.
    pub fn judge(
        &self,
        prompts: Vec<Vec<u32>>,
    ) -> Result<impl Future<Output = Result<Vec<f32>, Problem>> + Send + use<>, Problem> {
        let unsupported = |why: &str| Problem::new(Kind::Unsupported, format!("The model {} {why}.", self.info.name));
        let judge = self.rows.judge.as_ref().ok_or_else(|| unsupported("judges no documents"))?;
        let word = |word: &str| {
            let tokens = self.info.tokenizer.encode(word, EncodeOptions { add_special: false, parse_special: false });
            let unknown = || unsupported(&format!("cannot judge: `{word}` is no token of its own"));
            if let [id] = tokens[..] { Ok(id as usize) } else { Err(unknown()) }
        };
        let (yes, no) = (word("yes")?, word("no")?);
        let logits = judge.vectors(prompts, None)?;
        Ok(async move {
            let likely = |row: Vec<f32>| 1.0 / (1.0 + (row[no] - row[yes]).exp());
            Ok(logits.await?.into_iter().map(likely).collect())
        })
    }
}
