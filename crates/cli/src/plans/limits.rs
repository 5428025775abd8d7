//! The machine's limits, measured once and kept in the user's cache folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use whinchat::{Machine, machine};

/// Bytes that are read to measure the memory, at most.
const BYTES: usize = 512 << 20;

/// By processor and threads: bytes, 8-bit operations and operations on numbers per second, in billions.
type Kept = BTreeMap<String, [Option<f64>; 3]>;

/// The user's cache folder for this program.
pub(super) fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("whinchat"))
}

fn path() -> Option<PathBuf> {
    Some(folder()?.join("limits.json"))
}

fn kept() -> Kept {
    let read = || serde_json::from_slice(&std::fs::read(path()?).ok()?).ok();
    read().unwrap_or_default()
}

fn name(threads: usize) -> String {
    format!("{}, {threads} threads", machine::processor())
}

/// The limits of so many threads of this machine, if they were measured before.
pub(crate) fn known(threads: usize) -> Option<Machine> {
    let [read, int8, f32] = *kept().get(&name(threads))?;
    // What there is no instruction for is no number.
    let or_none = |number: Option<f64>| number.unwrap_or(f64::NAN);
    Some(Machine { read_gb_s: read?, int8_gop_s: or_none(int8), f32_gflop_s: or_none(f32) })
}

/// The limits of so many threads of this machine, measured if they were not before: that takes two seconds.
pub(crate) fn measured(threads: usize) -> Machine {
    if let Some(machine) = known(threads) {
        return machine;
    }
    let left = machine::memory_available().map_or(BYTES, |left| usize::try_from(left / 4).unwrap_or(BYTES));
    let found = Machine::measure(threads, BYTES.min(left));
    keep(threads, &found);
    found
}

/// Keeps them; where nothing can be kept they are measured again.
fn keep(threads: usize, machine: &Machine) {
    let mut all = kept();
    let number = |number: f64| Some(number).filter(|number| number.is_finite());
    let found = [machine.read_gb_s, machine.int8_gop_s, machine.f32_gflop_s].map(number);
    all.insert(name(threads), found);
    let write = || -> Option<()> {
        let path = path()?;
        std::fs::create_dir_all(path.parent()?).ok()?;
        std::fs::write(path, serde_json::to_vec_pretty(&all).ok()?).ok()
    };
    let _ = write();
}
