//! Packed weights that several processes of the program use.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::{Server, program, root};

/// What `run` says of the small model with this folder of packed weights.
fn run(cache: &Path) -> std::process::Child {
    let model = root().join("tests/data/tiny");
    let words = ["run", "--raw", "--temperature", "0", "-n", "16", "--model"];
    let mut command = program();
    command.args(words).arg(model).arg("--weights-cache").arg(cache).arg("abc");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn processes_that_start_at_once_keep_one_file_and_say_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("cache");
    let first: Vec<_> = (0..4).map(|_| run(&cache)).collect();
    let ends = first.into_iter().chain([run(&cache)]).map(|child| child.wait_with_output().expect("it ends"));
    let outputs: Vec<_> = ends.collect();
    for output in &outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty() && output.stdout == outputs[0].stdout);
    }
    let [file] = &files(&cache)[..] else { panic!("{:?}", files(&cache)) };
    let notes: Vec<_> = outputs.iter().map(|output| String::from_utf8_lossy(&output.stderr)).collect();
    let kept = format!("packed weights are kept for the next start, in {}", file.display());
    assert!(notes.iter().any(|note| note.contains(&kept)), "{notes:?}");
    // One more finds the file and has nothing to say.
    let last = run(&cache).wait_with_output().expect("it ends");
    assert!(last.stderr.is_empty() && last.stdout == outputs[0].stdout, "{}", String::from_utf8_lossy(&last.stderr));
}

/// Kilobytes of a process's map of `file`, by what /proc/PID/smaps calls them.
#[cfg(target_os = "linux")]
fn mapped(server: &Server, file: &Path, name: &str) -> u64 {
    let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", server.child.id())).expect("Linux has it");
    let mut inside = false;
    let mut sum = 0;
    for line in smaps.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        match word.strip_suffix(':') {
            None => inside = line.ends_with(&*file.to_string_lossy()),
            Some(key) if inside && key == name => {
                sum += line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number");
            }
            Some(_) => {}
        }
    }
    sum
}

#[cfg(target_os = "linux")]
#[test]
fn two_servers_share_the_pages_of_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().display().to_string();
    let flags = ["--weights-cache", &cache];
    drop(Server::tiny(&flags));
    let [file] = &files(folder.path())[..] else { panic!("{:?}", files(folder.path())) };
    let file = file.canonicalize().expect("it is there");
    let servers = [Server::tiny(&flags), Server::tiny(&flags)];
    let size = std::fs::metadata(&file).expect("it is there").len() / 1024;
    for server in &servers {
        let [all, clean, dirty] = ["Rss", "Shared_Clean", "Shared_Dirty"].map(|name| mapped(server, &file, name));
        assert!(all >= size && clean + dirty == all, "{all} of {size} KiB, shared {clean} and {dirty}");
    }
    let body = br#"{"model":"tiny","prompt":"abc","temperature":0,"max_tokens":8}"#;
    let said = servers.each_ref().map(|server| server.fetch("POST /v1/completions", &[], body));
    let text = |(status, body): &(u16, String)| {
        assert_eq!(*status, 200, "{body}");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        body["choices"][0]["text"].as_str().expect("a text").to_owned()
    };
    assert_eq!(text(&said[0]), text(&said[1]));
    assert!(!text(&said[0]).is_empty());
}
