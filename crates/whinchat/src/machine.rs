//! What the machine has for this process: cores and memory, as its container limits them.
//!
//! Cores come from [`std::thread::available_parallelism`], which reads affinity and the CPU quotas of control groups, version
//! 1 and 2, nested ones included. Nothing in the standard library reads their memory limits: this does, as the kernel's
//! documents "Control Group v2" (`memory.max`, `memory.high`) and "Memory Resource Controller" (version 1) describe them.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the processor is called, as the system says it; else the kind of its instructions.
pub fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// Lets the calling thread give way to all others of the machine that compute, for good. Where the system has no such thing, it
/// goes on as before.
pub fn give_way() {
    // Of one thread on Linux; elsewhere it would be of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(19);
}

/// Bytes of memory that this process can still take before the system swaps or its control group kills it; `None` where the
/// system does not say.
pub fn memory_available() -> Option<u64> {
    memory_left().least()
}

/// What is left of the memory, in bytes; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryLeft {
    /// Of the machine's.
    pub machine: Option<u64>,
    /// Of what the control groups of this process allow, if they limit it.
    pub group: Option<u64>,
}

impl MemoryLeft {
    /// What this process can still take.
    pub fn least(self) -> Option<u64> {
        self.machine.into_iter().chain(self.group).min()
    }
}

/// What is left of the memory, and whose limit it is.
pub fn memory_left() -> MemoryLeft {
    memory_below(Path::new("/"))
}

/// What [`memory_left`] finds on a machine whose files are below `root`.
fn memory_below(root: &Path) -> MemoryLeft {
    let groups = limited_folders(root).into_iter().filter_map(|(folder, version)| left_in(&folder, version));
    MemoryLeft { machine: machine_memory(root), group: groups.min() }
}

fn machine_memory(root: &Path) -> Option<u64> {
    let info = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kib = info.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"))?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The two versions of control groups, with different files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The folders of every control group that this process is in: its own and those around it, up to where each hierarchy is
/// mounted. A limit holds for all that is below it.
fn limited_folders(root: &Path) -> Vec<(PathBuf, Version)> {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let mut folders = Vec::new();
    for (version, group) in groups.lines().filter_map(membership) {
        for (mounted, point) in mounts.lines().filter_map(|line| mount(line, version)) {
            // A container may see the whole hierarchy's path but only its own part of it mounted.
            let inside = Path::new(group).strip_prefix(&mounted).unwrap_or(Path::new(""));
            let inside = if inside.components().all(|part| matches!(part, Component::Normal(_))) {
                inside
            } else {
                Path::new("")
            };
            let top = root.join(point.trim_start_matches('/'));
            folders.extend(inside.ancestors().map(|part| (top.join(part), version)));
        }
    }
    folders
}

/// A line of `/proc/self/cgroup`, `hierarchy:controllers:path`, if its group may limit memory.
fn membership(line: &str) -> Option<(Version, &str)> {
    let (hierarchy, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    match (hierarchy, controllers) {
        ("0", "") => Some((Version::Two, path)),
        _ => controllers.split(',').any(|one| one == "memory").then_some((Version::One, path)),
    }
}

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)): which part of the version's hierarchy is mounted where.
fn mount(line: &str, version: Version) -> Option<(String, String)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let fits = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|one| one == "memory"),
        Version::Two => kind == "cgroup2",
    };
    let mut fields = before.split(' ').skip(3);
    fits.then(|| Some((unescape(fields.next()?), unescape(fields.next()?)))).flatten()
}

/// Spaces in paths are written `\040`.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

