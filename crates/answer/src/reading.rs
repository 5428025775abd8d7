//! How a model takes texts that it turns into vectors or scores.

use text::EncodeOptions;

use crate::{Kind, LoadedModel, Problem, PromptText};

/// How a model takes texts that it turns into vectors or scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether it only reads, as encoders and models with a head for scores do: it continues no text.
    pub only: bool,
    /// Tokens of a text at most, if its makers say fewer than the context has.
    pub most: Option<usize>,
    /// Whether longer texts are cut where nobody says what becomes of them: it is made for vectors or scores.
    pub cuts: bool,
    /// The tokens that answer a question about a document where they are not those of yes and no. The second, if there is one, speaks
    /// against the document.
    pub words: Option<(u32, Option<u32>)>,
    /// Whether the second of two texts has tokens of the second type.
    pub types: bool,
    /// How a query and a document become a score.
    pub scoring: Scoring,
}

/// How a query and a document become a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scoring {
    /// The model is asked, and its logits of yes and no are compared.
    #[default]
    Asked,
    /// The model is asked, and its head gives the logits of yes and of no at these places; without one of no, how much more likely yes
    /// is.
    AskedHead {
        /// Of yes.
        yes: usize,
        /// Of no.
        no: Option<usize>,
    },
    /// The model's head gives so many numbers for the two as one text.
    Head(usize),
    /// By how alike their vectors are.
    Alike,
}

/// A text as tokens, to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextTokens {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Where those of the second type begin.
    pub second: Option<usize>,
    /// Whether the text was longer and is cut.
    pub cut: bool,
}

impl From<Vec<u32>> for TextTokens {
    fn from(ids: Vec<u32>) -> TextTokens {
        TextTokens { ids, ..TextTokens::default() }
    }
}

impl LoadedModel {
    /// Says how it takes texts that become vectors or scores.
    #[must_use]
    pub fn with_reading(mut self, reading: Reading) -> LoadedModel {
        self.rows.reading = reading;
        self
    }

    /// How it takes texts that become vectors or scores.
    pub fn reading(&self) -> Reading {
        self.rows.reading
    }

    /// The longest text that it reads, in tokens.
    pub(crate) fn longest_text(&self) -> usize {
        self.reading().most.unwrap_or(usize::MAX).min(self.context())
    }

    /// Whether it continues texts.
    ///
    /// # Errors
    /// If it only reads them.
    pub(crate) fn check_continues(&self) -> Result<(), Problem> {
        if !self.reading().only {
            return Ok(());
        }
        let name = &self.info.name;
        let message = format!(
            "The model {name} writes no text: it gives vectors and scores of texts. Ask it for embeddings or a ranking, or choose a \
             model that generates."
        );
        Err(Problem::of(Kind::Unsupported, "model", message))
    }

    /// The tokens of each text, of at most `most` tokens each (default: as many as the model reads). What is longer is cut to it or
    /// refused, as `cut` says (default: as the model does).
    ///
    /// # Errors
    /// If a text is empty, too long, or has a token that is not in the vocabulary; `param` is where the texts come from.
    pub fn embedding_tokens(
        &self,
        param: &str,
        texts: &[PromptText],
        (most, cut): (Option<usize>, Option<bool>),
    ) -> Result<Vec<TextTokens>, Problem> {
        let (most, cut) = (most.unwrap_or(usize::MAX).min(self.longest_text()), cut.unwrap_or(self.reading().cuts));
        let read = |(i, text): (usize, &PromptText)| {
            let param = if texts.len() == 1 { param.to_owned() } else { format!("{param}[{i}]") };
            let mut ids = match text {
                PromptText::Text(text) => {
                    self.text_tokens(text, EncodeOptions { add_special: true, parse_special: false })?
                }
                PromptText::Tokens(tokens) => tokens.clone(),
            };
            self.check_tokens(&param, ids.iter().copied())?;
            if ids.is_empty() {
                return Err(Problem::of(Kind::InvalidValue, &param, format!("{param} has no tokens. Write a text.")));
            }
            if ids.len() > most && !cut {
                let length = ids.len();
                let message = format!("{param} has {length} tokens; at most {most} can be embedded. Shorten it.");
                return Err(Problem { param: Some(param), ..Problem::new(Kind::ContextLength, message) });
            }
            let cut = self.info.tokenizer.cut(&mut ids, most);
            Ok(TextTokens { ids, second: None, cut })
        };
        texts.iter().enumerate().map(read).collect()
    }
}
