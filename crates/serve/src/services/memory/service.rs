//! The far end: what the memory manager answers over HTTP.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::{BlockManager, Eviction, LocalBlocks, Managing};
use serde_json::{Value, json};

use super::{Applied, Apply, Op, Open, Opened, examples, rule};
use crate::services::{Example, Operation, Refusal, Reply, Service, parsed};

/// Sessions at once: of more, those are forgotten that were not asked for longest.
const MOST: usize = 64;

/// Blocks of a session at most.
const BLOCKS: usize = 1 << 24;

/// Managers of blocks over HTTP, one for each session.
pub struct MemoryService {
    /// The rule of sessions that name none.
    eviction: Eviction,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: BTreeMap<String, Cache>,
    asked: u64,
}

/// One engine's cache.
struct Cache {
    blocks: LocalBlocks,
    managing: Managing,
    version: u64,
    held: usize,
    last: u64,
}

const OPERATIONS: [Operation; 2] = [
    Operation::post(
        "/open",
        "Begins a session anew: the blocks of one engine's cache, all of them free",
        "{ session: string, blocks: integer(1..), block_len: integer(1..), eviction?: string | null, most_kept?: integer(0..) | null }",
        "{ session: string, version: integer, eviction: string }",
    ),
    Operation::post(
        "/apply",
        "Takes over what has happened to blocks, in order, and gives the blocks that each operation with an answer has",
        "{ session: string, version: integer(0..), ops: object[] }",
        "{ version: integer, answers: integer[][], kept: integer, warm: integer }",
    ),
];

impl MemoryService {
    /// Sessions forget by this rule where they name none.
    pub fn new(eviction: Eviction) -> MemoryService {
        MemoryService { eviction, state: Mutex::default() }
    }

    fn open(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Open { session, blocks, block_len, eviction, most_kept } = parsed(body)?;
        let eviction = eviction.as_deref().map_or(Ok(self.eviction), rule).map_err(Refusal::invalid)?;
        if !(1..=BLOCKS).contains(&blocks) || block_len == 0 {
            return Err(Refusal::invalid(format!(
                "blocks and block_len: write 1 to {BLOCKS} blocks, of 1 position or more."
            )));
        }
        let managing = Managing { blocks, block_len, eviction, most_kept: most_kept.unwrap_or(usize::MAX) };
        let mut state = self.lock();
        state.asked += 1;
        let cache = Cache { blocks: LocalBlocks::new(managing), managing, version: 0, held: 0, last: state.asked };
        state.sessions.insert(session.clone(), cache);
        if state.sessions.len() > MOST {
            let oldest = state.sessions.iter().min_by_key(|(_, cache)| cache.last).map(|(name, _)| name.clone());
            oldest.and_then(|name| state.sessions.remove(&name));
        }
        Reply::json(&Opened { session, version: 0, eviction: eviction.name().to_owned() })
    }

    fn apply(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Apply { session, version, ops } = parsed(body)?;
        let mut state = self.lock();
        state.asked += 1;
        let asked = state.asked;
        let unknown = || Refusal::version(format!("There is no session {session}. Open it."));
        let cache = state.sessions.get_mut(&session).ok_or_else(unknown)?;
        if version != cache.version {
            let message = format!(
                "This happens to version {version} of the session, which is at {}. Open it anew.",
                cache.version
            );
            return Err(Refusal::version(message));
        }
        cache.last = asked;
        cache.version += 1;
        // What fails half way leaves a version that nobody knows: the session is to be opened anew.
        let answers = ops.iter().filter_map(|op| cache.apply(op).transpose()).collect::<Result<Vec<_>, _>>();
        if answers.is_err() {
            cache.version += 1;
        }
        let (version, kept, warm) = (cache.version, cache.blocks.kept(), cache.blocks.warm());
        Reply::json(&Applied { version, answers: answers?, kept, warm })
    }

