//! Every seed and every file that a fuzzer once stumbled over goes through its target's body.

use std::path::{Path, PathBuf};

use whinchat_fuzz::TARGETS;

/// The files of a target in `corpus` or `regressions`; a target without any has no folder.
fn files(kind: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("the folder can be listed").path()).collect()
}

#[test]
fn seeds_and_regressions_run_through() {
    for (target, body) in TARGETS {
        let run = |path: &PathBuf| {
            eprintln!("{}", path.display());
            body(&std::fs::read(path).expect("the file can be read"))
        };
        let accepted = files("corpus", target).iter().filter(|path| run(path)).count();
        assert!(accepted >= 2, "{target}: {accepted} seeds are accepted; the fuzzer would stay at the first checks");
        files("regressions", target).iter().for_each(|path| _ = run(path));
    }
}

#[test]
fn broken_seeds_run_through() {
    for (target, body) in TARGETS {
        body(b"");
        for path in files("corpus", target) {
            let seed = std::fs::read(path).expect("the file can be read");
            let step = (seed.len() / 64).max(1);
            for at in (0..seed.len()).step_by(step) {
                body(&seed[..at]);
                let mut flipped = seed.clone();
                flipped[at] ^= 1 << (at % 8);
                body(&flipped);
            }
        }
    }
}
