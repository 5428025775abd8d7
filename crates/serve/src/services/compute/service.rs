//! The far end: what the computation manager answers over HTTP.

use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::{Executor, ExecutorHost, ExecutorLimits, LastSpan};
use serde::Deserialize;
use serde_json::{Value, json};

use super::MESSAGES;
use crate::services::{Example, Operation, Refusal, Reply, Service, parsed};

/// An executor over HTTP.
pub struct ComputeService<E> {
    /// Batches are computed one after the other.
    host: Mutex<ExecutorHost<E>>,
    limits: ExecutorLimits,
    fingerprint: String,
    examples: Vec<Example>,
}

/// Sequences to try out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    sequences: Vec<Vec<u32>>,
    /// Tokens that are told of each, the most likely ones.
    #[serde(default = "five")]
    top: usize,
    /// Whether an engine that uses the service now may lose what it has computed.
    #[serde(default)]
    take_over: bool,
}

fn five() -> usize {
    5
}

const OPERATIONS: [Operation; 3] = [
    Operation::post(
        MESSAGES,
        "Computes a batch of an engine, or tells what can be computed, in the engine's own form of bytes",
        "binary",
        "binary",
    )
    .heavy(),
    Operation::post("/limits", "What it can compute", "object", "{ limits: object, fingerprint: string }"),
    Operation::post(
        "/logits",
        "The logits after sequences of tokens, computed beside no engine",
        "{ sequences: integer[][], top?: integer(0..), take_over?: boolean }",
        "{ rows: any[] }",
    )
    .heavy(),
];

impl<E: Executor + 'static> ComputeService<E> {
    /// Computes with this executor. `origin` is a number that no earlier process had: the time, for example.
    pub fn new(executor: E, origin: u64) -> ComputeService<E> {
        let (limits, fingerprint) = (executor.limits(), executor.fingerprint());
        let mut host = ExecutorHost::new(executor, origin);
        let examples = examples(&mut host);
        let fingerprint = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        ComputeService { host: Mutex::new(host), limits, fingerprint, examples }
    }

    fn message(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let mut answer = Vec::new();
        self.lock().answer(body, &mut answer);
        Ok(Reply::Bytes(answer))
    }

    fn logits(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Trial { sequences, top, take_over } = parsed(body)?;
        self.check(&sequences)?;
        let mut host = self.lock();
        let [_, messages, ..] = host.counts();
        if messages > 0 && !take_over {
            let message = "An engine uses this service, and would lose what it has computed. Write \"take_over\": true if it may.";
            return Err(Refusal::new(409, "in_use", message));
        }
        let logits = host.try_out(&sequences).map_err(|why| Refusal::invalid(format!("sequences: {why}.")))?;
        Reply::json(&json!({ "rows": rows(logits, self.limits.vocab, top) }))
    }

    fn check(&self, sequences: &[Vec<u32>]) -> Result<(), Refusal> {
        let ExecutorLimits { max_tokens, max_outputs, kv_blocks, block_len, state_slots, .. } = self.limits;
        let tokens: usize = sequences.iter().map(Vec::len).sum();
        let blocks: usize = sequences.iter().map(|sequence| sequence.len().div_ceil(block_len.max(1))).sum();
        let slots = if state_slots > 0 { state_slots } else { usize::MAX };
        let fits = tokens <= max_tokens && blocks <= kv_blocks && sequences.len() <= max_outputs.min(slots);
        match fits && !sequences.is_empty() && sequences.iter().all(|sequence| !sequence.is_empty()) {
            true => Ok(()),
            false => Err(Refusal::invalid(format!(
                "sequences: write 1 to {} of them, each with a token at least, {max_tokens} tokens in all at most.",
                max_outputs.min(slots)
            ))),
        }
    }

    /// A panic of the executor is caught before it comes here.
    fn lock(&self) -> MutexGuard<'_, ExecutorHost<E>> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told_limits(&self) -> Value {
        let ExecutorLimits { max_tokens, max_outputs, kv_blocks, block_len, state_slots, vocab } = self.limits;
        json!({
            "limits": {
                "max_tokens": max_tokens, "max_outputs": max_outputs, "kv_blocks": kv_blocks, "block_len": block_len,
                "state_slots": state_slots, "vocab": vocab,
            },
            "fingerprint": self.fingerprint,
        })
    }
}

/// The most likely tokens of each row, with their logits; the lower number of equal ones first.
fn rows(logits: &[f32], vocab: usize, top: usize) -> Vec<Vec<(usize, f32)>> {
    let row = |row: &[f32]| {
        let mut all: Vec<(usize, f32)> = row.iter().copied().enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(top);
        all
    };
    logits.chunks_exact(vocab.max(1)).map(row).collect()
}

/// Three sequences, of which the last one is computed in one batch with the first: its logits are the same bits.
fn examples<E: Executor>(host: &mut ExecutorHost<E>) -> Vec<Example> {
    let vocab = host.executor().limits().vocab;
    let mut row = |sequence: &[u32]| match host.try_out(&[sequence.to_vec()]) {
        Ok(logits) => rows(logits, vocab, 5).swap_remove(0),
        Err(_) => Vec::new(),
    };
    let (first, second) = (row(&[1, 2, 3]), row(&[4]));
    let trial = |sequences: Value| json!({ "sequences": sequences, "take_over": true });
    vec![
        Example::new("Three tokens", "/logits", trial(json!([[1, 2, 3]])), json!({ "rows": [first] })),
        Example::new("One token", "/logits", trial(json!([[4]])), json!({ "rows": [second] })),
        Example::new(
            "Both in one batch: the same bits",
            "/logits",
            trial(json!([[1, 2, 3], [4]])),
            json!({ "rows": [first, second] }),
        ),
        Example::refused("No tokens", "/logits", trial(json!([[]])), (400, "invalid_value")),
        Example::refused("A token that there is not", "/logits", trial(json!([[u32::MAX]])), (400, "invalid_value")),
    ]
}

impl<E: Executor + 'static> Service for ComputeService<E> {
    fn name(&self) -> &'static str {
        "compute"
    }

    fn about(&self) -> &'static str {
        "Computes batches of tokens and gives their logits, and keeps the memory of sequences."
    }

    fn operations(&self) -> &'static [Operation] {
        &OPERATIONS
    }

    fn examples(&self) -> Vec<Example> {
        self.examples.clone()
    }

    fn call(&self, path: &str, body: &[u8]) -> Result<Reply, Refusal> {
        match path {
            MESSAGES => self.message(body),
            "/limits" => Reply::json(&self.told_limits()),
            "/logits" => self.logits(body),
            _ => Err(Refusal::unknown(path)),
        }
    }

    fn state(&self) -> Value {
        let host = self.lock();
        let [epoch, messages, batches, rows] = host.counts();
        let span = |span: LastSpan| {
            let LastSpan { rows, position, blocks, state } = span;
            json!({ "rows": rows, "position": position, "blocks": blocks, "state": state })
        };
        let last: Vec<Value> = host.last().into_iter().map(span).collect();
        let mut told = self.told_limits();
        told["epoch"] = epoch.into();
        told["messages"] = messages.into();
        told["batches"] = batches.into();
        told["rows"] = rows.into();
        told["last_batch"] = last.into();
        told
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let [_, messages, batches, rows] = self.lock().counts();
        vec![
            ("messages", "Messages of the engine that uses it now", messages as f64),
            ("batches", "Batches computed", batches as f64),
            ("rows", "Rows computed", rows as f64),
        ]
    }
}
