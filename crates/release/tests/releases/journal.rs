//! Journals: what was decided follows from them, before and after a restart.

use crate::world::{Dice, USUAL, Variant};
use proptest::prelude::*;
use release::{Arm, BadJournal, Beginning, Entry, Event, Plan, Recorded, SECOND, Stage, Unit, explain};

fn beginning() -> Beginning {
    let stage = |share| Stage { share, min_time: 2 * SECOND, min_samples: 20 };
    let margins = release::Margins { failures: 0.2, median: 1.0, tail: 9.0, quality: 0.5 };
    let stages = [0.3, 0.6, 1.0].map(stage).to_vec();
    let plan = Plan { stages, margins, freeze_after: 10, warm_up: 0, by: Unit::Session, ..Plan::default() };
    Beginning { name: "release 1".into(), salt: "1".into(), at: 5 * SECOND, plan }
}

/// A journal of `count` events, as read back from its lines.
fn journal(seed: u64, count: u64) -> Vec<Entry> {
    let mut release = Recorded::begin(&beginning()).unwrap();
    let mut dice = Dice(seed);
    let stable = Variant { quality: Some(0.9), ..USUAL };
    let candidate = Variant { failures: if seed.is_multiple_of(3) { 0.2 } else { 0.01 }, ..stable };
    let mut lines = String::new();
    for i in 0..count {
        let at = 5 * SECOND + i * SECOND / 100;
        let arm = if dice.uniform() < release.canary().share() { Arm::Candidate } else { Arm::Stable };
        let outcome = if arm == Arm::Candidate { candidate } else { stable }.outcome(&mut dice, arm, at);
        let outcome = release::Outcome { stage: release.canary().stage(), ..outcome };
        let rare = dice.uniform();
        let event = match () {
            () if rare < 0.001 => Event::Pause,
            () if rare < 0.004 => Event::Resume,
            () if i % 25 == 0 => Event::Tick,
            () => Event::Outcome(outcome),
        };
        lines += &(serde_json::to_string(&release.apply(at, event)).unwrap() + "\n");
    }
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_restart_changes_nothing(seed in any::<u64>(), count in 1u64..1500, cut in 0.0..1.0f64) {
        let entries = journal(seed, count);
        let cut = (cut * count as f64) as usize;
        let mut release = Recorded::replay(&beginning(), entries[..cut].iter().cloned()).unwrap();
        for entry in &entries[cut..] {
            prop_assert_eq!(&release.apply(entry.at, entry.event.clone()), entry);
        }
        let whole = Recorded::replay(&beginning(), entries.iter().cloned()).unwrap();
        prop_assert_eq!(whole.canary().status(0), release.canary().status(0));
    }
}

#[test]
fn explained() {
    let entries = journal(4, 4000);
    let lines = explain(&beginning(), &entries).unwrap();
    let text = lines.join("\n");
    for part in
        ["release 1 began: 30 % to the candidate.", "requests: 60 % to the candidate (no worse", "requests: promoted"]
    {
        assert!(text.contains(part), "{text}");
    }
    let entries = journal(3, 4000);
    let text = explain(&beginning(), &entries).unwrap().join("\n");
    assert!(text.contains("rolled back (failures: "), "{text}");
}

#[test]
fn a_journal_that_was_changed_is_not_believed() {
    let mut entries = journal(4, 4000);
    let place = entries.iter().position(|e| !e.decisions.is_empty()).unwrap();
    entries[place].decisions = Vec::new();
    let problem = explain(&beginning(), &entries).unwrap_err();
    assert!(matches!(problem, BadJournal::Differs { entry, .. } if entry == place), "{problem}");
}
