//! Cores: how many there are for this process, what they can do, and who takes them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kernels::Isa;
use whinchat::machine;

use super::{Finding, Patient};

const CHECK: &str = "cores";

/// How long others are watched: the kernel counts in hundredths of a second.
const LOOK: Duration = Duration::from_millis(300);

/// What the machine has, and what it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cores {
    /// That this process may use.
    pub(super) usable: usize,
    /// That the machine has; 0 where it does not say.
    pub(super) online: usize,
    /// Threads that were asked for.
    pub(super) threads: Option<usize>,
    pub(super) pin: bool,
    /// Whether two of them may be one core.
    pub(super) smt: bool,
    /// The instruction set, and whether it is one for vectors.
    pub(super) isa: (String, bool),
    /// Cores that other processes take, and the share of time that a hypervisor takes.
    pub(super) others: f64,
    pub(super) stolen: f64,
    /// The process that takes most, and how many.
    pub(super) busiest: Option<(String, f64)>,
    /// How a core's frequency is governed: the driver and the governor.
    pub(super) governor: Option<(String, String)>,
    /// What the system does with large pages: always, madvise or never.
    pub(super) large_pages: Option<String>,
    /// Devices that compute and are not used.
    pub(super) gpus: Vec<String>,
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let engine = &patient.config.engine;
    judge(&Cores { threads: engine.threads, pin: engine.pin, ..look(Path::new("/")) })
}

/// What the files below `root` say.
fn look(root: &Path) -> Cores {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned());
    let frequency = "sys/devices/system/cpu/cpu0/cpufreq";
    let governor = read(&format!("{frequency}/scaling_driver")).zip(read(&format!("{frequency}/scaling_governor")));
    let (isa, gpus) = (Isa::detect(), ["dev/nvidia0", "dev/kfd", "dev/dri/renderD128"]);
    let (others, stolen, busiest) = others(root);
    Cores {
        usable: machine::cores(),
        online: read("sys/devices/system/cpu/online").map_or(0, |list| listed(&list)),
        smt: read("sys/devices/system/cpu/smt/active").is_some_and(|active| active == "1"),
        isa: (format!("{isa:?}"), isa != Isa::Portable),
        others,
        stolen,
        busiest,
        governor,
        large_pages: read("sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
        gpus: gpus.into_iter().filter(|device| root.join(device).exists()).map(|device| format!("/{device}")).collect(),
        ..Cores::default()
    }
}

/// What others do while this thread waits: cores that they take, the share that is stolen, and who takes most.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel counts in hundredths of a second; there is no event to wait for"
)]
fn others(root: &Path) -> (f64, f64, Option<(String, f64)>) {
    let (mut probe, before) = (crate::machine::probe(1), processes(root));
    std::thread::sleep(LOOK);
    let (machine, after) = (probe(), processes(root));
    let cores = |(id, name, ticks): (u32, String, u64)| {
        let before = before.iter().find(|(known, ..)| *known == id)?.2;
        Some((name, ticks.saturating_sub(before) as f64 / crate::machine::TICKS / LOOK.as_secs_f64()))
    };
    let busiest = after.into_iter().filter_map(cores).max_by(|a, b| a.1.total_cmp(&b.1));
    (machine.others, machine.stolen, busiest)
}

/// Every other process: its number, its name and the ticks that it has had.
fn processes(root: &Path) -> Vec<(u32, String, u64)> {
    let one = |entry: fs::DirEntry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok().filter(|id| *id != std::process::id())?;
        let text = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((id, text.split_once('(')?.1.rsplit_once(')')?.0.to_owned(), crate::cores::own(&text)?))
    };
    fs::read_dir(root.join("proc")).into_iter().flatten().flatten().filter_map(one).collect()
}

/// How many a list of the kernel's has, as `0-3,8`.
fn listed(list: &str) -> usize {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((last.parse::<usize>().ok()? + 1).saturating_sub(first.parse().ok()?))
    };
    list.split(',').filter_map(range).sum()
}

/// The word in brackets of `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// What is to be said of such a machine.
pub(super) fn judge(cores: &Cores) -> Vec<Finding> {
    let mut findings = vec![available(cores), instructions(cores)];
    findings.extend(threads(cores));
    findings.extend(taken(cores));
    findings.extend(settings(cores));
    let gpu = "the model is computed by the CPU; this build uses no GPU";
    findings.push(match cores.gpus.as_slice() {
        [] => Finding::fine(CHECK, format!("no GPU is there: {gpu}")),
        some => Finding::fine(CHECK, format!("{} is there and stays idle: {gpu}", some.join(", "))),
    });
    findings
}

fn available(cores: &Cores) -> Finding {
    let Cores { usable, online, smt, .. } = *cores;
    let smt = if smt { "; two of them may be threads of one core (SMT)" } else { "" };
    if online > usable {
        let what =
            format!("this process may use {usable} of {online} cores, by its affinity or its control group{smt}");
        return Finding::fine(CHECK, what);
    }
    Finding::fine(CHECK, format!("{usable} for this process{smt}"))
}

fn instructions(cores: &Cores) -> Finding {
    match &cores.isa {
        (name, true) => Finding::fine(CHECK, format!("they have {name}")),
        (name, false) => {
            let what = format!("they have no instructions that are known here ({name}): answers are slow");
            Finding::warning(
                CHECK,
                what,
                "x86-64 with AVX2 and FMA, or ARM with DOTPROD; a virtual machine may hide them",
            )
        }
    }
}

fn threads(cores: &Cores) -> Option<Finding> {
    let (threads, usable) = (cores.threads?, cores.usable);
    (threads > usable).then(|| {
        let what = format!("{threads} threads compute on {usable} cores: each step waits for the slowest");
        Finding::warning(CHECK, what, format!("--threads {usable}, or leave it out"))
    })
}

fn taken(cores: &Cores) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Half a core, or a tenth of all.
    if cores.others >= (cores.usable as f64 / 10.0).max(0.5) {
        let named = cores.busiest.as_ref().filter(|(_, cores)| *cores >= 0.25);
        let named = named.map_or_else(String::new, |(name, cores)| format!(", most of all {name} ({cores:.1})"));
        let what = format!(
            "other processes take {:.1} of {} cores{named}: a step waits for its slowest core",
            cores.others, cores.usable
        );
        let fix =
            if cores.pin { "end them, or leave --pin out" } else { "end them, or give --threads as many as are left" };
        findings.push(Finding::warning(CHECK, what, fix));
    }
    if cores.stolen >= 0.02 {
        let what = format!("the hypervisor gives {:.0} % of the time to other machines", cores.stolen * 100.0);
        findings.push(Finding::warning(CHECK, what, "a machine whose cores are its own"));
    }
    findings
}

fn settings(cores: &Cores) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some((driver, governor)) = &cores.governor {
        // Drivers that leave it to the processor call that "powersave" too.
        let slow = governor == "powersave" && !driver.contains("pstate");
        findings.push(match slow {
            true => {
                let what = format!("their frequency is held down (governor {governor}, driver {driver})");
                Finding::warning(CHECK, what, "cpupower frequency-set -g performance")
            }
            false => {
                Finding::fine(CHECK, format!("their frequency follows the load (governor {governor}, driver {driver})"))
            }
        });
    }
    if cores.large_pages.as_deref() == Some("never") {
        let what = "transparent huge pages are off: walking through weights and the KV cache is slower";
        let fix = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
        findings.push(Finding::warning(CHECK, what, fix));
    }
    findings
}
