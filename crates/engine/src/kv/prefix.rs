//! Which blocks hold which prefixes: a tree of full blocks, in which the way from the root spells the tokens.
//!
//! A block is found by its parent and a hash of its tokens, and then the tokens are compared: nothing depends on the hash
//! but speed. A parent stays as long as it has children, so a block's place in the tree says everything about what comes
//! before it. Whoever holds a block holds its ancestors too; so what nobody holds can be evicted from the leaves up.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use graph::MemoryPart;

use super::checkpoints::Checkpoints;
use super::evict::{Eviction, Rule, Usage};
use super::key::TierKey;
use crate::StateSlot;
use crate::tier::Evicted;

/// The tree.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// By block.
    nodes: Vec<Option<Node>>,
    /// By parent and hash.
    places: HashMap<Place, u32>,
    /// Leaves that nobody holds.
    rule: Box<dyn Rule>,
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
    pub(super) fn new(blocks: usize, eviction: Eviction) -> Prefixes {
        Prefixes {
            nodes: (0..blocks).map(|_| None).collect(),
            places: HashMap::new(),
            rule: eviction.rule(blocks),
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
    pub(super) fn evict(&mut self, owners: &[u32]) -> Option<u32> {
        let block = self.rule.evict()?;
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
            if leaf && owners[above as usize] == 0 {
                self.rule.insert(above, usage);
            }
        }
        Some(block)
    }

    fn parent(&mut self, place: Place) -> Option<&mut Node> {
        self.nodes[place.0? as usize].as_mut()
    }

    /// Checks that the tree is one, that who is held has parents that are held, and that the rule knows the leaves that
    /// nobody holds.
    pub(super) fn check(&self, owners: &[u32]) -> Result<(), String> {
        let mut children = vec![0; self.nodes.len()];
        let (mut idle, mut leaves) = (0, 0);
        let nodes = || self.nodes.iter().zip(0..).filter_map(|(node, block)| Some((node.as_ref()?, block)));
        for (node, block) in nodes() {
            let held = owners[block as usize] > 0;
            if let Some(parent) = node.place.0 {
                children[parent as usize] += 1;
                if self.nodes[parent as usize].is_none() || held && owners[parent as usize] == 0 {
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

fn hash(salt: Option<&str>, tokens: &[u32]) -> u64 {
    // Without random keys, so that a run can be repeated: whoever finds collisions loses nothing but their own hits.
    let mut hasher = DefaultHasher::new();
    (salt, tokens).hash(&mut hasher);
    hasher.finish()
}
