//! Which blocks hold which prefixes: a tree of full blocks, in which the way from the root spells the tokens.
//!
//! A block is found by its parent and a hash of its tokens, and then the tokens are compared: nothing depends on the hash
//! but speed. A parent stays as long as it has children, so a block's place in the tree says everything about what comes
//! before it. Whoever holds a block holds its ancestors too; so what nobody holds can be evicted from the leaves up.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use graph::MemoryPart;

use super::checkpoints::Checkpoints;
use super::evict::{Rule, Usage};
use super::key::TierKey;
use crate::memory::Advice;
use crate::tier::Evicted;
use crate::{PrefixMemory, StateSlot};

/// The tree.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// By block.
    nodes: Vec<Option<Node>>,
    /// By parent and hash.
    places: HashMap<Place, u32>,
    /// Leaves that nobody holds.
    rule: Box<dyn Rule>,
    /// Who goes before the rule is asked.
    pub(super) advice: Advice,
    /// Blocks in the tree that nobody holds.
    idle: usize,
    now: u64,
    /// States that follow blocks in the tree, of models with recurrent layers.
    pub(super) states: Checkpoints,
    /// Whether nodes have names that hold elsewhere, and what was evicted since that was last asked for.
    pub(super) keyed: bool,
    pub(super) evicted: Vec<Evicted>,
}

type Place = (Option<u32>, u64);

#[derive(Debug)]
struct Node {
    place: Place,
    /// Of first blocks: whose they are. Those below are of the same.
    salt: Option<Box<str>>,
    tokens: Box<[u32]>,
    children: usize,
    usage: Usage,
    /// Its name elsewhere, if it has one.
    key: Option<Box<TierKey>>,
}

/// What became of a block that was to be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// It can be found now.
    Inserted,
    /// This one holds the same and can be found.
    Known(u32),
    /// Its place is taken by other tokens with the same hash, or it has a place already.
    Refused,
}

impl Prefixes {
    pub(super) fn new(blocks: usize, rule: Box<dyn Rule>) -> Prefixes {
        Prefixes {
            nodes: (0..blocks).map(|_| None).collect(),
            places: HashMap::new(),
            rule,
            advice: Advice::default(),
            idle: 0,
            now: 0,
            states: Checkpoints::default(),
            keyed: false,
            evicted: Vec::new(),
        }
    }

    /// Blocks in the tree that nobody holds.
    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    pub(super) fn tick(&mut self) {
        self.now += 1;
    }

