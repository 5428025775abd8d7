//! GGUF's pre-tokenizers by name (`tokenizer.ggml.pre`): how each cuts text, and what else its name implies.
//!
//! Source of the names and patterns: llama.cpp's table, which takes them from each model's tokenizer.json and adapts some
//! (it tells upper from lower case in ASCII only). Patterns apply one after another, each to the pieces of the one before.
//! One difference is meant: where digits are grouped from their right end, what stands before them is cut off, as the
//! models' own tokenizers have it; llama.cpp leaves it with the first group.

use crate::split::{Digits, Splitter};

/// What a name stands for.
#[derive(Debug)]
pub(crate) struct Pre {
    /// How text is cut.
    pub rules: Vec<Rule>,
    /// A piece that is a token as a whole is not taken apart.
    pub whole: bool,
    /// A begin token goes before a text unless the file says otherwise.
    pub add_bos: bool,
    /// Spaces are escaped and pieces are text, not bytes.
    pub escaped: bool,
    /// Pieces are text, not bytes.
    pub plain: bool,
}

/// One cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// At this pattern.
    Pattern(&'static str),
    /// Digits in groups of three.
    Groups(Digits),
}

impl Rule {
    /// Ready to cut.
    ///
    /// # Errors
    /// Never for the patterns below (the tests compile them all).
    pub(crate) fn splitter(self) -> Result<Splitter, String> {
        match self {
            Rule::Pattern(pattern) => Splitter::new(pattern),
            Rule::Groups(digits) => Ok(Splitter::Groups(digits)),
        }
    }
}

/// The pre-tokenizer called `name`.
pub(crate) fn pre(name: &str) -> Option<Pre> {
    let (_, rules) = TABLE.iter().find(|(names, _)| names.contains(&name))?;
    Some(Pre {
        rules: rules.to_vec(),
        whole: WHOLE.contains(&name),
        add_bos: ADD_BOS.contains(&name),
        escaped: ESCAPED.contains(&name),
        plain: PLAIN.contains(&name),
    })
}

/// All names, for an error message.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().flat_map(|(names, _)| names.iter().copied())
}

/// Every row's names and cuts, in order.
pub(crate) fn rows() -> impl Iterator<Item = (&'static [&'static str], &'static [Rule])> {
    TABLE.iter().copied()
}

const WHOLE: &[&str] = &[
    "minicpm5",
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "jina-v5-nano",
    "youtu",
    "glm4",
    "glm5",
    "tekken",
    "granite-embed-multi-97m",
];
const ADD_BOS: &[&str] = &[
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "jina-v5-nano",
    "tekken",
    "chameleon",
    "gemma4",
    "granite-embed-multi-311m",
];
const ESCAPED: &[&str] = &["gemma4", "granite-embed-multi-311m", "sarvam-moe"];
const PLAIN: &[&str] = &["whitespace"];

