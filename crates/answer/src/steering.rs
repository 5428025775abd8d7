//! What a request says of tokens in words: biases by text, bad words, breakers of repetitions, as the engine takes them.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{Breakers, Dry, SamplingParams, TokenSet, Words};
use text::{EncodeOptions, Tokenizer};

use crate::{Kind, Problem, Sampling};

/// Words as they stand in a text.
const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

/// The most tokens of a breaker that are told apart after its first.
const LONGEST_TAIL: usize = 20;

/// Tokens that are biased, allowed or left out by what they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steering {
    /// Added to the logits of all tokens of these texts.
    pub biased: Vec<(String, f32)>,
    /// The only tokens that may come, a stop token too only if it is among them; `None` allows all.
    pub allowed: Option<Vec<u32>>,
    /// Texts that never come in an answer as the tokens that they have by themselves or after a space.
    pub bad_words: Vec<String>,
}

/// DRY as a request has it; what is `None` is llama.cpp's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrySettings {
    /// Times the penalty.
    pub multiplier: f32,
    /// How fast the penalty grows (1.75).
    pub base: Option<f32>,
    /// How long a repetition may be (2).
    pub allowed_length: Option<usize>,
    /// How far back it looks, in tokens (everywhere).
    pub last: Option<usize>,
    /// Texts that a repetition does not reach across (line end, colon, quote, asterisk).
    pub breakers: Option<Vec<String>>,
}

const BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// The breakers that were last asked for: to find their tokens, the whole vocabulary is read.
#[derive(Default)]
pub(crate) struct KnownBreakers(Mutex<(Vec<String>, Arc<Breakers>)>);

impl KnownBreakers {
    fn of(&self, texts: &[String], tokenizer: &Tokenizer) -> Arc<Breakers> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != texts {
            *known = (texts.to_vec(), Arc::new(breakers(texts, tokenizer)));
        }
        Arc::clone(&known.1)
    }
}

/// The settings for the engine.
///
/// # Errors
/// If a text has no tokens.
pub(crate) fn params(
    sampling: &Sampling,
    logprobs: Option<usize>,
    tokenizer: &Tokenizer,
    known: &KnownBreakers,
) -> Result<SamplingParams, Problem> {
    let mut params = sampling.params(logprobs);
    for (text, bias) in &sampling.steering.biased {
        params.logit_bias.extend(tokens(tokenizer, text, "logit_bias")?.into_iter().map(|id| (id, *bias)));
    }
    params.words = words(&sampling.steering, tokenizer)?;
    params.dry = sampling.guards.dry.as_ref().filter(|dry| dry.multiplier != 0.0).map(|dry| Dry {
        multiplier: dry.multiplier,
        base: dry.base.unwrap_or(1.75),
        allowed_length: dry.allowed_length.unwrap_or(2),
        last: dry.last.unwrap_or(usize::MAX),
        breakers: match &dry.breakers {
            Some(texts) => known.of(texts, tokenizer),
            None => known.of(&BREAKERS.map(str::to_owned), tokenizer),
        },
    });
    Ok(params)
}

fn tokens(tokenizer: &Tokenizer, text: &str, param: &str) -> Result<Vec<u32>, Problem> {
    let ids = tokenizer.encode(text, PLAIN);
    if ids.is_empty() {
        let message = format!("{param}: {text:?} has no tokens. Leave it out.");
        return Err(Problem::of(Kind::InvalidValue, param, message));
    }
    Ok(ids)
}

fn words(steering: &Steering, tokenizer: &Tokenizer) -> Result<Words, Problem> {
    let allowed = steering.allowed.as_ref().map(|ids| {
        let mut set = TokenSet::new(tokenizer.vocab());
        ids.iter().for_each(|id| set.allow(*id));
        Arc::new(set)
    });
    let mut bad: Vec<Box<[u32]>> = Vec::new();
    for word in &steering.bad_words {
        let word = word.trim_start();
        let alone = tokens(tokenizer, word, "bad_words")?;
        let spaced = tokens(tokenizer, &format!(" {word}"), "bad_words")?;
        // After a space it is another sequence only if the space is in its first token.
        if spaced[0] != alone[0] && spaced.len() == alone.len() {
            bad.push(spaced.into());
        }
        bad.push(alone.into());
    }
    Ok(Words { allowed, bad: bad.into() })
}

