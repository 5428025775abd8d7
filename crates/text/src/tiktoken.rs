//! Ranks of tiktoken: byte pair encoding where any two neighbours merge that make a token, the one of lowest rank first.

use serde_json::Value;

use crate::added::{AddedToken, AddedTokens, Order};
use crate::base64::base64;
use crate::bpe::{Bpe, Merges, Unknown, Whole};
use crate::json::Config;
use crate::pipeline::{Model, Pipeline};
use crate::pretokenize::{Behavior, Pretokenizer};
use crate::special::{ends, fill_in};
use crate::split::Splitter;
use crate::tokenizer::Parts;
use crate::vocab::{MOST_IDS, Map, Pieces, Vocab};
use crate::{TokenKind, Tokenizer, TokenizerError, alphabet};

/// What a file of ranks does not say.
struct Known {
    /// How many there are: this is how it is known.
    ranks: usize,
    pattern: &'static str,
    /// Special tokens with their ids.
    special: fn() -> Vec<(String, u32)>,
    /// What a text begins with.
    begin: Option<&'static str>,
}

const CL100K: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";
const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const KNOWN: &[Known] = &[
    Known { ranks: 100_256, pattern: CL100K, special: cl100k, begin: None },
    Known { ranks: 199_998, pattern: O200K, special: o200k, begin: None },
    Known { ranks: 128_000, pattern: LLAMA3, special: llama3, begin: Some("<|begin_of_text|>") },
];

fn named(tokens: &[(&str, u32)]) -> Vec<(String, u32)> {
    tokens.iter().map(|(text, id)| ((*text).to_owned(), *id)).collect()
}

fn cl100k() -> Vec<(String, u32)> {
    named(&[
        ("<|endoftext|>", 100_257),
        ("<|fim_prefix|>", 100_258),
        ("<|fim_middle|>", 100_259),
        ("<|fim_suffix|>", 100_260),
        ("<|endofprompt|>", 100_276),
    ])
}

fn o200k() -> Vec<(String, u32)> {
    named(&[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)])
}

/// 256 of them: those that have a name, and reserved ones.
fn llama3() -> Vec<(String, u32)> {
    const NAMED: [(u32, &str); 7] = [
        (0, "<|begin_of_text|>"),
        (1, "<|end_of_text|>"),
        (4, "<|finetune_right_pad_id|>"),
        (6, "<|start_header_id|>"),
        (7, "<|end_header_id|>"),
        (8, "<|eom_id|>"),
        (9, "<|eot_id|>"),
    ];
    let mut reserved = 0..;
    let text = |i: u32| match NAMED.iter().find(|(at, _)| *at == i) {
        Some((_, text)) => (*text).to_owned(),
        None if i == 10 => "<|python_tag|>".into(),
        None => format!("<|reserved_special_token_{}|>", reserved.next().unwrap_or(0)),
    };
    (0..256).map(text).zip(128_000..).collect()
}

/// Whether a file is one of ranks: its first line is base64 and a number.
pub(crate) fn is(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    std::str::from_utf8(line).is_ok_and(|line| parse(line).is_some())
}

fn parse(line: &str) -> Option<(Vec<u8>, u32)> {
    let (token, rank) = line.trim_end().split_once(' ')?;
    Some((base64(token).filter(|bytes| !bytes.is_empty())?, rank.parse().ok().filter(|rank| *rank < MOST_IDS)?))
}

/// Makes the tokenizer of a file of ranks and a tokenizer_config.json.
pub(crate) fn tokenizer(bytes: &[u8], config: Option<&Value>) -> Result<Tokenizer, TokenizerError> {
    let ranks = ranks(bytes)?;
    let known = KNOWN.iter().find(|known| known.ranks == ranks.len()).ok_or_else(|| {
        let problem = format!(
            "has {} ranks; known are cl100k_base (100256), o200k_base (199998) and Llama 3 (128000)",
            ranks.len()
        );
        error(problem + ". A tokenizer.json says more: put the model's own in its place")
    })?;
    let config = Config::new(config)?;
    let special = special(known, &config)?;
    let mut vocab = Vocab::default();
    for (token, rank) in &ranks {
        vocab.insert(*rank, &written(token), TokenKind::Normal, token.clone());
    }
    for token in &special {
        vocab.insert(token.id, &token.text, TokenKind::Control, token.text.clone().into());
    }
    let roles = config.special(|piece| vocab.id(piece));
    let begin = known.begin.and_then(|begin| vocab.id(begin));
    let around = config.around((begin.into_iter().collect(), Vec::new()), &roles);
    let eos = roles.get("eos").or_else(|| ["<|end_of_text|>", "<|endoftext|>"].iter().find_map(|text| vocab.id(text)));
    let ends = ends(|piece| vocab.id(piece).filter(|id| vocab.kind(*id) == TokenKind::Control), &roles);
    let fill_in = fill_in(|piece| vocab.id(piece), &roles);
    let bos = roles.get("bos").or(begin);
    let pipeline = pipeline(known.pattern, special, &ranks)?;
    Ok(Tokenizer::of(Parts {
        vocab,
        pipeline,
        around,
        between: Vec::new(),
        adds_space: false,
        bos,
        eos,
        ends,
        fill_in,
    }))
}

