//! A made-up model: bytes are tokens, and each token is followed by a known one.
//!
//! A lowercase letter is followed by the next one, z by é (two tokens), é by a full stop, that by a. An uppercase letter
//! is followed by the next one, Z by the end. A line break is followed by P. So "x" is answered "yzé.abc…", and a chat,
//! whose prompt ends in a line break, "PQRSTUVWXYZ" and the end.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use engine::{Executor, ExecutorError, ExecutorLimits};
use graph::{Batch, MemoryPart};
use text::{ChatTemplate, GgufVocab, TokenKind, Tokenizer};

/// End of the answer.
pub(crate) const END: u32 = 256;
/// Around chat messages.
pub(crate) const SPECIAL: [&str; 3] = ["<|end|>", "<|im_start|>", "<|im_end|>"];
/// Ids in all.
pub(crate) const VOCAB: usize = 256 + SPECIAL.len() + 1;

const TEMPLATE: &str = "{% for m in messages %}{% if m.role == 'nobody' %}{{ raise_exception('Nobody may not speak.') }}\
    {% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if tools %}{{ tools | length }} tools {% endif %}{% if mood %}{{ mood }}{% endif %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A byte-level tokenizer with a single merge (there must be one): id = byte.
pub(crate) fn tokenizer() -> Arc<Tokenizer> {
    let bytes = (0..=255).map(|byte| letter(byte).to_string().into_bytes());
    let special = SPECIAL.iter().map(|text| text.as_bytes().to_vec());
    let kinds =
        [vec![TokenKind::Normal; 256], vec![TokenKind::Control; SPECIAL.len()], vec![TokenKind::Normal]].concat();
    let vocab = GgufVocab {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens: bytes.chain(special).chain([b"~~".to_vec()]).collect(),
        kinds,
        merges: vec![b"~ ~".to_vec()],
        special: vec![("eos".into(), END)],
        ..GgufVocab::default()
    };
    Arc::new(Tokenizer::from_gguf(vocab).expect("the tests' vocabulary is valid"))
}

/// The chat template.
pub(crate) fn template() -> ChatTemplate {
    ChatTemplate::new(TEMPLATE, &[("eos_token", SPECIAL[0])]).expect("the tests' template is valid")
}

/// What follows a token.
pub(crate) fn next(token: u32) -> u32 {
    match u8::try_from(token) {
        Ok(b'z') => 0xc3,
        Ok(0xc3) => 0xa9,
        Ok(0xa9) => u32::from(b'.'),
        Ok(b'Z') => END,
        Ok(b'\n') => u32::from(b'P'),
        Ok(b'a'..=b'y' | b'A'..=b'Y') => token + 1,
        _ => u32::from(b'a'),
    }
}

/// Computes the made-up model. With a gate, each step waits for a permit: a closed gate lets all pass.
pub(crate) struct Scripted {
    pub(crate) kv_blocks: usize,
    pub(crate) gate: Option<Receiver<()>>,
    pub(crate) logits: Vec<f32>,
}

impl Executor for Scripted {
    /// It keeps nothing, so anything is as good as what it kept.
    fn save(&mut self, _: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        bytes.extend(b"nothing");
        true
    }

    fn load(&mut self, _: MemoryPart, bytes: &[u8]) -> bool {
        bytes == b"nothing"
    }

    fn adapts(&self) -> bool {
        true
    }

    fn limits(&self) -> ExecutorLimits {
        let (kv_blocks, state_slots) = (self.kv_blocks, 0);
        ExecutorLimits { max_tokens: 512, max_outputs: 64, kv_blocks, block_len: 16, state_slots, vocab: VOCAB }
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        if batch.tokens.contains(&u32::from(b'#')) {
            return Err(ExecutorError::Batch("the number sign is too hard".into()));
        }
        self.logits.clear();
        for row in &batch.outputs {
            // An adapter leaves out as many letters as its digit says.
            let adapter = batch.adapter(*row as usize, batch.tokens.len());
            let left_out = adapter.map_or(0, |adapter| usize::from(adapter.id()[0] - b'0'));
            let likely = (0..left_out).fold(next(batch.tokens[*row as usize]), |token, _| next(token)) as usize;
            let start = self.logits.len();
            self.logits.resize(start + VOCAB, 0.0);
            self.logits[start + likely] = 10.0;
            self.logits[start + (likely + 1) % VOCAB] = 5.0;
        }
        Ok(&self.logits)
    }
}

/// Recites a text to one request after another, whatever is asked.
pub(crate) struct Reciting {
    pub(crate) text: &'static str,
    pub(crate) said: usize,
    pub(crate) logits: Vec<f32>,
}

impl Executor for Reciting {
    fn limits(&self) -> ExecutorLimits {
        Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() }.limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        self.logits.clear();
        for _ in &batch.outputs {
            let byte = self.text.as_bytes().get(self.said).copied();
            self.said = byte.map_or(0, |_| self.said + 1);
            let start = self.logits.len();
            self.logits.resize(start + VOCAB, 0.0);
            self.logits[start + byte.map_or(END as usize, usize::from)] = 10.0;
        }
        Ok(&self.logits)
    }
}

/// Panics at every batch.
pub(crate) struct Broken;

impl Executor for Broken {
    fn limits(&self) -> ExecutorLimits {
        Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() }.limits()
    }

    fn forward(&mut self, _: &Batch) -> Result<&[f32], ExecutorError> {
        panic!("the device is gone")
    }
}

/// How byte-level vocabularies write a byte: printable Latin-1 as it is, the others moved up to U+0100 in order.
pub(crate) fn letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return byte.into();
    }
    let before = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(0x100 + before).unwrap_or('?')
}
