//! What is said of machines and servers that are made up.

use std::net::SocketAddr;

use whinchat::machine::MemoryLeft;

use super::super::listen::Place;
use super::super::network::Connections;
use super::cores::Cores;
use super::memory::Taken;
use super::model::{Seen, Unready};
use super::network::Network;
use super::security::{Keyring, Secrets, Validity};
use super::storage::{Found, Kept};
use super::{Finding, Verdict, cores, memory, model, network, security, storage};

/// Compares findings that are not fine, in order, each with a part of it: `!` before what would fail, `?` before a warning. What is
/// not fine says what would help.
fn check(case: &str, findings: &[Finding], wanted: &[&str]) {
    let bad: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict != Verdict::Fine).collect();
    let same = bad.len() == wanted.len()
        && bad.iter().zip(wanted).all(|(finding, wanted)| {
            let (mark, part) = wanted.split_at(1);
            let verdict = if mark == "!" { Verdict::Fails } else { Verdict::Warning };
            let shown = finding.to_string();
            finding.verdict == verdict
                && shown.contains(part)
                && finding.fix.as_ref().is_some_and(|fix| !fix.is_empty())
        });
    assert!(same, "{case}: {bad:#?}\nis not {wanted:?}");
    assert!(!findings.is_empty(), "{case}: something is said in any case");
}

#[test]
fn models() {
    let good = Seen {
        size: "1B".to_owned(),
        tokenizer: Ok(100),
        continues: true,
        template: Ok(Some("its own".to_owned())),
        context: 8,
        own_context: 8,
        builtin: false,
    };
    let said = |seen: Seen, wanted: &[&str]| check("model", &model::judge("m", false, Ok(seen)), wanted);
    said(good.clone(), &[]);
    said(Seen { template: Ok(None), ..good.clone() }, &["?no chat template"]);
    said(Seen { template: Ok(None), continues: false, ..good.clone() }, &[]);
    said(Seen { template: Err("line 3".to_owned()), ..good.clone() }, &["?chats are refused: line 3"]);
    said(
        Seen { tokenizer: Err("tokenizer.json is missing".to_owned()), ..good.clone() },
        &["!tokenizer.json is missing"],
    );
    said(Seen { context: 9, ..good.clone() }, &["?a context of 9, but it was made for 8"]);
    said(Seen { builtin: true, ..good }, &["?to try things out"]);
    check("absent", &model::judge("org/m", false, Err(Unready::Absent("org/m".into()))), &["?whinchat pull org/m"]);
    let broken = || Err(Unready::Broken("no architecture `x`".to_owned()));
    check("broken", &model::judge("m", false, broken()), &["!no architecture `x`"]);
    check("lazy", &model::judge("m", true, broken()), &["?no architecture `x`"]);
}

#[test]
fn memories() {
    const GIB: u64 = 1 << 30;
    let taken =
        |fixed: u64, pool: u64, lazy| Taken { name: "m".to_owned(), lazy, fixed: fixed * GIB, pool: pool * GIB };
    let left = |machine: u64, group: Option<u64>| MemoryLeft {
        machine: Some(machine * GIB),
        group: group.map(|group| group * GIB),
    };
    let said = |taken: &[Taken], left: MemoryLeft, wanted: &[&str]| {
        check(&format!("{taken:?} {left:?}"), &memory::judge(taken, left), wanted);
    };
    said(&[taken(4, 2, false)], left(8, None), &[]);
    said(
        &[taken(4, 2, false)],
        left(5, None),
        &["?with a full KV cache it takes 6.00 GiB, but 5.00 GiB of the machine"],
    );
    said(&[taken(4, 2, false)], left(3, None), &["!weights and values take 4.00 GiB, but 3.00 GiB of the machine"]);
    said(&[taken(4, 2, false)], left(64, Some(3)), &["!raise the container's limit"]);
    said(&[taken(4, 0, false), taken(3, 0, false)], left(6, None), &["!take 7.00 GiB"]);
    said(
        &[taken(4, 0, false), taken(3, 0, true)],
        left(6, None),
        &["?m, when it is asked for, takes 3.00 GiB besides"],
    );
    said(&[taken(4, 0, false), taken(2, 0, true)], left(6, None), &[]);
    said(&[taken(u64::MAX / GIB, 9, false)], left(6, None), &["!would be killed or swap"]);
    said(&[taken(4, 2, false)], MemoryLeft::default(), &["?does not say"]);
    said(&[], left(1, None), &[]);
}