/// The tokens that have a breaker in them, or its beginning at their end: then what else of it has to follow.
fn breakers(texts: &[String], tokenizer: &Tokenizer) -> Breakers {
    let mut breakers = Breakers::new();
    for id in 0..tokenizer.vocab() as u32 {
        let token = tokenizer.decode(&[id], true);
        for text in texts.iter().filter(|text| !text.is_empty()) {
            if token.contains(text.as_str()) {
                breakers.add(id, Vec::new());
                continue;
            }
            let begun = token.char_indices().map(|(at, _)| &token[at..]).filter(|end| text.starts_with(*end));
            for end in begun {
                let mut rest = tokenizer.encode(&text[end.len()..], PLAIN);
                rest.truncate(LONGEST_TAIL);
                breakers.add(id, rest);
            }
        }
    }
    breakers
}

#[cfg(test)]
mod tests {
    use text::GgufVocab;

    use super::*;

    const PIECES: [&str; 12] = ["a", "b", "c", "Ġ", ":", "Ċ", "ab", "Ġab", "Ġa", "a:", "::", "c:"];

    fn tokenizer() -> Tokenizer {
        let vocab = GgufVocab {
            model: "gpt2".into(),
            pre: Some("gpt-2".into()),
            tokens: PIECES.map(|piece| piece.as_bytes().to_vec()).to_vec(),
            merges: ["a b", "Ġ ab", "Ġ a", ": :"].map(|merge| merge.as_bytes().to_vec()).to_vec(),
            ..GgufVocab::default()
        };
        Tokenizer::from_gguf(vocab).expect("a vocabulary")
    }

    fn params(steering: Steering) -> Result<SamplingParams, Problem> {
        let sampling = Sampling { steering, ..Sampling::default() };
        super::params(&sampling, None, &tokenizer(), &KnownBreakers::default())
    }

    #[test]
    fn bad_words_are_those_alone_and_after_a_space() {
        let check = |words: &[&str], expected: &[&[u32]]| {
            let bad_words = words.iter().map(|word| (*word).to_owned()).collect();
            let params = params(Steering { bad_words, ..Steering::default() }).expect("they have tokens");
            assert_eq!(params.words.bad.iter().map(|bad| &**bad).collect::<Vec<_>>(), expected, "{words:?}");
        };
        check(&["ab"], &[&[7], &[6]]);
        check(&[" ab"], &[&[7], &[6]]);
        // After a space it has a token more: what comes after the space is the word alone.
        check(&["c"], &[&[2]]);
        check(&["abc", "b"], &[&[7, 2], &[6, 2], &[1]]);
        let problem = params(Steering { bad_words: vec![" ".into()], ..Steering::default() }).expect_err("nothing");
        assert_eq!(problem.param.as_deref(), Some("bad_words"));
    }

    #[test]
    fn texts_are_biased_by_all_their_tokens() {
        let params = params(Steering { biased: vec![("abc".into(), 2.0)], ..Steering::default() }).expect("tokens");
        assert_eq!(params.logit_bias, [(6, 2.0), (2, 2.0)]);
    }

    #[test]
    fn breakers_are_found_in_tokens_and_across_them() {
        let check = |texts: &[&str], expected: &[(u32, &[u32])]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let mut all = Breakers::new();
            expected.iter().for_each(|(first, rest)| all.add(*first, rest.to_vec()));
            assert_eq!(breakers(&texts, &tokenizer()), all, "{texts:?}");
        };
        check(&[":"], &[(4, &[]), (9, &[]), (10, &[]), (11, &[])]);
        check(&["\n", ""], &[(5, &[])]);
        // Ends of tokens that begin it, with what is left of it.
        check(&["ab:"], &[(0, &[1, 4]), (6, &[4]), (7, &[4]), (8, &[1, 4])]);
        check(&["::"], &[(4, &[4]), (9, &[4]), (10, &[]), (11, &[4])]);
    }
}
