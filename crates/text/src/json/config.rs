//! tokenizer_config.json: special tokens by role, further added tokens, what goes around a text.

use serde_json::Value;

use super::check_id;
use super::field::Fields;
use crate::TokenizerError;
use crate::special::Special;

/// Roles and their keys.
const ROLES: [(&str, &str); 5] = [
    ("bos", "bos_token"),
    ("eos", "eos_token"),
    ("unknown", "unk_token"),
    ("padding", "pad_token"),
    ("mask", "mask_token"),
];

/// What the file says; nothing where there is none.
#[derive(Debug, Default)]
pub(crate) struct Config<'a> {
    /// `added_tokens_decoder`, by id.
    pub added: Vec<(u32, Fields<'a>)>,
    tokens: Vec<(&'static str, String)>,
    add_bos: Option<bool>,
    add_eos: Option<bool>,
}

impl<'a> Config<'a> {
    /// Reads what matters; a special token is a text or an object with the text as `content`.
    pub(crate) fn new(config: Option<&'a Value>) -> Result<Config<'a>, TokenizerError> {
        let Some(config) = config else { return Ok(Config::default()) };
        let flag = |name: &str| config.get(name).and_then(Value::as_bool);
        let token = |key: &str| {
            let token = config.get(key)?;
            Some(token.as_str().or_else(|| token.get("content")?.as_str())?.to_owned())
        };
        let tokens = ROLES.iter().filter_map(|(role, key)| Some((*role, token(key)?))).collect();
        let mut added = Vec::new();
        if let Some(decoder) = config.get("added_tokens_decoder").filter(|d| !d.is_null()) {
            let wrong = |id: &str| TokenizerError::new(format!("added_tokens_decoder.{id}"), "is not a token id");
            for (id, token) in Fields::root(decoder)?.iter() {
                let number = id.parse().map_err(|_| wrong(id))?;
                added.push((check_id(number, || format!("added_tokens_decoder.{id}"))?, token.as_fields()?));
            }
        }
        Ok(Config { added, tokens, add_bos: flag("add_bos_token"), add_eos: flag("add_eos_token") })
    }

    /// The unknown token's piece.
    pub(crate) fn unknown(&self) -> Option<&str> {
        self.piece("unknown")
    }

    /// The padding token's piece.
    pub(crate) fn padding(&self) -> Option<&str> {
        self.piece("padding")
    }

    /// The mask token's piece.
    pub(crate) fn mask(&self) -> Option<&str> {
        self.piece("mask")
    }

    fn piece(&self, role: &str) -> Option<&str> {
        self.tokens.iter().find(|(r, _)| *r == role).map(|(_, piece)| piece.as_str())
    }

    /// The ids of the special tokens.
    pub(crate) fn special(&self, id: impl Fn(&str) -> Option<u32>) -> Special {
        let mut special = Special::default();
        for (role, piece) in &self.tokens {
            if let Some(id) = id(piece) {
                special.set(role, id);
            }
        }
        special
    }

    /// What goes around a text: what `add_bos_token` and `add_eos_token` say, else what the post-processor does.
    pub(crate) fn around(&self, processor: (Vec<u32>, Vec<u32>), special: &Special) -> (Vec<u32>, Vec<u32>) {
        let side = |says: Option<bool>, role, otherwise| match says {
            None => otherwise,
            Some(wanted) => special.get(role).filter(|_| wanted).into_iter().collect(),
        };
        (side(self.add_bos, "bos", processor.0), side(self.add_eos, "eos", processor.1))
    }
}
