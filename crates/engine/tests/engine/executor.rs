//! An executor without a model. It keeps, for every slot of its cache, the whole prefix that was computed there as a hash,
//! and refuses batches whose tables do not hold what they claim; its logits are a function of the whole prefix.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use engine::{Executor, ExecutorError, ExecutorLimits, HiddenInputs, Spread};
use graph::{Batch, MemoryPart, Span, reduce};

/// Tokens that exist.
pub(crate) const VOCAB: usize = 32;

/// How a batch fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// With an error.
    Error,
    /// With an error after which nothing can be computed.
    Broken,
    /// With a panic.
    Panic,
    /// Its logits are NaN.
    Nan,
    /// It has too few logits.
    Short,
}

/// What tests tell the executor, and what it saw.
#[derive(Default)]
pub(crate) struct Bench {
    /// The next batch fails.
    pub(crate) fault: Option<Fault>,
    /// The first two tokens of each sequence of the last batch.
    pub(crate) seen: Vec<Vec<u32>>,
    /// Rows, spans and copies of each batch so far.
    pub(crate) log: Vec<(usize, usize, usize)>,
    /// Rows of which only the greatest logits were given.
    pub(crate) tops: usize,
    /// Blocks whose memory went back to the system.
    pub(crate) forgotten: usize,
    /// States whose memory went back to the system.
    pub(crate) forgotten_states: usize,
    /// The first broken promise.
    pub(crate) broken: Option<String>,
}

/// The executor.
pub(crate) struct Fake {
    limits: ExecutorLimits,
    slots: Vec<Option<Slot>>,
    /// How many tokens each recurrent state has seen, and their hash.
    states: Vec<Option<(usize, u64)>>,
    logits: Vec<f32>,
    /// Of each row of the last batch, the hash as two numbers.
    hidden: Vec<f32>,
    /// So it reads the hash of the tokens before each token, and has tokens of the middle of a sequence at its first positions.
    head: Option<HiddenInputs>,
    /// How many of the greatest logits it gives in place of all.
    top: usize,
    pub(crate) bench: Arc<Mutex<Bench>>,
}

/// What a position of the cache holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    position: usize,
    token: u32,
    /// Of all tokens up to here.
    prefix: u64,
}

impl Fake {
    /// With an empty cache; the vocabulary is [`VOCAB`].
    pub(crate) fn new(max_tokens: usize, max_outputs: usize, kv_blocks: usize, block_len: usize) -> Fake {
        let limits = ExecutorLimits { max_tokens, max_outputs, kv_blocks, block_len, state_slots: 0, vocab: VOCAB };
        let slots = vec![None; kv_blocks * block_len];
        let (logits, hidden) = (Vec::new(), Vec::new());
        Fake { limits, slots, states: Vec::new(), logits, hidden, head: None, top: 0, bench: Arc::default() }
    }

    /// As a head of another one: it knows what that will say.
    pub(crate) fn for_heads(self, inputs: HiddenInputs) -> Fake {
        Fake { head: Some(inputs), ..self }
    }

    /// Gives so many of the greatest logits in place of all, where these are wanted.
    pub(crate) fn with_top(self, top: usize) -> Fake {
        Fake { top, ..self }
    }

    /// With slots for recurrent states.
    pub(crate) fn with_states(mut self, state_slots: usize) -> Fake {
        self.limits.state_slots = state_slots;
        self.states = vec![None; state_slots];
        self
    }

    fn compute(&mut self, batch: &Batch) -> Result<(), String> {
        self.check_shape(batch)?;
        for &(from, to) in &batch.copies {
            let len = self.limits.block_len;
            let from = from as usize * len;
            self.slots.copy_within(from..from + len, to as usize * len);
        }
        for &(from, to) in &batch.state_copies {
            self.states[to as usize] = self.states[from as usize];
        }
        self.check_writes(batch)?;
        self.check_states(batch)?;
        self.logits.clear();
        self.hidden.clear();
        let given = self.head.map_or(0, |head| head.input * batch.tokens.len());
        ensure(batch.inputs.len() == given, || format!("{} numbers where {given} are due", batch.inputs.len()))?;
        for span in &batch.spans {
            self.compute_span(batch, span)?;
        }
        self.reduce(batch)
    }

    /// Leaves of rows what is wanted of them.
    fn reduce(&mut self, batch: &Batch) -> Result<(), String> {
        let most = batch.top.iter().copied().max().unwrap_or(0) as usize;
        ensure(most <= self.top, || format!("the {most} greatest logits are wanted of {}", self.top))?;
        ensure([0, batch.outputs.len()].contains(&batch.top.len()), || format!("{:?} of each row", batch.top))?;
        if !batch.top.is_empty() {
            let rows = std::mem::take(&mut self.logits);
            let rows = rows.chunks(VOCAB).zip(&batch.top);
            rows.for_each(|(row, &top)| reduce(row, top as usize, &mut self.logits));
            self.bench.lock().unwrap().tops += batch.top.iter().filter(|top| **top > 0).count();
        }
        Ok(())
    }