    /// The block that holds `tokens` below `parent`.
    pub(super) fn find(&self, parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> Option<u32> {
        let index = *self.places.get(&(parent, hash(salt, tokens)))?;
        let node = self.nodes[index as usize].as_ref()?;
        (*node.tokens == *tokens && node.salt.as_deref() == salt.filter(|_| parent.is_none())).then_some(index)
    }

    /// Gives `block`, which somebody holds together with `parent`, its place in the tree.
    pub(super) fn insert(&mut self, block: u32, parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> Shared {
        if let Some(known) = self.find(parent, salt, tokens) {
            return if known == block { Shared::Inserted } else { Shared::Known(known) };
        }
        let place = (parent, hash(salt, tokens));
        let above = parent.map(|parent| self.nodes[parent as usize].as_ref().map(|node| node.usage.depth));
        if self.places.contains_key(&place) || self.nodes[block as usize].is_some() || above == Some(None) {
            return Shared::Refused;
        }
        if let Some(parent) = self.parent(place) {
            parent.children += 1;
        }
        let depth = above.flatten().map_or(0, |depth| depth + 1);
        let usage = Usage { hits: 0, last: self.now, depth, content: place.1 };
        let key = self.keyed.then(|| {
            let above = parent.and_then(|parent| self.nodes[parent as usize].as_ref()?.key.as_deref().copied());
            Box::new(above.unwrap_or_else(|| TierKey::root(salt)).then(tokens))
        });
        let salt = salt.filter(|_| parent.is_none()).map(Box::from);
        self.places.insert(place, block);
        self.nodes[block as usize] = Some(Node { place, salt, tokens: tokens.into(), children: 0, usage, key });
        Shared::Inserted
    }

    /// Takes out the state that was used least recently.
    pub(super) fn evict_state(&mut self) -> Option<StateSlot> {
        let (block, slot) = self.states.evict()?;
        if let Some(key) = self.nodes[block as usize].as_ref().and_then(|node| node.key.as_deref()) {
            self.evicted.push(Evicted { key: key.state(), part: MemoryPart::State(slot.index()) });
        }
        Some(slot)
    }

    /// Whether a block is in the tree.
    pub(super) fn has(&self, block: u32) -> bool {
        self.nodes[block as usize].is_some()
    }

    /// Somebody found a block and computes on it.
    pub(super) fn hit(&mut self, block: u32) {
        if let Some(node) = &mut self.nodes[block as usize] {
            node.usage.hits += 1;
        }
    }

    /// Somebody holds a block that nobody held.
    pub(super) fn taken(&mut self, block: u32) {
        if self.nodes[block as usize].is_some() {
            self.idle -= 1;
            self.rule.remove(block);
        }
    }

    /// Nobody holds a block any more; says whether it is kept.
    pub(super) fn let_go(&mut self, block: u32) -> bool {
        let Some(node) = &mut self.nodes[block as usize] else { return false };
        node.usage.last = self.now;
        self.idle += 1;
        if node.children == 0 {
            self.rule.insert(block, node.usage);
        }
        true
    }

    /// Takes a block that nobody holds out of the tree.
    pub(super) fn evict(&mut self, held: &[bool]) -> Option<u32> {
        if let Some(block) = self.advised(held) {
            self.advice.evicted.0 += 1;
            return Some(block);
        }
        let block = self.rule.evict()?;
        self.advice.evicted.1 += 1;
        self.take_out(block, held)
    }

    /// The next block by advice, taken out. What is held now, has children, or holds other tokens than it did is passed over.
    fn advised(&mut self, held: &[bool]) -> Option<u32> {
        while let Some((block, content)) = self.advice.next.pop_front() {
            let same = self.nodes[block as usize].as_ref().is_some_and(|node| node.usage.content == content);
            if same && self.evict_leaf(block, held) {
                return Some(block);
            }
        }
        None
    }

    /// Takes a block out if nobody holds it and no other follows it; says whether it did.
    pub(super) fn evict_leaf(&mut self, block: u32, held: &[bool]) -> bool {
        let leaf = self.nodes[block as usize].as_ref().is_some_and(|node| node.children == 0);
        if !leaf || held[block as usize] {
            return false;
        }
        self.rule.remove(block);
        self.take_out(block, held).is_some()
    }

    fn take_out(&mut self, block: u32, held: &[bool]) -> Option<u32> {
        let node = self.nodes[block as usize].take()?;
        self.places.remove(&node.place);
        let state = self.states.remove(block);
        if let Some(key) = node.key {
            self.evicted.push(Evicted { key: *key, part: MemoryPart::Block(block) });
            let state = state.map(|slot| Evicted { key: key.state(), part: MemoryPart::State(slot.index()) });
            self.evicted.extend(state);
        }
        self.idle -= 1;
        if let (Some(above), Some(parent)) = (node.place.0, self.parent(node.place)) {
            parent.children -= 1;
            let (leaf, usage) = (parent.children == 0, parent.usage);
            if leaf && !held[above as usize] {
                self.rule.insert(above, usage);
            }
        }
        Some(block)
    }

    /// Evicts by another rule from now on: it learns of the leaves that nobody holds in the order in which they were let go.
    pub(super) fn evict_by(&mut self, mut rule: Box<dyn Rule>, held: &[bool]) -> usize {
        let mut leaves: Vec<(u32, Usage)> = (0..)
            .zip(&self.nodes)
            .filter_map(|(block, node)| Some((block, node.as_ref()?)))
            .filter(|(block, node)| node.children == 0 && !held[*block as usize])
            .map(|(block, node)| (block, node.usage))
            .collect();
        leaves.sort_by_key(|(_, usage)| usage.last);
        let count = leaves.len();
        leaves.into_iter().for_each(|(block, usage)| rule.insert(block, usage));
        self.rule = rule;
        count
    }

    /// By which rule blocks are evicted.
    pub(super) fn rule(&self) -> &'static str {
        self.rule.name()
    }

    /// The blocks of the prefix with this name, from the first on; `None` if there is none.
    pub(super) fn chain(&self, key: &TierKey) -> Option<Vec<u32>> {
        let keys = self.keys();
        let mut next = keys.iter().position(|known| known.as_ref() == Some(key)).map(|at| at as u32);
        let mut chain = vec![];
        while let Some(block) = next {
            chain.push(block);
            next = self.nodes[block as usize].as_ref().and_then(|node| node.place.0);
        }
        chain.reverse();
        (!chain.is_empty()).then_some(chain)
    }

    /// What a block holds now, as advice remembers it.
    pub(super) fn content(&self, block: u32) -> Option<u64> {
        self.nodes[block as usize].as_ref().map(|node| node.usage.content)
    }

    /// The names of all blocks in the tree.
    pub(super) fn keys(&self) -> Vec<Option<TierKey>> {
        let mut keys = vec![None; self.nodes.len()];
        for block in 0..self.nodes.len() as u32 {
            let mut way = vec![];
            let mut next = Some(block).filter(|_| self.has(block));
            while let Some(at) = next.filter(|at| keys[*at as usize].is_none()) {
                way.push(at);
                next = self.nodes[at as usize].as_ref().and_then(|node| node.place.0);
            }
            for at in way.into_iter().rev() {
                let Some(node) = &self.nodes[at as usize] else { continue };
                let above = node.place.0.and_then(|parent| keys[parent as usize]);
                keys[at as usize] =
                    Some(above.unwrap_or_else(|| TierKey::root(node.salt.as_deref())).then(&node.tokens));
            }
        }
        keys
    }

    /// A prefix for each block that no other follows, and those that are `pinned`.
    pub(super) fn list(&self, held: &[bool], pinned: &dyn Fn(&TierKey) -> bool) -> Vec<PrefixMemory> {
        let keys = self.keys();
        let leaf = |(block, node): (usize, &Option<Node>)| {
            let (node, key) = (node.as_ref()?, keys[block]?);
            let pinned = pinned(&key);
            if node.children > 0 && !pinned {
                return None;
            }
            let first = self.first(block as u32)?;
            Some(PrefixMemory {
                key,
                salted: first.salt.is_some(),
                begins: first.tokens.iter().copied().take(BEGINS).collect(),
                blocks: node.usage.depth as usize + 1,
                hits: node.usage.hits,
                idle: (!held[block]).then(|| self.now.saturating_sub(node.usage.last)),
                pinned,
            })
        };
        self.nodes.iter().enumerate().filter_map(leaf).collect()
    }

    /// The first block of a prefix.
    fn first(&self, block: u32) -> Option<&Node> {
        let mut node = self.nodes[block as usize].as_ref()?;
        while let Some(parent) = node.place.0 {
            node = self.nodes[parent as usize].as_ref()?;
        }
        Some(node)
    }

    fn parent(&mut self, place: Place) -> Option<&mut Node> {
        self.nodes[place.0? as usize].as_mut()
    }

    /// Checks that the tree is one, that who is held has parents that are held, and that the rule knows the leaves that
    /// nobody holds.
    pub(super) fn check(&self, held_now: &[bool]) -> Result<(), String> {
        let mut children = vec![0; self.nodes.len()];
        let (mut idle, mut leaves) = (0, 0);
        let nodes = || self.nodes.iter().zip(0..).filter_map(|(node, block)| Some((node.as_ref()?, block)));
        for (node, block) in nodes() {
            let held = held_now[block as usize];
            if let Some(parent) = node.place.0 {
                children[parent as usize] += 1;
                if self.nodes[parent as usize].is_none() || held && !held_now[parent as usize] {
                    return Err(format!("block {block} is shared below {parent}, which is gone or let go"));
                }
            }
            if self.places.get(&node.place) != Some(&block) {
                return Err(format!("block {block} is not where it is looked for"));
            }
            idle += usize::from(!held);
            leaves += usize::from(!held && node.children == 0);
        }
        if let Some((_, block)) = nodes().find(|(node, block)| node.children != children[*block as usize]) {
            return Err(format!("block {block} has {} children", children[block as usize]));
        }
        self.states.check(|block| self.has(block))?;
        let counted = (self.places.len(), self.idle, self.rule.len());
        let due = (nodes().count(), idle, leaves);
        if counted == due { Ok(()) } else { Err(format!("places, idle blocks, leaves: {counted:?}, not {due:?}")) }
    }
}

/// Tokens that are told of a prefix.
const BEGINS: usize = 16;

fn hash(salt: Option<&str>, tokens: &[u32]) -> u64 {
    // Without random keys, so that a run can be repeated: whoever finds collisions loses nothing but their own hits.
    let mut hasher = DefaultHasher::new();
    (salt, tokens).hash(&mut hasher);
    hasher.finish()
}
