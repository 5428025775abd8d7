//! Names and versions without a server: what each means, and what is forgotten.

use super::{Catalog, KeepAlive, LoadOrder};

fn order(version: Option<&str>) -> LoadOrder {
    LoadOrder {
        source: "file".into(),
        version: version.map(str::to_owned),
        keep_alive: Some(KeepAlive::Forever),
        ..LoadOrder::default()
    }
}

/// What a name means: `name@version`, or the problem.
fn meant(catalog: &Catalog, name: &str) -> String {
    match catalog.key(name) {
        Ok(key) => format!("{}@{}", key.name, key.version),
        Err(problem) => problem.message,
    }
}

#[test]
fn names_mean_versions() {
    let mut catalog = Catalog::default();
    catalog.know("a", order(None)).expect("free");
    catalog.know("org/b:Q4@main", order(Some("x"))).expect("free");
    catalog.alias("c", "a").expect("free");
    catalog.alias("d", "org/b:Q4@main").expect("free");
    catalog.alias("e", "a@1").expect("free");
    let check = |name: &str, wanted: &str| {
        let meant = meant(&catalog, name);
        assert!(meant.contains(wanted), "{name} means {meant}, not {wanted}");
    };
    for (name, wanted) in [
        ("a", "a@1"),
        ("a@1", "a@1"),
        ("", "a@1"),
        ("default", "a@1"),
        ("c", "a@1"),
        ("c@1", "a@1"),
        ("e", "a@1"),
        ("e@1", "a@1"),
        ("org/b:Q4@main", "org/b:Q4@main@x"),
        ("org/b:Q4@main@x", "org/b:Q4@main@x"),
        ("d@x", "org/b:Q4@main@x"),
        ("d@y", "no version `y`. There is: x"),
        ("a@2", "no version `2`. There is: 1"),
        ("f", "There is: a, org/b:Q4@main, c, d, e"),
        ("a@", "no version ``"),
        ("@1", "does not exist"),
    ] {
        check(name, wanted);
    }
    for taken in ["a", "c"] {
        assert!(catalog.know(taken, order(None)).is_err() && catalog.alias(taken, "a").is_err(), "{taken}");
    }
    catalog.remove("a").expect("it is there");
    assert!(meant(&catalog, "c").contains("does not exist"), "its aliases go with it");
    assert_eq!(meant(&catalog, ""), "org/b:Q4@main@x", "the next is the first");
}