/// Bytes that the group's limit leaves; `None` if it has none. What is cached of files can be had back, so it counts as free.
fn left_in(folder: &Path, version: Version) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    let (limits, used, cached): (&[&str], _, _) = match version {
        Version::One => {
            (&["memory.limit_in_bytes"], "memory.usage_in_bytes", ["total_inactive_file", "total_active_file"])
        }
        Version::Two => (&["memory.max", "memory.high"], "memory.current", ["inactive_file", "active_file"]),
    };
    let limit = limits.iter().filter_map(|file| number(file)).min()?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| cached.contains(name));
    let cached: u64 = cached.filter_map(|(_, bytes)| bytes.trim().parse::<u64>().ok()).sum();
    Some(limit.saturating_sub(number(used)?.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    /// Version 1 has no word for "no limit".
    const NO_LIMIT: &str = "9223372036854771712";
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    /// A machine with 1,000 MiB free and these further files says that so many MiB are available.
    fn check(files: &[(&str, &str)], mib: u64) {
        let root = tempfile::tempdir().expect("a folder");
        let meminfo = ("proc/meminfo", "MemTotal: 2048000 kB\nMemFree:  1 kB\nMemAvailable:  1024000 kB\n");
        for (path, text) in files.iter().chain([&meminfo]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        }
        assert_eq!(memory_below(root.path()).least(), Some(mib * MIB), "{files:?}");
    }

    /// A group of version 2, by its files' contents in MiB.
    fn v2(max: &str, current: u64, inactive: u64, active: u64) -> [String; 3] {
        let bytes = |mib: u64| (mib * MIB).to_string();
        let max = max.parse().map_or(max.to_owned(), bytes);
        let stat = format!("anon 5\ninactive_file {}\nactive_file {}\nshmem 3\n", inactive * MIB, active * MIB);
        [max, bytes(current), stat]
    }

    #[test]
    fn version_two() {
        let member = |path| [("proc/self/cgroup", path), ("proc/self/mountinfo", V2)];
        let [max, current, stat] = &v2("512", 100, 0, 0);
        let files = |folder: &'static str| {
            ["memory.max", "memory.current", "memory.stat"].map(|file| format!("sys/fs/cgroup{folder}/{file}"))
        };
        let [a, b, c] = &files("");
        // In a container the group is the root of what is mounted.
        check(&[&member("0::/\n")[..], &[(a, max), (b, current), (c, stat)]].concat(), 412);
        // Nested: the tightest on the way up counts, whichever it is.
        let [d, e, f] = &files("/a/b");
        let [tight, much, cached] = &v2("300", 250, 30, 20);
        let both = [(a.as_str(), max.as_str()), (b, current), (c, stat), (d, tight), (e, much), (f, cached)];
        check(&[&member("0::/a/b\n")[..], &both].concat(), 100);
        check(&[&member("0::/a/other\n")[..], &both].concat(), 412);
        let [none, ..] = &v2("max", 0, 0, 0);
        let outer = [(a.as_str(), max.as_str()), (b, current), (c, stat), (d, none), (e, much), (f, cached)];
        check(&[&member("0::/a/b\n")[..], &outer].concat(), 412);
        check(&[&member("0::/a/b\n")[..], &[(d, none), (e, much), (f, cached)]].concat(), 1000);
        // memory.high throttles before memory.max kills; more used than is allowed leaves nothing.
        let high = [(d.as_str(), max.as_str()), (e, current), ("sys/fs/cgroup/a/b/memory.high", "209715200\n")];
        check(&[&member("0::/a/b\n")[..], &high].concat(), 100);
        check(&[&member("0::/a/b\n")[..], &[(d, tight), (e, &(400 * MIB).to_string())]].concat(), 0);
        // More than the machine has; a group outside of what is mounted; nothing that can be read.
        let [large, ..] = &v2("5000", 0, 0, 0);
        check(&[&member("0::/a/b\n")[..], &[(d, large), (e, current)]].concat(), 1000);
        check(&[&member("0::/../x\n")[..], &both].concat(), 412);
        check(&[&member("0::/a/b\n")[..], &[(d, "lots"), (e, current)]].concat(), 1000);
        check(&member("nonsense"), 1000);
        check(&[], 1000);
    }

    #[test]
    fn version_one() {
        let folder = "sys/fs/cgroup/memory";
        let member = [("proc/self/cgroup", "9:cpu:/x\n4:memory:/docker/abc\n0::/\n")];
        let files =
            |at: &str| ["limit_in_bytes", "usage_in_bytes", "stat"].map(|file| format!("{folder}{at}/memory.{file}"));
        let stat = "cache 7\ninactive_file 1\ntotal_inactive_file 31457280\ntotal_active_file 20971520\n";
        let [a, b, c] = &files("/docker/abc");
        let [d, e, f] = &files("/docker");
        let bytes = |mib: u64| (mib * MIB).to_string();
        let own = [(a.as_str(), bytes(512)), (b, bytes(200)), (c, stat.into())];
        let case = |mounts: &str, groups: &[(&str, String)], mib| {
            let mut files = member.to_vec();
            files.push(("proc/self/mountinfo", mounts));
            files.extend(groups.iter().map(|(path, text)| (*path, text.as_str())));
            check(&files, mib);
        };
        case(V1, &own, 362);
        let outer = [(d.as_str(), bytes(300)), (e, bytes(250)), (f, "total_active_file 0\n".into())];
        case(V1, &[&own[..], &outer].concat(), 50);
        case(V1, &[(a, NO_LIMIT.into()), (b, bytes(200))], 1000);
        // Only its own part is mounted, as in a container without a namespace of groups.
        let part = V1.replace("0:32 / ", "0:32 /docker/abc ");
        let [g, h, i] = &files("");
        case(&part, &[(g, bytes(512)), (h, bytes(200)), (i, stat.into())], 362);
        // The mount point has a space; both versions are mounted, and version 1 has the memory.
        let odd = "35 31 0:32 / /sys/fs/my\\040groups rw - cgroup cgroup rw,memory\n".to_owned() + V2;
        let (g, h) =
            ("sys/fs/my groups/docker/abc/memory.limit_in_bytes", "sys/fs/my groups/docker/abc/memory.usage_in_bytes");
        case(&odd, &[(g, bytes(512)), (h, bytes(200))], 312);
    }

    #[test]
    fn this_machine_has_cores() {
        assert!(cores() > 0);
        assert!(memory_available().is_none_or(|bytes| bytes > 0));
    }
}
