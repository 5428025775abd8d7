//! What the store has said yes to is there, once, after whatever happened to its process.

use std::collections::BTreeMap;

use batch::{Batch, Counts, NewBatch, NewFile, Outcome, Owned, Status, Store, StoreError, Who};
use proptest::prelude::*;

fn lines(count: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (format!("ask-{i}"), format!("{{\"n\":{i}}}"))).collect()
}

/// What somebody sees who may see all.
fn all(store: &Store) -> Owned<'_> {
    store.of(Who::Anybody)
}

fn add(store: Owned<'_>, id: &str, lines: Result<&[(String, String)], &str>) {
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
    all(store).batch(id).expect("no error").expect("it is there")
}

/// The lines of a file.
fn answers(store: &Store, file: Option<&String>) -> Vec<String> {
    let Some(id) = file else { return Vec::new() };
    let content = all(store).content(id).expect("no error").expect("it is there");
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
        add(all(&store), "b", Ok(&lines(count)));
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
    add(all(&store), "a", Ok(&lines(2)));
    add(all(&store), "b", Err("line 3 is no JSON"));
    add(all(&store), "c", Ok(&lines(1)));
    let (failed, counts) = found(&store, "b");
    assert_eq!((failed.status, failed.ended, counts), (Status::Failed, Some(5), Counts::default()));
    assert_eq!(failed.problem.as_deref(), Some("line 3 is no JSON"));
    let ids = |after: Option<&str>, limit| -> Vec<String> {
        all(&store).batches(after, limit).expect("no error").into_iter().map(|(batch, _)| batch.id).collect()
    };
    assert_eq!(
        (ids(None, 2), ids(Some("c"), 5), ids(Some("a"), 5)),
        (vec!["c".into(), "b".into()], vec!["b".into(), "a".into()], vec![])
    );
    let open =
        || -> Vec<String> { store.open_batches().expect("no error").into_iter().map(|(batch, _)| batch.id).collect() };
    assert_eq!(open(), ["a", "c"]);
    assert!(all(&store).cancel("a", 7).expect("no error") && !all(&store).cancel("a", 8).expect("no error"));
    assert!(!all(&store).cancel("b", 7).expect("no error") && !all(&store).cancel("none", 7).expect("no error"));
    let (asked, _) = found(&store, "a");
    assert_eq!((asked.status, asked.cancelling), (Status::Cancelling, Some(7)));
    assert_eq!(open(), ["a", "c"]);
    assert!(all(&store).batch("none").expect("no error").is_none());
}

#[test]
fn files_are_kept_listed_and_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let store = Store::open(&path).expect("made");
    for (id, purpose, content) in [("f1", "batch", &b"one"[..]), ("f2", "other", b""), ("f3", "batch", b"\x00\xff")] {
        all(&store)
            .add_file(&NewFile { id, name: "a.jsonl", purpose, created: 3, expires: None, content })
            .expect("kept");
    }
    let ids = |purpose: Option<&str>, after: Option<&str>, limit| -> Vec<String> {
        all(&store).files(purpose, false, after, limit).expect("no error").into_iter().map(|file| file.id).collect()
    };
    assert_eq!(ids(None, None, 2), ["f3", "f2"]);
    assert_eq!(ids(Some("batch"), Some("f3"), 9), ["f1"]);
    let oldest = all(&store).files(None, true, Some("f1"), 9).expect("no error");
    assert_eq!(oldest.iter().map(|file| file.id.as_str()).collect::<Vec<_>>(), ["f2", "f3"]);
    assert_eq!(all(&store).content("f3").expect("no error").as_deref(), Some(&b"\x00\xff"[..]));
    assert_eq!(
        all(&store).file("f1").expect("no error").map(|file| (file.name, file.bytes)),
        Some(("a.jsonl".into(), 3))
    );
    assert!(all(&store).delete_file("f1").expect("no error") && !all(&store).delete_file("f1").expect("no error"));
    assert_eq!((all(&store).file("f1").expect("no error"), all(&store).content("f1").expect("no error")), (None, None));
    // A second process does not get it; nor does this program get a database of a later one.
    assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))));
}

#[test]
fn files_are_forgotten_when_their_time_is_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("db")).expect("made");
    for (id, expires) in [("stays", None), ("soon", Some(10)), ("late", Some(11))] {
        let file = NewFile { id, name: "a", purpose: "batch", created: 3, expires, content: b"x" };
        all(&store).add_file(&file).expect("kept");
        assert_eq!(all(&store).file(id).expect("no error").map(|file| file.expires), Some(expires));
    }
    add(all(&store), "b", Ok(&lines(1)));
    store.end("b", (Status::Expired, 9), ["out", "err"], |_| String::new()).expect("ended");
    for (now, left) in [(9, 4), (10, 3), (11, 2), (58, 2), (59, 1)] {
        store.expire_files(now).expect("no error");
        assert_eq!(all(&store).files(None, false, None, 9).expect("no error").len(), left, "at {now}");
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
    let file = all(&store).file("f").expect("no error").expect("it is there");
    assert_eq!((file.name.as_str(), file.expires, file.bytes), ("old.jsonl", None, 3));
    store.end("b", (Status::Cancelled, 9), ["out", "err"], |_| String::new()).expect("ended");
    assert_eq!(found(&store, "b").0.errors.as_deref(), Some("err"));
    assert_eq!(all(&store).file("err").expect("no error").map(|file| file.expires), Some(None));
}

