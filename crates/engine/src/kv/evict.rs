//! Which shared block goes first when memory is needed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Debug;

/// A rule of eviction, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Eviction {
    /// The block that was let go first; of a sequence's blocks the last one.
    #[default]
    Lru,
    /// The block that was found least often, then the one that was let go first.
    Lfu,
    /// Three queues (Yang et al. 2023): what was never found again goes through a small one, the rest through the main one,
    /// and what comes back soon after its eviction is let into the main one at once.
    S3Fifo,
    /// The block that is worth least: how often it was found × what it costs to compute, which grows with its position;
    /// with age everything is worth less (Cherkasova 1998, with the cost for the size).
    Cost,
}

impl Eviction {
    /// All rules.
    pub const ALL: [Eviction; 4] = [Eviction::Lru, Eviction::Lfu, Eviction::S3Fifo, Eviction::Cost];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Eviction::Lru => "lru",
            Eviction::Lfu => "lfu",
            Eviction::S3Fifo => "s3-fifo",
            Eviction::Cost => "cost",
        }
    }

    /// The rule of this name.
    pub fn named(name: &str) -> Option<Eviction> {
        Eviction::ALL.into_iter().find(|rule| rule.name() == name)
    }

    pub(super) fn rule(self, blocks: usize) -> Box<dyn Rule> {
        match self {
            Eviction::Lru => Box::new(Ranked::new(self, |usage, _| [usage.last, u64::MAX - usage.depth, 0])),
            Eviction::Lfu => Box::new(Ranked::new(self, |usage, _| [usage.hits, usage.last, u64::MAX - usage.depth])),
            Eviction::Cost => Box::new(Ranked::new(self, |usage, age| [age + worth(usage), usage.last, 0])),
            Eviction::S3Fifo => Box::new(S3Fifo::new(blocks)),
        }
    }
}

/// What is known of the use of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How often it was found.
    pub hits: u64,
    /// When it was let go.
    pub last: u64,
    /// Blocks before it.
    pub depth: u64,
    /// A hash of its contents.
    pub content: u64,
}

/// A rule of eviction: the blocks that may be evicted, and which goes next.
pub trait Rule: Debug + Send {
    /// A block may be evicted from now on.
    fn insert(&mut self, block: u32, usage: Usage);

    /// A block may not be evicted any more; one that could not be is passed over.
    fn remove(&mut self, block: u32);

    /// Takes out the block that goes next; `None` if there is none.
    fn evict(&mut self) -> Option<u32>;

    /// Blocks that may be evicted.
    fn len(&self) -> usize;

    /// What it is called where it is told of.
    fn name(&self) -> &'static str {
        "own"
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

type Rank = [u64; 3];

/// Evicts what is lowest in rank. A rank is fixed when a block is let go, from its usage and the highest first number of a
/// rank that was evicted.
#[derive(Debug)]
struct Ranked {
    of: Eviction,
    rank: fn(&Usage, u64) -> Rank,
    order: BTreeSet<(Rank, u32)>,
    ranks: HashMap<u32, Rank>,
    age: u64,
}

impl Ranked {
    fn new(of: Eviction, rank: fn(&Usage, u64) -> Rank) -> Ranked {
        Ranked { of, rank, order: BTreeSet::new(), ranks: HashMap::new(), age: 0 }
    }
}

impl Rule for Ranked {
    fn insert(&mut self, block: u32, usage: Usage) {
        let rank = (self.rank)(&usage, self.age);
        self.ranks.insert(block, rank);
        self.order.insert((rank, block));
    }

    fn remove(&mut self, block: u32) {
        if let Some(rank) = self.ranks.remove(&block) {
            self.order.remove(&(rank, block));
        }
    }

    fn evict(&mut self) -> Option<u32> {
        let (rank, block) = self.order.pop_first()?;
        self.ranks.remove(&block);
        self.age = self.age.max(rank[0]);
        Some(block)
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    fn name(&self) -> &'static str {
        self.of.name()
    }
}

/// Blocks of context after which attention costs as much as everything else, about.
const ATTENTION: u64 = 128;

fn worth(usage: &Usage) -> u64 {
    (usage.hits + 1).saturating_mul(ATTENTION + usage.depth)
}

/// Blocks that are held are in none of the queues; when they are let go, those that were found again go to the main one.
#[derive(Debug)]
struct S3Fifo {
    small: Queue,
    main: Queue,
    places: HashMap<u32, (bool, u64)>,
    /// Contents that were evicted from the small queue, the oldest first.
    ghosts: VecDeque<u64>,
    known: HashSet<u64>,
    arrivals: u64,
    blocks: usize,
}

type Queue = BTreeMap<u64, (u32, Usage)>;

/// The share of the small queue: one of so many.
const SMALL: usize = 10;

impl S3Fifo {
    fn new(blocks: usize) -> S3Fifo {
        S3Fifo {
            small: Queue::new(),
            main: Queue::new(),
            places: HashMap::new(),
            ghosts: VecDeque::new(),
            known: HashSet::new(),
            arrivals: 0,
            blocks,
        }
    }

