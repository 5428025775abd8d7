//! The levels of memory below the KV cache: the host's memory, and a file. What the first has no room for goes to the second, and what
//! is found in the second may come back into the first.

use std::collections::{BTreeSet, HashMap, HashSet};

use engine::{Count, Histogram, Instruments, Level, LevelCounts, LevelOrder, LevelRule, Promotion, Tier, TierKey};

use crate::spill::SpillFile;

/// Memory for blocks that the KV cache evicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// Bytes at most.
    pub bytes: u64,
    /// Which block gives way to others.
    pub rule: LevelRule,
    /// When what is found in the file below comes back into it.
    pub promotion: Promotion,
}

/// The names of the levels.
const HOST: &str = "host";
pub(crate) const FILE: &str = "file";

/// Keys remembered that were found once, before they are forgotten together.
const FOUND_ONCE: usize = 1 << 16;

/// The levels.
pub(crate) struct Hierarchy {
    host: Host,
    file: Option<SpillFile>,
    promotion: Promotion,
    /// What was found in the file once, and was not promoted.
    found_once: HashSet<TierKey>,
    instruments: Option<Seen>,
}

/// What is counted.
struct Seen {
    host: Count,
    file: Count,
    promoted: Count,
    bytes: Histogram,
}

/// A level in memory.
struct Host {
    limit: u64,
    used: u64,
    rule: LevelRule,
    entries: HashMap<TierKey, Entry>,
    /// The lowest goes first.
    order: BTreeSet<(Rank, TierKey)>,
    uses: u64,
    counts: LevelCounts,
}

type Rank = [u64; 2];

struct Entry {
    bytes: Box<[u8]>,
    hits: u64,
    last: u64,
    came: u64,
}

/// An entry on its way to the level below.
type Victim = (TierKey, Box<[u8]>);

impl Hierarchy {
    pub(crate) fn new(host: HostMemory, file: Option<SpillFile>) -> Hierarchy {
        let HostMemory { bytes, rule, promotion } = host;
        Hierarchy { host: Host::new(bytes, rule), file, promotion, found_once: HashSet::new(), instruments: None }
    }

    fn demote(&mut self, victims: Vec<Victim>) {
        if let Some(file) = &mut self.file {
            victims.iter().for_each(|(key, bytes)| file.put(key, bytes));
        }
    }

    /// Whether what was found in the file comes back into memory.
    fn promotes(&mut self, key: &TierKey) -> bool {
        match self.promotion {
            Promotion::Always => true,
            Promotion::Never => false,
            Promotion::Second => {
                let again = self.found_once.remove(key);
                if !again {
                    if self.found_once.len() >= FOUND_ONCE {
                        self.found_once.clear();
                    }
                    self.found_once.insert(*key);
                }
                again
            }
        }
    }
}

impl Tier for Hierarchy {
    fn put(&mut self, key: &TierKey, bytes: &[u8]) {
        if let Some(seen) = &self.instruments {
            seen.bytes.observe(bytes.len() as f64);
        }
        let victims = self.host.put(key, bytes);
        self.demote(victims);
    }

    fn has(&self, key: &TierKey) -> bool {
        self.host.entries.contains_key(key) || self.file.as_ref().is_some_and(|file| file.has(key))
    }

    fn get(&mut self, key: &TierKey, bytes: &mut Vec<u8>) -> bool {
        if self.host.get(key, bytes) {
            self.instruments.iter().for_each(|seen| seen.host.add(1));
            return true;
        }
        if !self.file.as_mut().is_some_and(|file| file.get(key, bytes)) {
            return false;
        }
        self.instruments.iter().for_each(|seen| seen.file.add(1));
        if self.promotes(key) {
            let victims = self.host.put(key, bytes);
            self.demote(victims);
            if let Some(file) = self.file.as_mut().filter(|_| self.host.entries.contains_key(key)) {
                file.promoted();
                self.instruments.iter().for_each(|seen| seen.promoted.add(1));
            }
        }
        true
    }

    fn levels(&self) -> Vec<Level> {
        let mut levels = vec![self.host.level()];
        let promotion = Some(self.promotion);
        levels.extend(self.file.iter().flat_map(SpillFile::levels).map(|level| Level { promotion, ..level }));
        levels
    }

    fn order(&mut self, level: &str, order: &LevelOrder) -> Option<usize> {
        match (level, order) {
            (FILE, LevelOrder::Promote(promotion)) if self.file.is_some() => {
                self.promotion = *promotion;
                Some(0)
            }
            (HOST, order) => {
                let victims = self.host.order(order)?;
                let count = victims.len();
                self.demote(victims);
                Some(count)
            }
            (level, order) => self.file.as_mut()?.order(level, order),
        }
    }

