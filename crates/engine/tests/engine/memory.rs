//! An engine's memory as it is looked at and changed from outside, and what its parts count of their own.

use engine::{Eviction, Instruments, Level, LevelOrder, MemoryError, MemoryOrder, StopRules, Tier, TierKey};

use crate::scene::Scene;

/// Asks for a token after `prompt`.
fn ask(scene: &mut Scene, prompt: &[u32]) {
    scene.ask(prompt.to_vec(), 1, StopRules { max_tokens: 1, ..StopRules::default() });
    let now = scene.now;
    while !scene.engine.is_idle() {
        scene.engine.step(&|| now);
    }
}

/// Prompts of 2, 3 and 4 whole blocks of 4 tokens in a cache of 20.
fn filled() -> Scene {
    let mut scene = Scene::keeping(64, 4, 20);
    for (token, blocks) in [(1, 2), (2, 3), (3, 4)] {
        ask(&mut scene, &vec![token; 4 * blocks + 1]);
    }
    scene
}

/// The prefixes, each by its first token, its blocks and ! if it is pinned.
fn prefixes(scene: &mut Scene) -> String {
    let report = scene.engine.memory(&MemoryOrder::Report).expect("it can be told");
    scene.engine.check().expect("sound");
    let mut all: Vec<String> = report
        .prefixes
        .iter()
        .map(|prefix| format!("{}x{}{}", prefix.begins[0], prefix.blocks, if prefix.pinned { "!" } else { "" }))
        .collect();
    all.sort();
    all.join(" ")
}

fn key(scene: &mut Scene, token: u32) -> TierKey {
    let report = scene.engine.memory(&MemoryOrder::Report).expect("it can be told");
    report.prefixes.iter().find(|prefix| prefix.begins[0] == token).expect("it is kept").key
}

/// Follows an order; compares what it concerned and what is kept then.
fn check(scene: &mut Scene, order: &MemoryOrder, done: usize, expect: &str) {
    let report = scene.engine.memory(order).expect("it can be done");
    assert_eq!((report.done, prefixes(scene).as_str()), (done, expect), "{order:?}");
}

#[test]
fn blocks_are_evicted_by_number_by_prefix_and_all() {
    let mut scene = filled();
    let two = key(&mut scene, 2);
    check(&mut scene, &MemoryOrder::EvictBlocks(3), 3, "2x2 3x4");
    check(&mut scene, &MemoryOrder::EvictPrefix(key(&mut filled(), 3)), 4, "2x2");
    assert_eq!(scene.engine.memory(&MemoryOrder::EvictPrefix(two)), Err(MemoryError::NoPrefix));
    check(&mut scene, &MemoryOrder::Flush, 2, "");
}

#[test]
fn a_rule_may_change_and_advice_comes_before_it() {
    let mut scene = filled();
    let (one, three) = (key(&mut scene, 1), key(&mut scene, 3));
    check(&mut scene, &MemoryOrder::Advise(vec![three, TierKey([0; 32]), one]), 2, "1x2 2x3 3x4");
    check(&mut scene, &MemoryOrder::EvictBlocks(1), 1, "1x2 2x3 3x3");
    check(&mut scene, &MemoryOrder::EvictBlocks(1), 1, "1x1 2x3 3x3");
    // The advice is used up.
    check(&mut scene, &MemoryOrder::EvictBlocks(1), 1, "2x3 3x3");
    let report = scene.engine.memory(&MemoryOrder::Report).expect("it can be told");
    assert_eq!((report.cache.evicted, report.cache.rule), ((2, 1), "lru"));
    ask(&mut scene, &[2; 13]);
    check(&mut scene, &MemoryOrder::Rule(Eviction::Lfu), 2, "2x3 3x3");
    check(&mut scene, &MemoryOrder::EvictBlocks(3), 3, "2x3");
    check(&mut scene, &MemoryOrder::Keep(4), 2, "2x1");
}

#[test]
fn what_is_pinned_stays_until_nothing_could_run_otherwise() {
    let mut scene = filled();
    let (one, three) = (key(&mut scene, 1), key(&mut scene, 3));
    check(&mut scene, &MemoryOrder::Pin(three), 4, "1x2 2x3 3x4!");
    check(&mut scene, &MemoryOrder::EvictPrefix(three), 0, "1x2 2x3 3x4!");
    check(&mut scene, &MemoryOrder::Flush, 5, "3x4!");
    assert_eq!(scene.engine.memory(&MemoryOrder::Pin(one)), Err(MemoryError::NoPrefix));
    assert_eq!(scene.engine.memory(&MemoryOrder::Unpin(one)), Err(MemoryError::NoPrefix));
    // A conversation that goes on keeps its beginning pinned.
    ask(&mut scene, &[3; 25]);
    assert_eq!(prefixes(&mut scene), "3x4! 3x6");
    check(&mut scene, &MemoryOrder::Unpin(three), 4, "3x6");
    // The cache has 12 blocks; 8 of them are pinned to be too many, 5 are not, until a prompt needs 10.
    let mut scene = Scene::keeping(64, 4, 12);
    ask(&mut scene, &[7; 21]);
    let seven = key(&mut scene, 7);
    check(&mut scene, &MemoryOrder::Pin(seven), 5, "7x5!");
    ask(&mut scene, &[8; 9]);
    let eight = key(&mut scene, 8);
    assert_eq!(scene.engine.memory(&MemoryOrder::Pin(eight)), Err(MemoryError::TooManyPins { wanted: 7, blocks: 12 }));
    ask(&mut scene, &[9; 37]);
    assert!(!prefixes(&mut scene).contains('!') && prefixes(&mut scene).contains("9x9"));
}

/// Two levels that do what they are told, and count it.
struct Shelf(Option<engine::Count>);

impl Tier for Shelf {
    fn put(&mut self, _: &TierKey, _: &[u8]) {
        self.0.iter().for_each(|count| count.add(1));
    }

    fn has(&self, _: &TierKey) -> bool {
        false
    }

    fn get(&mut self, _: &TierKey, _: &mut Vec<u8>) -> bool {
        false
    }

    fn levels(&self) -> Vec<Level> {
        ["upper", "lower"].map(|name| Level { name: name.into(), ..Level::default() }).into()
    }

    fn order(&mut self, level: &str, order: &LevelOrder) -> Option<usize> {
        (level == "lower" && *order == LevelOrder::Flush).then_some(7)
    }

    fn register(&mut self, instruments: &Instruments) {
        self.0 = Some(instruments.count("shelf_puts", "What came."));
    }
}

#[test]
fn levels_get_orders_and_parts_count() {
    let (mut scene, instruments) = (filled().tier(Shelf(None)), Instruments::default());
    scene.engine.register(&instruments);
    let order = |level: &str, order| MemoryOrder::Level(level.into(), order);
    check(&mut scene, &order("lower", LevelOrder::Flush), 7, "1x2 2x3 3x4");
    let refused = scene.engine.memory(&order("upper", LevelOrder::Flush)).map(|report| report.done);
    let levels = "upper, lower".to_owned();
    assert_eq!(refused, Err(MemoryError::NoLevel { name: "upper".into(), levels }));
    assert_eq!(instruments.read()[0].value, engine::ReadingValue::Count(0));
}

#[test]
fn a_prefix_is_named_by_64_digits() {
    let key = TierKey(std::array::from_fn(|i| i as u8 * 7));
    assert_eq!(key.to_string().parse(), Ok(key));
    for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
        assert!(text.parse::<TierKey>().is_err(), "{text}");
    }
}