    fn check_shape(&self, batch: &Batch) -> Result<(), String> {
        let ExecutorLimits { max_tokens, max_outputs, kv_blocks, block_len, .. } = self.limits;
        ensure(batch.tokens.len() <= max_tokens, || format!("{} rows", batch.tokens.len()))?;
        ensure(batch.outputs.len() <= max_outputs, || format!("{} outputs", batch.outputs.len()))?;
        ensure(batch.outputs.is_sorted_by(|a, b| a < b), || "outputs out of order".to_owned())?;
        let blocks = batch.copies.iter().flat_map(|(from, to)| [from, to]).chain(&batch.blocks);
        ensure(blocks.clone().all(|&block| (block as usize) < kv_blocks), || "a block that is not there".to_owned())?;
        let mut row = 0;
        for span in &batch.spans {
            ensure(span.rows.start == row && !span.rows.is_empty(), || format!("rows {:?} after {row}", span.rows))?;
            let positions = span.position + span.rows.len();
            ensure(span.table.len() == positions.div_ceil(block_len), || format!("table of {positions} positions"))?;
            row = span.rows.end;
        }
        ensure(row == batch.tokens.len(), || "rows without a span".to_owned())
    }

    /// No block that a span writes may be in another span's table.
    fn check_writes(&self, batch: &Batch) -> Result<(), String> {
        let mut writer = HashMap::new();
        for (at, span) in batch.spans.iter().enumerate() {
            let table = &batch.blocks[span.table.clone()];
            for &block in &table[span.position / self.limits.block_len..] {
                let other = writer.insert(block, at);
                ensure(other.is_none(), || format!("block {block} is written by two sequences"))?;
            }
        }
        for (at, span) in batch.spans.iter().enumerate() {
            let shared =
                batch.blocks[span.table.clone()].iter().find(|block| writer.get(block).is_some_and(|w| *w != at));
            ensure(shared.is_none(), || format!("block {shared:?} is read and written"))?;
        }
        Ok(())
    }

    /// Each span has a state of its own, if there are any, which has seen what was computed.
    fn check_states(&self, batch: &Batch) -> Result<(), String> {
        let slots: Vec<u32> = batch.spans.iter().filter_map(|span| span.state).collect();
        let due = if self.states.is_empty() { 0 } else { batch.spans.len() };
        ensure(slots.len() == due, || format!("{} spans with states where {due} are due", slots.len()))?;
        let twice = slots.iter().enumerate().find(|(i, slot)| slots[..*i].contains(slot));
        ensure(twice.is_none(), || format!("state slot {twice:?} is in two spans"))
    }

    fn compute_span(&mut self, batch: &Batch, span: &Span) -> Result<(), String> {
        let table = &batch.blocks[span.table.clone()];
        let len = self.limits.block_len;
        let slot = |position: usize| table[position / len] as usize * len + position % len;
        let mut prefix = 0;
        for position in 0..span.position {
            let held = self.slots[slot(position)];
            let right = held.is_some_and(|held| {
                let begins = self.head.is_some() && position == 0;
                let prefix = if begins { held.prefix } else { chain(prefix, held.token) };
                held == Slot { position, token: held.token, prefix }
            });
            ensure(right, || format!("position {position} of {span:?} holds {held:?}"))?;
            prefix = held.map_or(0, |held| held.prefix);
        }
        let state = span.state.map(|slot| slot as usize);
        if let Some(state) = state.filter(|_| span.position > 0) {
            let seen = self.states[state];
            ensure(seen == Some((span.position, prefix)), || format!("state {state} of {span:?} has seen {seen:?}"))?;
        }
        for (row, position) in span.rows.clone().zip(span.position..) {
            let token = batch.tokens[row];
            if let Some(HiddenInputs { model, own, input }) = self.head {
                let inputs = &batch.inputs[row * input..(row + 1) * input];
                // Where the two are apart one of them is zeros.
                let given = joined(&inputs[..model]) | joined(&inputs[input - own..]);
                ensure(position == 0 || given == prefix, || format!("row {row} of {span:?} is read beside another's"))?;
                prefix = given;
            }
            prefix = chain(prefix, token);
            self.slots[slot(position)] = Some(Slot { position, token, prefix });
            self.hidden.extend([prefix as u32, (prefix >> 32) as u32].map(f32::from_bits));
            if batch.outputs.contains(&(row as u32)) {
                self.logits.extend(logits(prefix));
            }
        }
        if let Some(state) = state {
            self.states[state] = Some((span.position + span.rows.len(), prefix));
        }
        Ok(())
    }

    fn block(&self, block: u32) -> std::ops::Range<usize> {
        let start = block as usize * self.limits.block_len;
        start..start + self.limits.block_len
    }