    fn register(&mut self, instruments: &Instruments) {
        let sizes: Vec<f64> = (12..=26).step_by(2).map(|power| f64::from(1 << power)).collect();
        self.instruments = Some(Seen {
            host: instruments.count("tier_host_hits", "Blocks and states that were found in the host's memory."),
            file: instruments.count("tier_file_hits", "Blocks and states that were found in the file."),
            promoted: instruments.count("tier_promotions", "Blocks and states that came from the file into memory."),
            bytes: instruments.histogram("tier_entry_bytes", "Sizes of blocks and states that left the cache.", &sizes),
        });
    }
}

impl Host {
    fn new(limit: u64, rule: LevelRule) -> Host {
        let (entries, order) = (HashMap::new(), BTreeSet::new());
        Host { limit, used: 0, rule, entries, order, uses: 0, counts: LevelCounts::default() }
    }

    fn level(&self) -> Level {
        let (rule, entries) = (self.rule.name(), self.entries.len());
        Level {
            name: HOST.into(),
            used: self.used,
            limit: self.limit,
            entries,
            rule,
            promotion: None,
            counts: self.counts,
        }
    }

    /// Keeps an entry; gives what has to go for it, itself if it is too large.
    fn put(&mut self, key: &TierKey, bytes: &[u8]) -> Vec<Victim> {
        if self.entries.contains_key(key) {
            return vec![];
        }
        if bytes.len() as u64 > self.limit {
            return vec![(*key, bytes.into())];
        }
        let victims = self.shrink(self.limit - bytes.len() as u64);
        self.counts.evicted += victims.len() as u64;
        self.uses += 1;
        let entry = Entry { bytes: bytes.into(), hits: 0, last: self.uses, came: self.uses };
        self.order.insert((rank(self.rule, &entry), *key));
        self.used += bytes.len() as u64;
        self.entries.insert(*key, entry);
        self.counts.put += 1;
        victims
    }

    fn get(&mut self, key: &TierKey, bytes: &mut Vec<u8>) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        self.uses += 1;
        self.order.remove(&(rank(self.rule, entry), *key));
        (entry.hits, entry.last) = (entry.hits + 1, self.uses);
        self.order.insert((rank(self.rule, entry), *key));
        bytes.clear();
        bytes.extend_from_slice(&entry.bytes);
        self.counts.hits += 1;
        true
    }

    /// Lets entries go until so many bytes are left at most.
    fn shrink(&mut self, bytes: u64) -> Vec<Victim> {
        let mut victims = vec![];
        while self.used > bytes
            && let Some(victim) = self.pop()
        {
            victims.push(victim);
        }
        victims
    }

    fn pop(&mut self) -> Option<Victim> {
        let (_, key) = self.order.pop_first()?;
        let entry = self.entries.remove(&key)?;
        self.used -= entry.bytes.len() as u64;
        Some((key, entry.bytes))
    }

    /// Follows an order; gives what goes.
    fn order(&mut self, order: &LevelOrder) -> Option<Vec<Victim>> {
        match order {
            LevelOrder::Evict(entries) => Some((0..*entries).map_while(|_| self.pop()).collect()),
            LevelOrder::Flush => Some(self.shrink(0)),
            LevelOrder::Resize(bytes) => {
                self.limit = *bytes;
                Some(self.shrink(*bytes))
            }
            LevelOrder::Rule(rule) => {
                self.rule = *rule;
                self.order = self.entries.iter().map(|(key, entry)| (rank(*rule, entry), *key)).collect();
                Some(vec![])
            }
            LevelOrder::Promote(_) => None,
        }
    }
}

