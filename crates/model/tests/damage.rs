//! Damaged files: whatever is done to a file, opening it gives a model or an error that names the file and a field;
//! never a panic, and never much more memory than the file has bytes.

mod support;

use std::sync::Arc;

use model::{Checkpoint, ModelError};
use proptest::prelude::*;
use support::*;

/// Asks everything of a checkpoint that can be asked.
fn exercise(opened: Result<Arc<Checkpoint>, ModelError>, what: &str) {
    match opened {
        Ok(c) => {
            let touched: usize = c.tensors().iter().filter_map(|t| c.bytes(t).last()).map(|&b| b as usize).sum();
            let _ = (touched, c.name(), c.generation(), c.chat_template(), c.tokenizer().map(|_| ()));
            match c.bind(Some(64)) {
                Ok(model) => model.graph().weight_ids().for_each(|id| drop(model.read(id))),
                Err(error) => explained(&error, what),
            }
        }
        Err(error) => explained(&error, what),
    }
}

fn explained(error: &ModelError, what: &str) {
    match error {
        ModelError::Invalid { field, problem, .. } | ModelError::Unsupported { field, problem, .. } => {
            assert!(!field.is_empty() && problem.len() > 10, "{what}: {field}: {problem}");
        }
        ModelError::Io { source, .. } => panic!("{what}: {source}"),
    }
}

fn gguf(bytes: &[u8], what: &str) {
    exercise(Checkpoint::from_gguf_bytes(bytes.to_vec()), what);
}

fn safe(bytes: &[u8], what: &str) {
    exercise(Checkpoint::from_safetensors_bytes(bytes.to_vec(), "{}"), what);
}

/// Values that hostile fields hold.
const HOSTILE: [u64; 8] = [0, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 40, 1 << 62, i64::MAX as u64, u64::MAX];

/// Truncations before, in and after each of `marks`; hostile numbers there; every bit of the first `header` bytes.
fn damages(bytes: &[u8], marks: &[usize], header: usize, open: fn(&[u8], &str)) {
    for &mark in marks {
        for end in [mark, mark + 1, mark + 7] {
            open(&bytes[..end.min(bytes.len())], &format!("cut at {end}"));
        }
        for value in HOSTILE {
            for width in [4, 8] {
                let mut damaged = bytes.to_vec();
                let end = (mark + width).min(bytes.len());
                damaged[mark..end].copy_from_slice(&value.to_le_bytes()[..end - mark]);
                open(&damaged, &format!("{value} at {mark}"));
            }
        }
    }
    for bit in 0..header.min(bytes.len()) * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        open(&damaged, &format!("bit {bit} flipped"));
    }
}

/// The most virtual memory that this process has had, in bytes; an allocation counts even if it is never touched.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[test]
fn small_files_damaged_everywhere() {
    let before = peak();
    let (bytes, marks) = sample().write();
    damages(&bytes, &marks, marks[marks.len() - 4], gguf);
    let bytes = sample_safetensors();
    let header = bytes.len() - 103;
    let marks: Vec<usize> = (0..bytes.len()).collect();
    damages(&bytes, &marks, header, safe);
    if let (Some(before), Some(after)) = (before, peak()) {
        // Loose, because the threads of this file's other tests reserve some memory at the same time; the hostile
        // numbers ask for 2 GB and more.
        assert!(after - before < 1 << 30, "{} bytes more", after - before);
    }
}

#[test]
fn a_bound_model_damaged_everywhere() {
    let bytes = include_bytes!("../../../fuzz/corpus/gguf/llama");
    let c = Checkpoint::from_gguf_bytes(&bytes[..]).unwrap();
    c.bind(Some(64)).expect("the seed is a model");
    let header = bytes.len() - c.tensors().iter().map(|t| t.bytes.next_multiple_of(32)).sum::<usize>();
    damages(bytes, &(0..header).step_by(4).collect::<Vec<_>>(), header, gguf);
}

#[test]
fn shared_files_damaged() {
    for file in ["stories260K", "mmproj-tinygemma3", "llama-2-tiny-random"] {
        let Some(path) = shared(&format!("models/{file}.gguf")) else { return };
        let bytes = std::fs::read(path).unwrap();
        let marks: Vec<usize> = (0..24).chain((24..bytes.len()).step_by(bytes.len() / 40)).collect();
        damages(&bytes, &marks, 40, gguf);
    }
    let Some(path) = shared("models/phi-tiny-random.safetensors") else { return };
    let bytes = std::fs::read(path).unwrap();
    let marks: Vec<usize> = (0..24).chain((24..bytes.len()).step_by(bytes.len() / 40)).collect();
    damages(&bytes, &marks, 40, safe);
}

/// Bytes overwritten, a piece removed, a piece doubled.
fn mutate(
    mut bytes: Vec<u8>,
    writes: &[(prop::sample::Index, u8)],
    piece: [prop::sample::Index; 2],
    kind: u8,
) -> Vec<u8> {
    for (at, value) in writes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    let [a, b] = piece.map(|index| index.index(bytes.len()));
    let piece = a.min(b)..a.max(b);
    match kind {
        0 => drop(bytes.drain(piece)),
        1 => bytes.extend_from_within(piece),
        _ => {}
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_damage(
        writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        piece in any::<[prop::sample::Index; 2]>(),
        kind in 0u8..6,
    ) {
        gguf(&mutate(sample().bytes(), &writes, piece, kind), "random");
        safe(&mutate(sample_safetensors(), &writes, piece, kind), "random");
    }

    #[test]
    fn anything_after_the_magic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        gguf(&[&b"GGUF\x03\0\0\0"[..], &tail].concat(), "random tail");
    }
}
