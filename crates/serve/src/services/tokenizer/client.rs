//! The near end: a tokenizer that asks elsewhere.

use std::sync::Arc;

use serde_json::json;
use text::{ChatPrompt, Encode, EncodeError, EncodeOptions, Tokenizer};

use super::{Encoded, Rendered, Texts, Vocabulary};
use crate::services::{Link, Trouble};

/// Makes tokens of texts by asking a service, whose vocabulary is that of a tokenizer of this process.
#[derive(Debug)]
pub struct RemoteTokenizer {
    link: Arc<Link>,
    vocabulary: String,
    /// Ids that there are.
    tokens: usize,
}

impl RemoteTokenizer {
    /// Finds out whether the service's vocabulary is the one of `own`, by which ids become text again.
    ///
    /// # Errors
    /// If it is not, or nobody answers.
    pub fn connect(link: Arc<Link>, own: &Tokenizer) -> Result<RemoteTokenizer, String> {
        let own = Vocabulary::of(own);
        let theirs: Vocabulary = link.ask("/vocabulary", &json!({})).map_err(|trouble| link.sentence(&trouble))?;
        if theirs != own {
            return Err(format!(
                "{} has another vocabulary ({} tokens) than the model ({} tokens): start it with the same --model",
                link.title(),
                theirs.tokens,
                own.tokens
            ));
        }
        Ok(RemoteTokenizer { link, vocabulary: own.vocabulary, tokens: own.tokens })
    }

    /// Asks once more where nobody has heard the first time: the same text has the same tokens, however often it is asked.
    fn ask(&self, path: &str, question: &impl serde::Serialize) -> Result<Vec<u32>, EncodeError> {
        let again = |trouble| match trouble {
            Trouble::Away(_) => self.link.ask(path, question),
            refused @ Trouble::Refused { .. } => Err(refused),
        };
        let answer: Result<Encoded, Trouble> = self.link.ask(path, question).or_else(again);
        let Encoded { ids, vocabulary } = answer.map_err(|trouble| EncodeError(self.link.sentence(&trouble)))?;
        if vocabulary == self.vocabulary && ids.iter().all(|id| (*id as usize) < self.tokens) {
            return Ok(ids);
        }
        let trouble = self.link.failed("its tokens are of another vocabulary than the model's".to_owned());
        Err(EncodeError(self.link.sentence(&trouble)))
    }
}

impl Encode for RemoteTokenizer {
    fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, EncodeError> {
        let EncodeOptions { add_special, parse_special } = options;
        let vocabulary = Some(self.vocabulary.clone());
        self.ask(
            "/encode",
            &Texts { text: text.to_owned(), add_special, parse_special, vocabulary, ..Texts::default() },
        )
    }

    fn encode_chat(&self, prompt: &ChatPrompt) -> Result<Vec<u32>, EncodeError> {
        self.ask("/encode_chat", &Rendered::of(prompt, &self.vocabulary))
    }
}
