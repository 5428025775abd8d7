//! Which tokens control the model and which end an answer, told from their text where the file does not say.
//!
//! Source of the texts: llama.cpp's lists; files in the wild lack the keys.

use crate::TokenKind;

/// Ids of special tokens by role (`bos`, `eos`, `unknown`, `eot` …).
#[derive(Debug, Default)]
pub(crate) struct Special(Vec<(String, u32)>);

impl Special {
    /// The id of a role.
    pub(crate) fn get(&self, role: &str) -> Option<u32> {
        self.0.iter().find(|(r, _)| r == role).map(|(_, id)| *id)
    }

    /// Gives a role to an id.
    pub(crate) fn set(&mut self, role: &str, id: u32) {
        self.0.retain(|(r, _)| r != role);
        self.0.push((role.into(), id));
    }
}

/// End of turn.
const EOT: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
/// What ends an answer.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];
/// Parts of a text to fill in: what is before, after and between. They control, but end nothing.
const FILL: &[(&str, &[&str])] = &[
    (
        "fim_pre",
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
    ),
    (
        "fim_suf",
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
    ),
    (
        "fim_mid",
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
    ),
];
/// Padding, names of repositories, ends of files: nothing follows them in an answer.
const FILES: &[(&str, &[&str])] = &[
    ("fim_pad", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    ("fim_rep", &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]),
    ("fim_sep", &["<|file_sep|>"]),
];
/// gpt-oss: control tokens whose text is wanted.
const SHOWN: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// The tokens around a gap in a text that the model fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillIn {
    /// Before what comes before the gap.
    pub prefix: u32,
    /// Before what comes after it.
    pub suffix: u32,
    /// Before what fills it. Where there is none, what comes after the gap is told first (Codestral).
    pub middle: Option<u32>,
}

/// The tokens around a gap, by their roles or by their texts.
pub(crate) fn fill_in(id: impl Fn(&str) -> Option<u32>, special: &Special) -> Option<FillIn> {
    let [prefix, suffix, middle] = [0, 1, 2].map(|i| {
        let (role, texts) = FILL[i];
        special.get(role).or_else(|| texts.iter().find_map(|text| id(text)))
    });
    let codestral = || Some(FillIn { prefix: id("[PREFIX]")?, suffix: id("[SUFFIX]")?, middle: None });
    match (prefix, suffix, middle) {
        (Some(prefix), Some(suffix), middle @ Some(_)) => Some(FillIn { prefix, suffix, middle }),
        _ => codestral(),
    }
}

/// Makes control tokens of those whose text says so, whatever the file says.
pub(crate) fn correct(id: impl Fn(&str) -> Option<u32>, special: &Special, kinds: &mut [TokenKind]) {
    let found = |texts: &[&str]| -> Vec<u32> { texts.iter().filter_map(|t| id(t)).collect() };
    for (role, texts) in FILL.iter().chain(FILES).chain([&("eot", EOT)]) {
        if special.get(role).is_none() {
            found(texts).iter().take(1).for_each(|id| kinds[*id as usize] = TokenKind::Control);
        }
    }
    found(ENDS).iter().for_each(|id| kinds[*id as usize] = TokenKind::Control);
    found(SHOWN).iter().for_each(|id| kinds[*id as usize] = TokenKind::UserDefined);
    if calls(&id)
        && let Some(id) = id("<|end|>")
    {
        kinds[id as usize] = TokenKind::UserDefined;
    }
    if plain_s(&id)
        && let Some(id) = id("</s>")
    {
        kinds[id as usize] = TokenKind::Normal;
    }
}

/// The tokens that end an answer, in order.
pub(crate) fn ends(id: impl Fn(&str) -> Option<u32>, special: &Special) -> Vec<u32> {
    let no_end = |text: &str| text == "<|end|>" && calls(&id) || text == "</s>" && plain_s(&id);
    let mut ends: Vec<u32> = ENDS.iter().filter(|text| !no_end(text)).filter_map(|text| id(text)).collect();
    for (role, texts) in FILES {
        ends.extend(special.get(role).or_else(|| texts.iter().find_map(|text| id(text))));
    }
    ends.extend(["eos", "eot", "eom"].iter().filter_map(|role| special.get(role)));
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// Whether `<|end|>` ends a message and not the answer: there are tokens that end the answer.
fn calls(id: impl Fn(&str) -> Option<u32>) -> bool {
    let has = |text| id(text).is_some();
    (has("<|call|>") || has("<|calls|>")) && (has("<|return|>") || has("<|flush|>"))
}

/// Whether `</s>` is but text.
fn plain_s(id: impl Fn(&str) -> Option<u32>) -> bool {
    id("<|tool_response>").is_some()
}