fn error(problem: String) -> TokenizerError {
    TokenizerError::new("tokenizer.model", problem)
}

type Ranks = Map<Vec<u8>, u32>;

fn ranks(bytes: &[u8]) -> Result<Ranks, TokenizerError> {
    let mut ranks = Ranks::default();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let read = std::str::from_utf8(line).ok().and_then(parse);
        let (token, rank) =
            read.ok_or_else(|| error(format!("line {} is not a token in base64 and its rank", number + 1)))?;
        ranks.insert(token, rank);
    }
    match (0..=255).find(|byte| !ranks.contains_key(&[*byte][..])) {
        Some(byte) => Err(error(format!("lacks the byte {byte}: each byte is a token; fetch it again"))),
        None => Ok(ranks),
    }
}

/// The known ones, and in their place those that the configuration has.
fn special(known: &Known, config: &Config) -> Result<Vec<AddedToken>, TokenizerError> {
    let token = |text: String, id| AddedToken { id, text, special: true, ..AddedToken::default() };
    let mut special: Vec<AddedToken> = (known.special)().into_iter().map(|(text, id)| token(text, id)).collect();
    for (id, fields) in &config.added {
        let text = fields.field("content").text()?.to_owned();
        special.retain(|known| known.id != *id && known.text != text);
        special.push(token(text, *id));
    }
    Ok(special)
}

/// In the byte-level alphabet, so that every token has a name.
fn written(token: &[u8]) -> String {
    token.iter().map(|byte| alphabet::letter(*byte)).collect()
}

fn pipeline(pattern: &str, special: Vec<AddedToken>, ranks: &Ranks) -> Result<Pipeline, TokenizerError> {
    let pattern = Splitter::new(pattern).map_err(error)?;
    Ok(Pipeline {
        added: AddedTokens::new(special, Order::Leftmost).map_err(error)?,
        normalizers: Vec::new(),
        normalized: None,
        pretokenizers: vec![Pretokenizer::Split { pattern, behavior: Behavior::Isolated, invert: false }],
        byte_level: true,
        model: Model::Bpe(bpe(ranks)),
    })
}

/// Every way to make a token of two is a merge of the token's rank.
fn bpe(ranks: &Ranks) -> Bpe {
    let mut merges = Merges::default();
    for (token, &rank) in ranks {
        for at in 1..token.len() {
            if let (Some(&left), Some(&right)) = (ranks.get(&token[..at]), ranks.get(&token[at..])) {
                merges.insert((left, right), (rank, rank));
            }
        }
    }
    Bpe {
        pieces: ranks.iter().map(|(token, rank)| (written(token).into(), *rank)).collect::<Pieces>(),
        merges,
        tokens: ranks.values().max().map_or(0, |rank| rank + 1),
        spelled: Vec::new(),
        bytes: None,
        unknown: Unknown::Gap,
        whole: Whole::Always,
        prefix: String::new(),
        suffix: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_of_llama_3_are_where_they_are() {
        let special = llama3();
        let id = |text: &str| special.iter().find(|(t, _)| t == text).map(|(_, id)| *id);
        assert_eq!(special.len(), 256);
        let expected = [
            ("<|begin_of_text|>", 128_000),
            ("<|reserved_special_token_0|>", 128_002),
            ("<|finetune_right_pad_id|>", 128_004),
            ("<|start_header_id|>", 128_006),
            ("<|eot_id|>", 128_009),
            ("<|python_tag|>", 128_010),
            ("<|reserved_special_token_247|>", 128_255),
        ];
        expected.iter().for_each(|(text, expected)| assert_eq!(id(text), Some(*expected), "{text}"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let check = |bytes: &[u8], says: &str| {
            let problem = tokenizer(bytes, None).expect_err("refused").to_string();
            assert!(problem.contains(says), "{problem}");
        };
        check(b"", "lacks the byte 0");
        check(b"YQ== 0\nYg==\n", "line 2");
        check(b"YQ== 99999999999\n", "line 1");
        assert!(is(b"YQ== 0\n") && !is(b"\x0a\x0e\x0a\x05<unk>") && !is(b"") && !is(b"hello"));
    }
}