    /// A panic while it is held may leave a session half changed; it is at another version then than its engine thinks.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Does one operation; gives its answer if it has one.
    fn apply(&mut self, op: &Op) -> Result<Option<Vec<u32>>, Refusal> {
        match op {
            Op::Allocate { count } => {
                let blocks = self.blocks.allocate(*count);
                self.held += blocks.len();
                return Ok(Some(blocks));
            }
            Op::LetGo { blocks } => {
                for block in blocks {
                    self.check_held(&[*block])?;
                    self.blocks.let_go(*block);
                    self.held -= 1;
                }
            }
            Op::Find { parent, salt, tokens } => {
                parent.iter().try_for_each(|parent| self.check_held(&[*parent]))?;
                return Ok(Some(self.holding(|blocks| blocks.find(*parent, salt.as_deref(), tokens))));
            }
            Op::Share { parent, salt, blocks: own, tokens } => {
                parent.iter().try_for_each(|parent| self.check_held(&[*parent]))?;
                self.check_held(own)?;
                return Ok(Some(self.holding(|blocks| blocks.share(*parent, salt.as_deref(), own, tokens))));
            }
            Op::Hit { blocks } => {
                self.check_held(blocks)?;
                self.blocks.hit(blocks);
            }
            Op::Tick { steps } => (0..(*steps).min(1 << 20)).for_each(|_| self.blocks.tick(self.held)),
            Op::Cool { count } => return Ok(Some(self.blocks.cool(*count))),
            Op::Forget {} => self.blocks.forget(),
        }
        Ok(None)
    }

    /// Blocks that the manager names are held from then on; how many of them were not before is what others do not hold any more.
    fn holding(&mut self, ask: impl FnOnce(&mut LocalBlocks) -> Vec<u32>) -> Vec<u32> {
        let before = self.blocks.free() + self.blocks.kept();
        let named = ask(&mut self.blocks);
        self.held += before - (self.blocks.free() + self.blocks.kept());
        named
    }

    fn check_held(&self, blocks: &[u32]) -> Result<(), Refusal> {
        match blocks.iter().find(|block| self.blocks.is_held(**block) != Some(true)) {
            Some(block) => Err(Refusal::version(format!("Block {block} is held by nobody. Open the session anew."))),
            None => Ok(()),
        }
    }

    fn state(&self) -> Value {
        let Managing { blocks, block_len, eviction, .. } = self.managing;
        let held: Vec<u32> =
            (0..blocks as u32).filter(|block| self.blocks.is_held(*block) == Some(true)).take(LISTED).collect();
        json!({
            "version": self.version, "blocks": blocks, "block_len": block_len, "eviction": eviction.name(),
            "held": self.held, "kept": self.blocks.kept(), "free": self.blocks.free(), "held_blocks": held,
        })
    }
}

/// Blocks that `/debug` lists by number at most.
const LISTED: usize = 4096;

impl Service for MemoryService {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn about(&self) -> &'static str {
        "Hands out the blocks of KV caches, finds those that hold a prefix, and decides what is forgotten first."
    }

    fn operations(&self) -> &'static [Operation] {
        &OPERATIONS
    }

    fn examples(&self) -> Vec<Example> {
        examples::examples()
    }

    fn call(&self, path: &str, body: &[u8]) -> Result<Reply, Refusal> {
        match path {
            "/open" => self.open(body),
            "/apply" => self.apply(body),
            _ => Err(Refusal::unknown(path)),
        }
    }

    fn state(&self) -> Value {
        let state = self.lock();
        let sessions: BTreeMap<&String, Value> =
            state.sessions.iter().map(|(name, cache)| (name, cache.state())).collect();
        json!({ "eviction": self.eviction.name(), "sessions": sessions })
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let state = self.lock();
        let sum = |of: fn(&Cache) -> usize| state.sessions.values().map(of).sum::<usize>() as f64;
        vec![
            ("sessions", "Engines that ask", state.sessions.len() as f64),
            ("blocks", "Blocks of all caches", sum(|cache| cache.managing.blocks)),
            ("blocks_held", "Blocks that sequences hold", sum(|cache| cache.held)),
            ("blocks_kept", "Blocks that nobody holds and that can be found", sum(|cache| cache.blocks.kept())),
        ]
    }
}