fn rank(rule: LevelRule, entry: &Entry) -> Rank {
    match rule {
        LevelRule::Lru => [entry.last, 0],
        LevelRule::Lfu => [entry.hits, entry.last],
        LevelRule::Fifo => [entry.came, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spill;

    fn key(number: u8) -> TierKey {
        TierKey([number; 32])
    }

    /// Which of the entries 0 to 9 are in memory, and which in the file.
    fn held(tiers: &Hierarchy) -> String {
        let list = |has: &dyn Fn(&TierKey) -> bool| -> String {
            (0..10).filter(|number| has(&key(*number))).map(|number| number.to_string()).collect()
        };
        let file = list(&|key| tiers.file.as_ref().is_some_and(|file| file.has(key)));
        format!("{} {file}", list(&|key| tiers.host.entries.contains_key(key)))
    }

    fn get(tiers: &mut Hierarchy, number: u8) -> bool {
        let mut bytes = vec![];
        let found = tiers.get(&key(number), &mut bytes);
        assert!(!found || bytes == [number; 100], "{number}: {bytes:?}");
        found
    }

    /// Room for three entries in memory, of 100 bytes each, and many in a file.
    fn tiers(rule: LevelRule, promotion: Promotion) -> Hierarchy {
        let folder = tempfile::tempdir().expect("a folder");
        let file = Spill { path: folder.path().to_owned(), bytes: 1 << 20 }.open().expect("a file");
        let mut tiers = Hierarchy::new(HostMemory { bytes: 300, rule, promotion }, Some(file));
        (0..3).for_each(|number| tiers.put(&key(number), &[number; 100]));
        tiers
    }

    #[test]
    fn what_has_no_room_in_memory_goes_to_the_file_by_the_rule() {
        let check = |rule: LevelRule, expect: &str| {
            let mut tiers = tiers(rule, Promotion::Never);
            assert!(get(&mut tiers, 0) && get(&mut tiers, 0) && get(&mut tiers, 1));
            tiers.put(&key(3), &[3; 100]);
            assert!(get(&mut tiers, 3) && get(&mut tiers, 3) && get(&mut tiers, 3));
            tiers.put(&key(4), &[4; 100]);
            assert_eq!(held(&tiers), expect, "{}", rule.name());
            assert!(get(&mut tiers, 2) && !get(&mut tiers, 9));
        };
        check(LevelRule::Lru, "134 02");
        check(LevelRule::Lfu, "034 12");
        check(LevelRule::Fifo, "234 01");
    }

    #[test]
    fn what_is_found_in_the_file_comes_back_as_it_is_told() {
        let check = |promotion: Promotion, expect: [&str; 2]| {
            let mut tiers = tiers(LevelRule::Lru, promotion);
            tiers.put(&key(3), &[3; 100]);
            assert_eq!(held(&tiers), "123 0");
            for expect in expect {
                assert!(get(&mut tiers, 0));
                assert_eq!(held(&tiers), expect, "{}", promotion.name());
            }
        };
        check(Promotion::Always, ["023 01", "023 01"]);
        check(Promotion::Second, ["123 0", "023 01"]);
        check(Promotion::Never, ["123 0", "123 0"]);
    }

    #[test]
    fn levels_do_what_they_are_told() {
        let mut tiers = tiers(LevelRule::Lru, Promotion::Always);
        let mut check = |level: &str, order: LevelOrder, done: Option<usize>, expect: &str| {
            assert_eq!((tiers.order(level, &order), held(&tiers).as_str()), (done, expect), "{level} {order:?}");
        };
        check("host", LevelOrder::Evict(1), Some(1), "12 0");
        check("host", LevelOrder::Resize(100), Some(1), "2 01");
        check("host", LevelOrder::Rule(LevelRule::Fifo), Some(0), "2 01");
        check("host", LevelOrder::Flush, Some(1), " 012");
        check("file", LevelOrder::Evict(2), Some(2), " 2");
        check("file", LevelOrder::Promote(Promotion::Never), Some(0), " 2");
        check("host", LevelOrder::Promote(Promotion::Never), None, " 2");
        check("attic", LevelOrder::Flush, None, " 2");
        check("file", LevelOrder::Flush, Some(1), " ");
        let [host, file] = <[Level; 2]>::try_from(tiers.levels()).expect("two levels");
        assert_eq!(
            (host.name.as_str(), host.used, host.limit, host.rule, host.counts.put),
            ("host", 0, 100, "fifo", 3)
        );
        assert_eq!((file.name.as_str(), file.entries, file.promotion), ("file", 0, Some(Promotion::Never)));
    }

    #[test]
    fn what_is_counted_can_be_read() {
        let (mut tiers, instruments) = (tiers(LevelRule::Lru, Promotion::Always), Instruments::default());
        tiers.register(&instruments);
        tiers.put(&key(3), &[3; 100]);
        assert!(get(&mut tiers, 0) && get(&mut tiers, 0) && get(&mut tiers, 3));
        let shown: Vec<String> =
            instruments.read().iter().map(|reading| format!("{} {:?}", reading.name, reading.value)).collect();
        assert_eq!(shown[..3], ["tier_host_hits Count(2)", "tier_file_hits Count(1)", "tier_promotions Count(1)"]);
    }
}