macro_rules! any_case {
    () => {
        "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    };
}
macro_rules! words {
    () => {
        r"[^\r\n\p{L}\p{N}]?\p{L}+"
    };
}
/// Spaces that end in line ends, spaces before a word (but for the last), other spaces.
macro_rules! spaces {
    () => {
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    };
}
macro_rules! marks {
    () => {
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    };
}
macro_rules! marks_slash {
    () => {
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    };
}
macro_rules! upper_lower {
    ($mark:literal, $tail:expr) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{L}",
            $mark,
            r"&&[^a-z]]*[\p{L}",
            $mark,
            r"&&[^A-Z]]+",
            $tail,
            r"|[^\r\n\p{L}\p{N}]?[\p{L}",
            $mark,
            r"&&[^a-z]]+[\p{L}",
            $mark,
            r"&&[^A-Z]]*",
            $tail
        )
    };
}
macro_rules! letters_marks {
    () => {
        concat!(r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+", any_case!(), "?")
    };
}
macro_rules! ascii_marked {
    () => {
        r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"##
    };
}

/// Ideographs as llama.cpp lists them.
macro_rules! han {
    ($not:literal) => {
        concat!(
            "[",
            $not,
            r"\u{3400}-\u{4DBF}\u{4E00}-\u{9FFF}\u{F900}-\u{FAFF}\u{20000}-\u{2A6DF}",
            r"\u{2A700}-\u{2EBEF}\u{2F800}-\u{2FA1F}]"
        )
    };
}

const GPT2: Rule = Rule::Pattern(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)");
const DIGIT: Rule = Rule::Pattern(r"\p{N}");
const THREE: Rule = Rule::Pattern(r"\p{N}{1,3}");
const THOUSANDS: Rule = Rule::Groups(Digits::Numbers);
const LINES: Rule = Rule::Pattern(r"[^\n]+|\n+");
const LLAMA3: Rule = Rule::Pattern(concat!(any_case!(), "|", words!(), r"|\p{N}{1,3}", marks!(), spaces!()));
const QWEN2: Rule = Rule::Pattern(concat!(any_case!(), "|", words!(), r"|\p{N}", marks!(), spaces!()));
const POEMS: Rule = Rule::Pattern(r" ?[^(\s|.,!?…。，、।۔،)]+");
const KANA: Rule = Rule::Pattern("[一-龥\u{3040}-ゟ゠-ヿ]+");
const DEEPSEEK: Rule = Rule::Pattern(concat!(ascii_marked!(), r"[\r\n]*", spaces!()));
/// No spaces: llama.cpp hides them from patterns of plain characters.
const OLD_CJK: Rule = Rule::Pattern(r"[[一-龥\u{800}-一가-\u{D7FF}]--\s]+");
const TRIPLE: Rule = Rule::Pattern("[0-9][0-9][0-9]");

/// Letters of scripts that have case (Latin, Greek, Cyrillic …), as DeepSeek's first tokenizer lists them.
const CASED: &str = concat!(
    r"\s?[",
    "A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}\u{370}-\u{373}",
    "\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}",
    "\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}",
    "\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}",
    "\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}",
    "\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}",
    "\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}",
    "\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}",
    "\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}",
    "\u{A722}-\u{A76F}\u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}",
    "\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}",
    "\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}",
    "]+"
);

type Row = (&'static [&'static str], &'static [Rule]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (&["default"], &[Rule::Pattern(r"[\p{P}\$\+<=>\^~\|]+"), GPT2, Rule::Pattern(r"\p{N}+"), TRIPLE]),
    (&["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"], &[LLAMA3]),
    (&["dbrx", "smaug-bpe", "chatglm-bpe", "glm4", "glm5"], &[LLAMA3]),
    (&["jais-2"], &[Rule::Pattern(concat!(any_case!(), "|", words!(), r"|\p{N}{1,3}", marks!(), r"|\s*[\r\n]+",
        r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)",
        r"|\s{1,2}(?!\S)|\s{1}"))]),
    (&["deepseek-llm"], &[Rule::Pattern(r"[\r\n]"), Rule::Pattern(CASED),
        Rule::Pattern(r"\s?[!-/:-~！-／：-～‘-‟\u{3001}-。]+"), Rule::Pattern(r"\s+$"), OLD_CJK, Rule::Pattern(r"\p{N}+")]),
    (&["deepseek-coder"], &[Rule::Pattern(r"[\r\n]"), Rule::Pattern(r"\s?\p{L}+"), Rule::Pattern(r"\s?\p{P}+"), OLD_CJK, DIGIT]),
    (&["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], &[THREE, KANA, DEEPSEEK]),
    (&["spark2_5"], &[THREE, KANA, Rule::Pattern(concat!(ascii_marked!(), r"|[\r\n]|\s+(?!\S)|\s+")), DIGIT]),
    (&["youtu"], &[
        Rule::Pattern("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u{3040}-ゟ゠-ヿ]+"),
        Rule::Pattern(concat!(letters_marks!(), r"|\p{N}", marks_slash!(), spaces!()))]),
    (&["falcon"], &[Rule::Pattern(r"[\p{P}\$\+<=>\^~\|`]+"), GPT2, TRIPLE]),
    (&["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"], &[DIGIT, GPT2]),
    (&["gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert"], &[GPT2]),
    (&["jina-v1-en", "jina-v2-code", "roberta-bpe", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4"], &[GPT2]),
    (&["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "solar-open", "megrez", "grok-2"], &[QWEN2]),
    (&["qwen35"], &[Rule::Pattern(concat!(any_case!(),
        r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", spaces!()))]),
    (&["ufakzeka"], &[Rule::Pattern(concat!(words!(), r"|\p{N}", marks!(), spaces!()))]),
    (&["laguna"], &[LINES, QWEN2]),
    (&["minicpm5"], &[THREE, Rule::Pattern(concat!(any_case!(), "|", words!(), r"|\p{N}+", marks!(), spaces!()))]),
    (&["exaone-moe"], &[Rule::Pattern(concat!(any_case!(), r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}",
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"))]),
    (&["poro-chat", "bloom", "gpt3-finnish"], &[POEMS]),
    (&["viking"], &[POEMS, DIGIT]),
    (&["tekken"], &[Rule::Pattern(concat!(upper_lower!("", ""), r"|\p{N}", marks_slash!(), spaces!()))]),
    (&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[
        Rule::Pattern(concat!(upper_lower!("", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"),
        r"|\p{N}{1,3}", marks_slash!(), spaces!()))]),
    (&["granite-embed-multi-97m"], &[
        Rule::Pattern(concat!(upper_lower!(r"\p{M}", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"),
        r"|\p{N}{1,3}", marks_slash!(), spaces!()))]),
    (&["tiny_aya", "cohere2moe"], &[THOUSANDS,
        Rule::Pattern(concat!(letters_marks!(), r"|\p{N}{1,3}", marks_slash!(), spaces!()))]),
    (&["kimi-k2"], &[Rule::Pattern(concat!(han!(""), r"+|[^\r\n\p{L}\p{N}]?[\p{L}&&", han!("^"), "]+",
        "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", r"|\p{N}{1,3}", marks!(), spaces!()))]),
    (&["superbpe"], &[Rule::Pattern(r"\p{N}+"), Rule::Groups(Digits::Ascii)]),
    (&["bailingmoe", "bailingmoe2", "llada-moe"], &[Rule::Pattern(concat!(
        r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|", words!(), r"|\p{N}", marks!(), r"|\s*[\r\n]|\s+(?!\S)|\s+"))]),
    (&["seed-coder"], &[Rule::Pattern(concat!(any_case!(), "|", words!(), r"|\p{N}| ?[^\s\p{L}\p{N}\r\n]+", spaces!()))]),
    (&["afmoe"], &[THOUSANDS,
        Rule::Pattern("[一-鿿㐀-䶿豈-\u{FAFF}\u{3040}-ゟ゠-ヿ･-ﾟ⼀-\u{2FDF}เ-\u{E7F}\u{E80}-\u{EFF}ក-\u{17FF}က-႟ꩠ-ꩿꧠ-\u{A9FF}가-\u{D7AF}ᄀ-ᇿ]+"),
        DEEPSEEK]),
    (&["gemma4", "granite-embed-multi-311m", "sarvam-moe"], &[LINES]),
    (&["whitespace"], &[Rule::Pattern(r"\S+")]),
    (&["chameleon"], &[Rule::Pattern("<sentinel:[0-9]+>"), Rule::Pattern("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
        Rule::Pattern(r"([\t\n]|    |  )"), DIGIT, Rule::Pattern(r"[\p{P}!-/:-@\[-`{-~]"), GPT2]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_runs_on_an_automaton() {
        for (names, rules) in TABLE {
            for rule in *rules {
                let splitter = rule.splitter().unwrap_or_else(|e| panic!("{names:?}: {e}"));
                assert!(matches!(splitter, Splitter::Linear(_) | Splitter::Groups(_)), "{names:?} {rule:?}");
            }
        }
    }

    #[test]
    fn names_with_flags_are_names() {
        for name in [WHOLE, ADD_BOS, ESCAPED, PLAIN].concat() {
            assert!(pre(name).is_some(), "{name}");
        }
        assert!(pre("no such").is_none());
    }
}