    /// The first two tokens of a sequence, or the one there is.
    fn first_two(&self, batch: &Batch, span: &Span) -> Vec<u32> {
        let table = &batch.blocks[span.table.clone()];
        let len = self.limits.block_len;
        let computed = (span.position + span.rows.len()).min(2);
        (0..computed)
            .filter_map(|p| self.slots[table[p / len] as usize * len + p % len].map(|slot| slot.token))
            .collect()
    }
}

impl Executor for Fake {
    fn limits(&self) -> ExecutorLimits {
        self.limits
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        let fault = self.bench.lock().unwrap().fault.take();
        let fails = matches!(fault, Some(Fault::Error | Fault::Broken | Fault::Panic));
        if fails {
            // What the batch was to change may be anything now.
            let to = batch.state_copies.iter().map(|(_, to)| *to);
            to.chain(batch.spans.iter().filter_map(|span| span.state))
                .for_each(|slot| self.states[slot as usize] = None);
        }
        let outcome = if fails { Ok(()) } else { self.compute(batch) };
        let seen = batch.spans.iter().map(|span| self.first_two(batch, span)).collect();
        let mut bench = self.bench.lock().unwrap();
        bench.seen = seen;
        bench.log.push((batch.tokens.len(), batch.spans.len(), batch.copies.len()));
        if let Err(broken) = outcome {
            bench.broken.get_or_insert(broken);
        }
        drop(bench);
        match fault {
            None => {}
            Some(Fault::Error) => return Err(ExecutorError::Batch("the machine is on fire".to_owned())),
            Some(Fault::Broken) => return Err(ExecutorError::Broken("the machine has burnt down".to_owned())),
            // A panic, but without the message on the terminal.
            Some(Fault::Panic) => std::panic::resume_unwind(Box::new("out of cheese")),
            Some(Fault::Nan) => self.logits.fill(f32::NAN),
            Some(Fault::Short) => self.logits.truncate(self.logits.len().saturating_sub(1)),
        }
        Ok(&self.logits)
    }

    fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    fn forget(&mut self, blocks: &[u32]) {
        let mut bench = self.bench.lock().unwrap();
        bench.forgotten += blocks.len();
        if !blocks.is_sorted_by(|a, b| a < b) {
            bench.broken.get_or_insert(format!("{blocks:?} are not in order"));
        }
        for block in blocks {
            let start = *block as usize * self.limits.block_len;
            self.slots[start..start + self.limits.block_len].fill(None);
        }
    }

    fn top(&self) -> usize {
        self.top
    }

    fn spread(&self) -> Arc<dyn Spread> {
        Arc::new(Unruly)
    }

    fn save(&mut self, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        let words: Vec<u64> = match part {
            MemoryPart::Block(block) => {
                let held = &self.slots[self.block(block)];
                held.iter().flatten().flat_map(|s| [s.position as u64, u64::from(s.token), s.prefix]).collect()
            }
            MemoryPart::State(slot) => {
                self.states[slot as usize].into_iter().flat_map(|(seen, prefix)| [seen as u64, prefix]).collect()
            }
        };
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        !words.is_empty()
    }

    fn load(&mut self, part: MemoryPart, bytes: &[u8]) -> bool {
        let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        match part {
            MemoryPart::Block(block) => {
                let range = self.block(block);
                let slot = |word: &[u64]| Slot { position: word[0] as usize, token: word[1] as u32, prefix: word[2] };
                let held: Vec<_> = words.chunks_exact(3).map(|word| Some(slot(word))).collect();
                let fits = held.len() == range.len();
                if fits {
                    self.slots[range].copy_from_slice(&held);
                }
                fits
            }
            MemoryPart::State(slot) => {
                let fits = words.len() == 2;
                if fits {
                    self.states[slot as usize] = Some((words[0] as usize, words[1]));
                }
                fits
            }
        }
    }

    fn forget_states(&mut self, slots: &[u32]) {
        let mut bench = self.bench.lock().unwrap();
        bench.forgotten_states += slots.len();
        slots.iter().for_each(|slot| self.states[*slot as usize] = None);
    }
}

/// Does work from its end, on two threads, or not at all.
struct Unruly;

impl Spread for Unruly {
    fn each(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        match tasks {
            0..6 => (0..tasks).rev().for_each(work),
            6 => std::thread::scope(|scope| {
                scope.spawn(|| (0..3).for_each(work));
                (3..6).for_each(work);
            }),
            _ => {}
        }
        tasks <= 6
    }
}

/// A hash from two numbers.
fn joined(halves: &[f32]) -> u64 {
    u64::from(halves[0].to_bits()) | u64::from(halves[1].to_bits()) << 32
}

/// The hash of a prefix that goes on with `token`.
pub(crate) fn chain(prefix: u64, token: u32) -> u64 {
    let mixed = (prefix ^ (u64::from(token) + 1)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// The logits after a prefix: between −4 and 4.
pub(crate) fn logits(prefix: u64) -> [f32; VOCAB] {
    std::array::from_fn(|token| (chain(prefix ^ 77, token as u32) >> 40) as f32 / (1 << 21) as f32 - 4.0)
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
