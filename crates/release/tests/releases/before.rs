//! What comes before the first stage, and what clients say: both decide, and both are in the journal.

use release::{
    Arm, Beginning, Comparison, Decision, Entry, Event, Limits, Plan, Recorded, SECOND, Shadowing, Stage, Verdict,
};

fn beginning(shadow: bool) -> Beginning {
    let stages =
        vec![Stage { share: 0.5, min_time: 0, min_samples: 10 }, Stage { share: 1.0, min_time: 0, min_samples: 10 }];
    let shadow = shadow.then_some(Shadowing { share: 0.2, limits: Limits::default() });
    let plan = Plan { stages, shadow, freeze_after: 10, warm_up: 0, give_up_after: 1000 * SECOND, ..Plan::default() };
    Beginning { name: "r".into(), salt: "s".into(), at: 0, plan }
}

/// The entries of these events, a second apart; replayed from their text they say the same.
fn journal(beginning: &Beginning, events: impl IntoIterator<Item = Event>) -> (Recorded, Vec<Entry>) {
    let mut release = Recorded::begin(beginning).unwrap();
    let entries: Vec<Entry> = (1..).zip(events).map(|(at, event)| release.apply(at * SECOND, event)).collect();
    let text = entries.iter().map(|entry| serde_json::to_string(entry).unwrap());
    let read: Vec<Entry> = text.map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert_eq!(read, entries);
    let replayed = Recorded::replay(beginning, read).unwrap();
    assert_eq!(replayed.canary().status(0), release.canary().status(0));
    (release, entries)
}

fn compared(divergence: f64, count: usize) -> Vec<Event> {
    let comparison = Comparison { exact: divergence == 0.0, first_difference: None, divergence: Some(divergence) };
    vec![Event::Compared(comparison); count]
}

fn decided(entries: &[Entry]) -> Vec<Decision> {
    entries.iter().flat_map(|entry| entry.decisions.clone()).collect()
}

#[test]
fn nobody_sees_the_candidate_before_it_is_shown_to_be_like_the_stable_variant() {
    let (release, entries) = journal(&beginning(true), compared(0.0, 20));
    assert_eq!((release.canary().share(), release.canary().mirrored(), decided(&entries)), (0.0, 0.2, vec![]));
    let (release, entries) = journal(&beginning(true), compared(0.0, 150));
    assert_eq!((release.canary().share(), release.canary().mirrored(), release.canary().stage()), (0.5, 0.0, 0));
    assert!(
        matches!(&decided(&entries)[..], [Decision::Share { stage: 0, share, .. }] if *share == 0.5),
        "{entries:?}"
    );
    let (release, entries) = journal(&beginning(true), compared(0.4, 150));
    assert_eq!((release.canary().verdict(), release.canary().mirrored()), (Some(Verdict::RolledBack), 0.0));
    assert!(
        matches!(&decided(&entries)[..], [Decision::Ended { why, .. }] if why.contains("different")),
        "{entries:?}"
    );
}

#[test]
fn what_is_shown_waits_for_who_has_stopped_it() {
    let events = [vec![Event::Pause], compared(0.0, 150), vec![Event::Tick]].concat();
    let (release, _) = journal(&beginning(true), events.clone());
    assert_eq!((release.canary().share(), release.canary().mirrored()), (0.0, 0.2));
    let (release, _) = journal(&beginning(true), [events, vec![Event::Resume, Event::Tick]].concat());
    assert_eq!((release.canary().share(), release.canary().stage_began()), (0.5, 154 * SECOND));
    let (release, _) = journal(&beginning(true), [vec![Event::Promote], compared(1.0, 50)].concat());
    assert_eq!(
        (release.canary().share(), release.canary().verdict()),
        (0.5, None),
        "somebody has begun the first stage"
    );
    let (release, _) = journal(&beginning(true), vec![Event::Tick; 1001]);
    assert_eq!(release.canary().verdict(), Some(Verdict::Inconclusive));
}

#[test]
fn clients_are_heard() {
    let marks = |of_candidate: f64, count: usize| {
        let mark = move |unit: usize| {
            let (arm, score) = if unit.is_multiple_of(2) { (Arm::Stable, 1.0) } else { (Arm::Candidate, of_candidate) };
            Event::Feedback { arm, unit: unit as u64, stage: 0, score }
        };
        (0..count).map(mark)
    };
    let (release, entries) = journal(&beginning(false), marks(0.0, 200));
    assert_eq!(release.canary().verdict(), Some(Verdict::RolledBack));
    assert!(
        matches!(&decided(&entries)[..], [Decision::Ended { why, .. }] if why.starts_with("feedback")),
        "{entries:?}"
    );
    let (release, entries) = journal(&beginning(false), marks(1.0, 2000));
    assert_eq!((release.canary().verdict(), decided(&entries)), (None, vec![]));
    let (release, _) = journal(&beginning(false), marks(1.0, 80));
    assert!(release.canary().status(0).waits_for.iter().any(|what| what.starts_with("feedback")), "too few to be sure");
}