    fn push(&mut self, main: bool, block: u32, usage: Usage) {
        self.arrivals += 1;
        let queue = if main { &mut self.main } else { &mut self.small };
        queue.insert(self.arrivals, (block, usage));
        self.places.insert(block, (main, self.arrivals));
    }

    fn remember(&mut self, content: u64) {
        if self.known.insert(content) {
            self.ghosts.push_back(content);
        }
        if self.ghosts.len() > self.blocks {
            self.ghosts.pop_front().map(|oldest| self.known.remove(&oldest));
        }
    }
}

impl Rule for S3Fifo {
    fn insert(&mut self, block: u32, usage: Usage) {
        let main = usage.hits > 0 || self.known.contains(&usage.content);
        self.push(main, block, Usage { hits: usage.hits.min(3), ..usage });
    }

    fn remove(&mut self, block: u32) {
        if let Some((main, at)) = self.places.remove(&block) {
            let queue = if main { &mut self.main } else { &mut self.small };
            queue.remove(&at);
        }
    }

    fn evict(&mut self) -> Option<u32> {
        loop {
            let from_main = self.main.len() > self.small.len().saturating_mul(SMALL - 1) || self.small.is_empty();
            let queue = if from_main { &mut self.main } else { &mut self.small };
            let (_, (block, usage)) = queue.pop_first()?;
            self.places.remove(&block);
            if from_main && usage.hits > 0 {
                self.push(true, block, Usage { hits: usage.hits - 1, ..usage });
                continue;
            }
            if !from_main {
                self.remember(usage.content);
            }
            return Some(block);
        }
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn name(&self) -> &'static str {
        Eviction::S3Fifo.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets blocks go as `block:hits@depth`, all at different times, then evicts them all.
    fn check(rule: Eviction, let_go: &str, expect: &str) {
        let mut queue = rule.rule(16);
        for (word, last) in let_go.split(' ').zip(0..) {
            let (block, rest) = word.split_once(':').unwrap();
            let (hits, depth) = rest.split_once('@').unwrap();
            let block: u32 = block.parse().unwrap();
            let usage =
                Usage { hits: hits.parse().unwrap(), last, depth: depth.parse().unwrap(), content: u64::from(block) };
            queue.insert(block, usage);
        }
        queue.remove(9);
        let evicted: Vec<String> = std::iter::from_fn(|| queue.evict()).map(|block| block.to_string()).collect();
        assert_eq!((evicted.join(" ").as_str(), queue.len()), (expect, 0), "{}", rule.name());
    }

    #[test]
    fn each_rule_has_its_order() {
        let let_go = "0:5@0 9:0@0 1:0@1 2:1@300 3:0@0";
        check(Eviction::Lru, let_go, "0 1 2 3");
        check(Eviction::Lfu, let_go, "1 3 2 0");
        // One of a long prompt is worth more than one that was found more often in a short one.
        check(Eviction::Cost, let_go, "3 1 0 2");
        check(Eviction::S3Fifo, let_go, "1 3 2 0");
        for rule in Eviction::ALL {
            assert_eq!(Eviction::named(rule.name()), Some(rule));
        }
        assert_eq!(Eviction::named("fifo"), None);
    }

    #[test]
    fn s3_fifo_lets_in_what_comes_back_and_forgets_old_ghosts() {
        let mut queue = S3Fifo::new(2);
        let usage = |content| Usage { hits: 0, last: 0, depth: 0, content };
        for content in 0..4 {
            queue.insert(0, usage(content));
            assert_eq!(queue.evict(), Some(0));
        }
        queue.insert(1, usage(3));
        queue.insert(2, usage(0));
        assert_eq!((queue.main.len(), queue.small.len(), queue.ghosts.len()), (1, 1, 2));
    }
}