#[test]
fn machines() {
    let good = Cores { usable: 8, online: 8, isa: ("Avx512".to_owned(), true), ..Cores::default() };
    let said = |cores: Cores, wanted: &[&str]| check(&format!("{cores:?}"), &cores::judge(&cores), wanted);
    let governed = |driver: &str, governor: &str| Some((driver.to_owned(), governor.to_owned()));
    said(good.clone(), &[]);
    said(Cores { usable: 2, smt: true, ..good.clone() }, &[]);
    said(Cores { isa: ("Portable".to_owned(), false), ..good.clone() }, &["?no instructions"]);
    said(Cores { threads: Some(8), ..good.clone() }, &[]);
    said(Cores { threads: Some(9), ..good.clone() }, &["?--threads 8"]);
    said(Cores { others: 0.4, ..good.clone() }, &[]);
    let rustc = Some(("rustc".to_owned(), 1.5));
    said(
        Cores { others: 1.9, busiest: rustc.clone(), ..good.clone() },
        &["?take 1.9 of 8 cores, most of all rustc (1.5)"],
    );
    said(Cores { others: 1.9, busiest: rustc, pin: true, ..good.clone() }, &["?leave --pin out"]);
    said(Cores { others: 2.0, usable: 64, ..good.clone() }, &[]);
    said(Cores { stolen: 0.1, ..good.clone() }, &["?10 % of the time"]);
    said(Cores { governor: governed("acpi-cpufreq", "powersave"), ..good.clone() }, &["?cpupower"]);
    said(Cores { governor: governed("intel_pstate", "powersave"), ..good.clone() }, &[]);
    said(Cores { governor: governed("acpi-cpufreq", "schedutil"), ..good.clone() }, &[]);
    said(Cores { large_pages: Some("never".to_owned()), ..good.clone() }, &["?huge pages are off"]);
    said(Cores { large_pages: Some("madvise".to_owned()), ..good.clone() }, &[]);
    let gpu = cores::judge(&Cores { gpus: vec!["/dev/nvidia0".to_owned()], ..good.clone() });
    assert!(gpu.iter().any(|finding| finding.what.contains("/dev/nvidia0 is there and stays idle")), "{gpu:?}");
    assert!(cores::judge(&good).iter().any(|finding| finding.what.contains("no GPU is there")));
}

#[test]
fn networks() {
    let place = |address: &str| Place::Tcp(address.parse::<SocketAddr>().expect("an address"));
    let said = |listened: Result<Place, String>, (keys, tls), (wanted_connections, files), wanted: &[&str]| {
        let listens = vec![("here".to_owned(), listened)];
        let connections = Connections { wanted: wanted_connections, files };
        let network = Network { listens, keys, tls, handed: false, connections };
        check(&format!("{network:?}"), &network::judge(&network), wanted);
        let handed = network::judge(&Network { handed: true, ..network });
        assert!(handed.iter().all(|finding| finding.verdict != Verdict::Fails), "{handed:?}");
    };
    let (none, both, enough) = ((false, false), (true, true), (100, 1000));
    said(Ok(place("127.0.0.1:8000")), none, enough, &[]);
    said(Ok(place("[::1]:8000")), none, enough, &[]);
    said(Ok(Place::Unix("/run/w.sock".into())), none, enough, &[]);
    said(Ok(place("0.0.0.0:8000")), none, enough, &["?0.0.0.0 answers everybody", "?plain text"]);
    said(Ok(place("0.0.0.0:8000")), both, enough, &[]);
    said(Ok(place("127.0.0.1:8000")), none, (4096, 896), &["?ulimit -n 4224"]);
    let taken = "cannot listen on here: in use; another program listens there: stop it".to_owned();
    said(Err(taken), none, enough, &["!-> another program listens there: stop it"]);
}

