//! What the store has said yes to is there, once, after whatever happened to its process.

use std::collections::BTreeMap;

use batch::{Batch, Counts, NewBatch, NewFile, Outcome, Status, Store, StoreError};
use proptest::prelude::*;

fn lines(count: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (format!("ask-{i}"), format!("{{\"n\":{i}}}"))).collect()
}

fn add(store: &Store, id: &str, lines: Result<&[(String, String)], &str>) {
    let batch = NewBatch {
        id,
        endpoint: "/v1/x",
        input: "file-1",
        metadata: Some("{}"),
        created: 5,
        expires: 100,
        output_expires: Some(50),
        lines,
    };
    store.add_batch(&batch).expect("kept");
}

fn found(store: &Store, id: &str) -> (Batch, Counts) {
    store.batch(id).expect("no error").expect("it is there")
}

/// The lines of a file.
fn answers(store: &Store, file: Option<&String>) -> Vec<String> {
    let Some(id) = file else { return Vec::new() };
    let content = store.content(id).expect("no error").expect("it is there");
    String::from_utf8(content).expect("text").lines().map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Answers in any order, some of them twice, with the process gone and back between any two.
    #[test]
    fn every_line_is_answered_once(
        count in 1usize..12,
        steps in proptest::collection::vec((0usize..12, any::<bool>(), any::<bool>()), 0..40),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let mut store = Store::open(&path).expect("made");
        add(&store, "b", Ok(&lines(count)));
        let mut recorded: BTreeMap<i64, (bool, String)> = BTreeMap::new();
        for (at, (line, succeeded, gone)) in steps.into_iter().enumerate() {
            let (line, answer) = (line as i64, format!("answer {at}"));
            let new = store.record("b", line, Outcome { succeeded, answer: &answer }).expect("no error");
            prop_assert_eq!(new, (line as usize) < count && !recorded.contains_key(&line));
            if new {
                recorded.insert(line, (succeeded, answer));
            }
            if gone {
                drop(store);
                store = Store::open(&path).expect("opened");
            }
            let open: Vec<i64> = store.unanswered("b", 0, 100).expect("lines").iter().map(|line| line.line).collect();
            let wanted: Vec<i64> = (0..count as i64).filter(|line| !recorded.contains_key(line)).collect();
            prop_assert_eq!(open, wanted);
        }
        let completed = recorded.values().filter(|(succeeded, _)| *succeeded).count() as i64;
        let counts = Counts { total: count as i64, completed, failed: recorded.len() as i64 - completed };
        prop_assert_eq!(found(&store, "b").1, counts);
        store.end("b", (Status::Expired, 9), ["out", "err"], |id| format!("missing {id}")).expect("ended");
        let (batch, _) = found(&store, "b");
        let of = |line: i64| recorded.get(&line).cloned().unwrap_or_else(|| (false, format!("missing ask-{line}")));
        for (file, succeeded) in [(&batch.output, true), (&batch.errors, false)] {
            let wanted: Vec<String> = (0..count as i64).map(of).filter(|one| one.0 == succeeded).map(|one| one.1).collect();
            prop_assert_eq!(file.is_some(), !wanted.is_empty());
            prop_assert_eq!(answers(&store, file.as_ref()), wanted);
        }
        prop_assert_eq!((batch.status, batch.ended), (Status::Expired, Some(9)));
        // What has ended stays as it is.
        store.end("b", (Status::Completed, 10), ["more", "more"], |_| String::new()).expect("no error");
        prop_assert_eq!(found(&store, "b").0, batch);
        prop_assert!(store.open_batches().expect("no error").is_empty());
    }
}

