//! The sub-allocator under random requests of fixed seeds: places never overlap, nothing is over the budget, and little is lost.

use gpu::{Heap, Place};
use graph::testing::uniform;

const CHUNK: u64 = 1 << 20;
const ALIGN: u64 = 256;

/// A whole number below a bound.
fn below(random: &mut u64, bound: u64) -> u64 {
    ((uniform(random) + 1.0) / 2.0 * bound as f32) as u64
}

/// Sizes as weights and caches have them: many small ones, some large, few larger than a chunk.
fn size(random: &mut u64) -> u64 {
    match below(random, 20) {
        0 => CHUNK + below(random, 2 * CHUNK),
        1..8 => below(random, CHUNK / 4),
        _ => below(random, CHUNK / 64),
    }
}

/// Checks all that must hold of what is taken.
fn check(heap: &Heap, places: &[Place]) {
    let mut sorted: Vec<Place> = places.to_vec();
    sorted.sort_by_key(|place| (place.chunk, place.offset));
    for pair in sorted.windows(2) {
        let apart = pair[0].chunk != pair[1].chunk || pair[0].offset + pair[0].size <= pair[1].offset;
        assert!(apart, "{:?} overlaps {:?}", pair[0], pair[1]);
    }
    assert!(places.iter().all(|place| place.offset.is_multiple_of(ALIGN)), "places are aligned");
    assert_eq!(heap.taken(), places.iter().map(|place| place.size).sum::<u64>());
    assert!(heap.held() <= heap.budget() && heap.taken() <= heap.held());
}

#[test]
fn places_are_apart_within_the_budget_and_little_is_lost() {
    for seed in 1..12u64 {
        let (mut heap, mut random, mut places, mut most) = (Heap::new(64 * CHUNK, CHUNK, ALIGN), seed, vec![], 0);
        for step in 0..3000 {
            // Grows for a while, then shrinks, over and over.
            let grows = below(&mut random, 10) < if step / 500 % 2 == 0 { 6 } else { 4 };
            if grows || places.is_empty() {
                let wanted = size(&mut random);
                if let Some((place, new)) = heap.take(wanted) {
                    assert!(place.size >= wanted && new.is_none_or(|chunk| chunk >= place.size));
                    places.push(place);
                }
            } else {
                let place = places.swap_remove(below(&mut random, places.len() as u64) as usize);
                heap.give(place);
            }
            most = most.max(heap.taken());
            check(&heap, &places);
            // What is lost is never more than what was once needed, and a chunk.
            assert!(heap.held() <= 2 * most + CHUNK, "seed {seed}: {} held, {most} taken at most", heap.held());
        }
        places.drain(..).for_each(|place| _ = heap.give(place));
        assert_eq!((heap.held(), heap.taken()), (0, 0), "all of it is free again");
    }
}

#[test]
fn what_is_over_the_budget_is_refused_and_what_is_given_back_can_be_had() {
    let mut heap = Heap::new(3 * CHUNK, CHUNK, ALIGN);
    assert_eq!(heap.take(4 * CHUNK), None, "larger than the budget");
    assert_eq!(heap.take(u64::MAX), None, "beyond counting");
    let (large, new) = heap.take(2 * CHUNK + 1).expect("within the budget");
    assert_eq!(new, Some(2 * CHUNK + ALIGN), "a chunk of its own");
    assert_eq!(heap.take(CHUNK), None, "less than a chunk is left");
    let (small, new) = heap.take(10).expect("what is left of the budget");
    assert_eq!((small.size, new), (ALIGN, Some(CHUNK - ALIGN)));
    assert_eq!(heap.give(large), Some(large.chunk), "its chunk goes");
    let (again, _) = heap.take(CHUNK).expect("the budget is free again");
    assert_ne!(again.chunk, small.chunk);
    heap.limit(0);
    assert_eq!(heap.take(CHUNK), None, "nothing new over the budget");
    assert!(heap.take(10).is_some(), "but what is held");
}