#[test]
fn folders() {
    let good = Kept {
        what: "sessions",
        path: "/srv/s".into(),
        needed: true,
        possible: true,
        wants: 1 << 30,
        found: Found { writable: true, free: Some(2 << 30) },
    };
    let said = |kept: Kept, wanted: &[&str]| check(&format!("{kept:?}"), &[storage::judge(&kept)], wanted);
    let full = Found { writable: true, free: Some(1 << 20) };
    let locked = Found { writable: false, free: None };
    said(good.clone(), &[]);
    said(Kept { found: Found { free: None, ..good.found }, ..good.clone() }, &[]);
    said(Kept { found: full, ..good.clone() }, &["?1.00 MiB are free, and 1.00 GiB may be wanted"]);
    said(Kept { found: locked, ..good.clone() }, &["!sessions in /srv/s: it cannot be written"]);
    said(Kept { found: locked, needed: false, ..good.clone() }, &["?it cannot be written"]);
    said(Kept { possible: false, ..good }, &["!--features batches"]);
}

#[test]
fn secrets() {
    const DAY: i64 = 24 * 3600;
    let now = 20_000 * DAY;
    let good = Secrets { now, program: Some(now - DAY), ..Secrets::default() };
    let said = |secrets: Secrets, wanted: &[&str]| check(&format!("{secrets:?}"), &security::judge(&secrets), wanted);
    let keys = |keys, open| Some(Ok(Keyring { keys, admins: 1, open }));
    let tls = |from: i64, to: i64| Some(Ok(Validity { from: now + from * DAY, to: now + to * DAY }));
    said(good.clone(), &[]);
    said(Secrets { program: None, ..good.clone() }, &[]);
    said(Secrets { program: Some(now + 1), ..good.clone() }, &["?the clock is behind"]);
    said(Secrets { keys: keys(3, false), ..good.clone() }, &[]);
    said(Secrets { keys: keys(0, false), ..good.clone() }, &["?nobody is answered"]);
    said(Secrets { keys: keys(3, true), ..good.clone() }, &["?may read who has API keys"]);
    said(Secrets { keys: Some(Err("cannot read k".to_owned())), ..good.clone() }, &["!cannot read k"]);
    said(Secrets { tls: tls(-1, 90), ..good.clone() }, &[]);
    said(Secrets { tls: tls(-80, 10), ..good.clone() }, &["?expires in 10 days"]);
    said(Secrets { tls: tls(-90, -2), ..good.clone() }, &["!expired 2 days ago"]);
    said(Secrets { tls: tls(1, 90), ..good.clone() }, &["!not valid yet"]);
    said(Secrets { tls: Some(Err("the key is another's".to_owned())), ..good.clone() }, &["!the key is another's"]);
    said(Secrets { tls_key_open: true, ..good.clone() }, &["?chmod o-r"]);
    said(Secrets { alerts: Some("there is no --alert-url".to_owned()), ..good.clone() }, &["!no --alert-url"]);
    said(Secrets { faults: true, ..good }, &["?--allow-faults"]);
}

#[test]
fn a_certificate_says_until_when_it_is_valid() {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2030, 1, 2));
    let key = rcgen::KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("it signs").pem();
    assert_eq!(security::read(pem.as_bytes()), Ok(Validity { from: 1_577_836_800, to: 1_893_542_400 }));
    let cut = &pem[..pem.len() / 2];
    for broken in ["", "no PEM", cut, &pem.replace('M', "N")] {
        assert!(security::read(broken.as_bytes()).is_err(), "{broken}");
    }
}