#[test]
fn batches_begin_are_listed_and_are_asked_to_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("db")).expect("made");
    add(&store, "a", Ok(&lines(2)));
    add(&store, "b", Err("line 3 is no JSON"));
    add(&store, "c", Ok(&lines(1)));
    let (failed, counts) = found(&store, "b");
    assert_eq!((failed.status, failed.ended, counts), (Status::Failed, Some(5), Counts::default()));
    assert_eq!(failed.problem.as_deref(), Some("line 3 is no JSON"));
    let ids = |after: Option<&str>, limit| -> Vec<String> {
        store.batches(after, limit).expect("no error").into_iter().map(|(batch, _)| batch.id).collect()
    };
    assert_eq!(
        (ids(None, 2), ids(Some("c"), 5), ids(Some("a"), 5)),
        (vec!["c".into(), "b".into()], vec!["b".into(), "a".into()], vec![])
    );
    let open =
        || -> Vec<String> { store.open_batches().expect("no error").into_iter().map(|batch| batch.id).collect() };
    assert_eq!(open(), ["a", "c"]);
    assert!(store.cancel("a", 7).expect("no error") && !store.cancel("a", 8).expect("no error"));
    assert!(!store.cancel("b", 7).expect("no error") && !store.cancel("none", 7).expect("no error"));
    let (asked, _) = found(&store, "a");
    assert_eq!((asked.status, asked.cancelling), (Status::Cancelling, Some(7)));
    assert_eq!(open(), ["a", "c"]);
    assert!(store.batch("none").expect("no error").is_none());
}

#[test]
fn files_are_kept_listed_and_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let store = Store::open(&path).expect("made");
    for (id, purpose, content) in [("f1", "batch", &b"one"[..]), ("f2", "other", b""), ("f3", "batch", b"\x00\xff")] {
        store.add_file(&NewFile { id, name: "a.jsonl", purpose, created: 3, expires: None, content }).expect("kept");
    }
    let ids = |purpose: Option<&str>, after: Option<&str>, limit| -> Vec<String> {
        store.files(purpose, false, after, limit).expect("no error").into_iter().map(|file| file.id).collect()
    };
    assert_eq!(ids(None, None, 2), ["f3", "f2"]);
    assert_eq!(ids(Some("batch"), Some("f3"), 9), ["f1"]);
    let oldest = store.files(None, true, Some("f1"), 9).expect("no error");
    assert_eq!(oldest.iter().map(|file| file.id.as_str()).collect::<Vec<_>>(), ["f2", "f3"]);
    assert_eq!(store.content("f3").expect("no error").as_deref(), Some(&b"\x00\xff"[..]));
    assert_eq!(store.file("f1").expect("no error").map(|file| (file.name, file.bytes)), Some(("a.jsonl".into(), 3)));
    assert!(store.delete_file("f1").expect("no error") && !store.delete_file("f1").expect("no error"));
    assert_eq!((store.file("f1").expect("no error"), store.content("f1").expect("no error")), (None, None));
    // A second process does not get it; nor does this program get a database of a later one.
    assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))));
}

#[test]
fn files_are_forgotten_when_their_time_is_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("db")).expect("made");
    for (id, expires) in [("stays", None), ("soon", Some(10)), ("late", Some(11))] {
        let file = NewFile { id, name: "a", purpose: "batch", created: 3, expires, content: b"x" };
        store.add_file(&file).expect("kept");
        assert_eq!(store.file(id).expect("no error").map(|file| file.expires), Some(expires));
    }
    add(&store, "b", Ok(&lines(1)));
    store.end("b", (Status::Expired, 9), ["out", "err"], |_| String::new()).expect("ended");
    for (now, left) in [(9, 4), (10, 3), (11, 2), (58, 2), (59, 1)] {
        store.expire_files(now).expect("no error");
        assert_eq!(store.files(None, false, None, 9).expect("no error").len(), left, "at {now}");
    }
}

/// A database of the first version: what it has stays.
#[test]
fn a_database_of_an_earlier_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let old = rusqlite::Connection::open(&path).expect("made");
    old.execute_batch(include_str!("data/version-1.sql")).expect("an old database");
    drop(old);
    let store = Store::open(&path).expect("opened");
    let file = store.file("f").expect("no error").expect("it is there");
    assert_eq!((file.name.as_str(), file.expires, file.bytes), ("old.jsonl", None, 3));
    store.end("b", (Status::Cancelled, 9), ["out", "err"], |_| String::new()).expect("ended");
    assert_eq!(found(&store, "b").0.errors.as_deref(), Some("err"));
    assert_eq!(store.file("err").expect("no error").map(|file| file.expires), Some(None));
}
