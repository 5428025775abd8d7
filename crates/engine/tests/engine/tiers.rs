//! The second tier: what is evicted comes back, bit for bit; what is damaged or forgotten is computed anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use engine::{StopRules, Tier, TierKey};

use crate::scene::Scene;

/// A tier in memory that holds so many blocks and states.
pub(crate) struct Drawer {
    most: usize,
    held: Arc<Mutex<BTreeMap<TierKey, Vec<u8>>>>,
    /// Numbers by which it now and then has damaged or forgotten what it is asked for.
    whim: Option<u64>,
}

impl Drawer {
    pub(crate) fn new(most: usize, whim: Option<u64>) -> Drawer {
        Drawer { most, held: Arc::default(), whim }
    }

    /// Whether it is in a bad mood.
    fn is_moody(&mut self) -> bool {
        let Some(whim) = &mut self.whim else { return false };
        *whim = whim.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *whim >> 61 == 0
    }
}

impl Tier for Drawer {
    fn put(&mut self, key: &TierKey, bytes: &[u8]) {
        let mut held = self.held.lock().unwrap();
        held.insert(*key, bytes.to_vec());
        while held.len() > self.most {
            held.pop_first();
        }
    }

    fn has(&self, key: &TierKey) -> bool {
        self.held.lock().unwrap().contains_key(key)
    }

    fn get(&mut self, key: &TierKey, bytes: &mut Vec<u8>) -> bool {
        if self.is_moody() {
            return false;
        }
        bytes.clear();
        self.held.lock().unwrap().get(key).map(|held| bytes.extend(held)).is_some()
    }
}

/// Asks for a token after `prompt`.
fn ask(scene: &mut Scene, prompt: &[u32], expect: &[&str]) {
    scene.ask(prompt.to_vec(), 1, StopRules { max_tokens: 1, ..StopRules::default() }).check(expect);
}

const ONE: [u32; 10] = [1; 10];
const TWO: [u32; 13] = [2; 13];

#[test]
fn what_was_evicted_comes_back() {
    let mut scene = Scene::keeping(64, 4, 4).tier(Drawer::new(99, None));
    ask(&mut scene, &ONE, &["p10 d0 r0 w0 b0"]);
    ask(&mut scene, &TWO, &["p13 d0 r0 w0 b0"]);
    // Both blocks of the first are back, the last two tokens are computed.
    ask(&mut scene, &ONE, &["p2 d0 r0 w0 b0 f8"]);
    let stats = scene.engine.stats();
    assert_eq!((stats.tier.restored, stats.tier.spilled), (2, 4), "{stats:?}");
}

#[test]
fn a_state_comes_back_with_its_block() {
    let prompt: Vec<u32> = (0..40).map(|i| i * i % 29).collect();
    let mut scene = Scene::with_states(64, 4, 12, 2).tier(Drawer::new(99, None));
    ask(&mut scene, &prompt, &["p36 d0 r1 w0 b10", "p4 d0 r0 w0 b0"]);
    // A slot is taken from the older state, and blocks from the end.
    ask(&mut scene, &TWO, &["p13 d0 r0 w0 b0"]);
    ask(&mut scene, &prompt, &["p4 d0 r0 w0 b0 f36"]);
    assert!(scene.engine.stats().tier.restored > 0);
}

#[test]
fn what_the_tier_lost_is_computed() {
    // It holds a block: the last that came, which is not the first that is needed.
    let mut scene = Scene::keeping(64, 4, 4).tier(Drawer::new(0, None));
    ask(&mut scene, &ONE, &["p10 d0 r0 w0 b0"]);
    ask(&mut scene, &TWO, &["p13 d0 r0 w0 b0"]);
    ask(&mut scene, &ONE, &["p10 d0 r0 w0 b0"]);
    assert_eq!(scene.engine.stats().tier.restored, 0);
}
