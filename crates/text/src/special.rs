//! Which tokens control the model and which end an answer, told from their text where the file does not say.
//!
//! Source of the texts: llama.cpp's lists; files in the wild lack the keys.

use std::collections::HashMap;

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

/// Corrects `kinds` and gives the tokens that end an answer, in order.
pub(crate) fn roles(ids: &HashMap<Box<str>, u32>, special: &Special, kinds: &mut [TokenKind]) -> Vec<u32> {
    let found = |texts: &[&str]| -> Vec<u32> { texts.iter().filter_map(|t| ids.get(*t).copied()).collect() };
    let mut ends = found(ENDS);
    for (role, texts) in FILES {
        ends.extend(special.get(role).or_else(|| control(&found(texts)[..], 1, kinds)));
    }
    for (role, texts) in FILL {
        if special.get(role).is_none() {
            control(&found(texts), 1, kinds);
        }
    }
    if special.get("eot").is_none() {
        control(&found(EOT), 1, kinds);
    }
    control(&found(ENDS), usize::MAX, kinds);
    for id in found(SHOWN) {
        kinds[id as usize] = TokenKind::UserDefined;
    }
    ends.extend(["eos", "eot", "eom"].iter().filter_map(|role| special.get(role)));
    let has = |ends: &[u32], text: &str| ids.get(text).is_some_and(|id| ends.contains(id));
    let call = has(&ends, "<|call|>") || has(&ends, "<|calls|>");
    if call && (has(&ends, "<|return|>") || has(&ends, "<|flush|>")) {
        not_an_end("<|end|>", TokenKind::UserDefined, ids, &mut ends, kinds);
    }
    if has(&ends, "<|tool_response>") {
        not_an_end("</s>", TokenKind::Normal, ids, &mut ends, kinds);
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// Makes the first `most` of `ids` control tokens, whatever the file says; gives the first.
fn control(ids: &[u32], most: usize, kinds: &mut [TokenKind]) -> Option<u32> {
    for &id in ids.iter().take(most) {
        kinds[id as usize] = TokenKind::Control;
    }
    ids.first().copied()
}

fn not_an_end(text: &str, kind: TokenKind, ids: &HashMap<Box<str>, u32>, ends: &mut Vec<u32>, kinds: &mut [TokenKind]) {
    if let Some(&id) = ids.get(text)
        && ends.contains(&id)
    {
        ends.retain(|end| *end != id);
        kinds[id as usize] = kind;
    }
}