/// Two owners, one who oversees all, and what was kept by nobody.
#[test]
fn what_belongs_to_others_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("db")).expect("made");
    let everyone = [Who::Owner("a"), Who::Owner("b"), Who::Overseer("boss"), Who::Anybody];
    for (at, who) in everyone.into_iter().enumerate() {
        let id = format!("f{at}");
        let file = NewFile { id: &id, name: "x", purpose: "batch", created: 3, expires: None, content: b"xy" };
        store.of(who).add_file(&file).expect("kept");
        add(store.of(who), &format!("b{at}"), Ok(&lines(1)));
    }
    let owners: Vec<_> = store.open_batches().expect("no error").into_iter().map(|(_, owner)| owner).collect();
    assert_eq!(owners, [Some("a".into()), Some("b".into()), Some("boss".into()), None]);
    let bytes = |who| store.of(who).bytes().expect("no error");
    let line = lines(1)[0].1.len() as u64;
    assert_eq!((everyone.map(bytes), bytes(Who::Owner("c"))), ([2 + line; 4], 0));
    let check = |who: Who, sees: &[usize]| {
        let owned = store.of(who);
        let named = |kind: &str| sees.iter().rev().map(|at| format!("{kind}{at}")).collect::<Vec<_>>();
        let files = owned.files(None, false, None, 9).expect("no error");
        assert_eq!(files.into_iter().map(|file| file.id).collect::<Vec<_>>(), named("f"), "{who:?}");
        let batches = owned.batches(None, 9).expect("no error");
        assert_eq!(batches.into_iter().map(|(batch, _)| batch.id).collect::<Vec<_>>(), named("b"), "{who:?}");
        for at in 0..4 {
            let (file, batch, seen) = (format!("f{at}"), format!("b{at}"), sees.contains(&at));
            assert_eq!(owned.file(&file).expect("no error").is_some(), seen, "{who:?} {file}");
            assert_eq!(owned.content(&file).expect("no error").is_some(), seen, "{who:?} {file}");
            assert_eq!(owned.batch(&batch).expect("no error").is_some(), seen, "{who:?} {batch}");
            // A list does not go on behind what is not there.
            let after = sees.iter().filter(|other| seen && **other < at).count();
            assert_eq!(owned.files(None, false, Some(&file), 9).expect("no error").len(), after, "{who:?} {file}");
            assert_eq!(owned.batches(Some(&batch), 9).expect("no error").len(), after, "{who:?} {batch}");
        }
    };
    check(Who::Owner("a"), &[0]);
    check(Who::Owner("b"), &[1]);
    check(Who::Owner("c"), &[]);
    check(Who::Overseer("boss"), &[0, 1, 2, 3]);
    check(Who::Anybody, &[0, 1, 2, 3]);
    let (a, b) = (store.of(Who::Owner("a")), store.of(Who::Owner("b")));
    assert!(!b.cancel("b0", 7).expect("no error") && a.cancel("b0", 7).expect("no error"));
    assert!(!b.delete_file("f0").expect("no error") && a.delete_file("f0").expect("no error"));
    // Answers are their batch's owner's.
    store.end("b1", (Status::Expired, 9), ["out", "err"], |_| "answer".to_owned()).expect("ended");
    assert!(b.content("err").expect("no error").is_some() && a.content("err").expect("no error").is_none());
    assert_eq!(bytes(Who::Owner("b")), 2 + "answer\n".len() as u64);
    assert!(store.of(Who::Overseer("boss")).delete_file("err").expect("no error"));
}

#[test]
fn what_is_learned_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    {
        let store = Store::open(&path).expect("made");
        store.keep_learned("a", "first", &[1, u64::MAX]).expect("kept");
        store.keep_learned("a", "second", &[1, 2]).expect("a unit may come again");
        store.keep_learned("b", "other", &[1]).expect("kept");
    }
    let store = Store::open(&path).expect("opened");
    let (what, mut units) = store.learned("a").expect("read").expect("it is there");
    units.sort_unstable();
    assert_eq!((what.as_str(), units), ("second", vec![1, 2, u64::MAX]));
    store.forget_learned("a").expect("forgotten");
    assert_eq!(store.learned("a").expect("read"), None);
    store.keep_learned("a", "anew", &[]).expect("kept");
    assert_eq!(store.learned("a").expect("read"), Some(("anew".to_owned(), Vec::new())));
    assert_eq!(store.learned("b").expect("read"), Some(("other".to_owned(), vec![1])));
}

#[test]
fn releases_come_back_with_their_journals() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let entries = |from: usize, to: usize| (from..to).map(|entry| format!("{{\"n\":{entry}}}")).collect::<Vec<_>>();
    {
        let store = Store::open(&path).expect("a database");
        store.keep_release("a", Some("first"), (0, &[])).expect("kept");
        store.keep_release("a", None, (0, &entries(0, 3))).expect("kept");
        store.keep_release("b", Some("second"), (0, &entries(0, 1))).expect("kept");
        store.keep_release("a", Some("ended"), (3, &entries(3, 5))).expect("kept");
        // An entry is written once; what came with a second one is not kept.
        assert!(store.keep_release("a", Some("changed"), (4, &entries(9, 10))).is_err());
        assert!(store.keep_release("unknown", None, (0, &entries(0, 1))).is_err(), "a journal is some release's");
    }
    let store = Store::open(&path).expect("the same database");
    let releases = vec![("a".to_owned(), "ended".to_owned()), ("b".to_owned(), "second".to_owned())];
    assert_eq!(store.releases().expect("read"), releases);
    assert_eq!(store.journal("a").expect("read"), entries(0, 5));
    store.forget_releases(&["a".to_owned()]).expect("forgotten");
    assert_eq!(store.releases().expect("read"), releases[1..]);
    assert_eq!(
        (store.journal("a").expect("read"), store.journal("b").expect("read")),
        (Vec::<String>::new(), entries(0, 1))
    );
}
