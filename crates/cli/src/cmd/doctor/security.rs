//! Keys, certificates, and the clock that says whether these are valid.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use config::Config;
use serve::http::Tls;
use serve::{KeyFile, Role};
use x509_parser::pem::Pem;

use super::super::security::with_files;
use super::super::telemetry;
use super::{Finding, Patient};
use crate::keys;

const CHECK: &str = "security";

const DAY: i64 = 24 * 3600;

/// From so many seconds before its end on, a certificate is worth a warning.
const SOON: i64 = 14 * DAY;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Secrets {
    /// The keys that are asked for, and who may read their file.
    pub(super) keys: Option<Result<Keyring, String>>,
    pub(super) tls: Option<Result<Validity, String>>,
    /// Whether others than its owner may read the certificate's key.
    pub(super) tls_key_open: bool,
    /// What is wrong with whom is told of alerts.
    pub(super) alerts: Option<String>,
    pub(super) faults: bool,
    pub(super) now: i64,
    /// When this program was put on the disk.
    pub(super) program: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyring {
    pub(super) keys: usize,
    pub(super) admins: usize,
    pub(super) open: bool,
}

/// From when to when a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: i64,
    pub(super) to: i64,
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let config = &patient.config;
    let security = &config.security;
    judge(&Secrets {
        keys: security.api_keys.as_deref().map(keyring),
        tls: validity(config),
        tls_key_open: security.tls_key.as_deref().is_some_and(open_to_all),
        alerts: telemetry::webhook(&config.telemetry).err().map(|e| format!("{e:#}")),
        faults: security.allow_faults,
        now: seconds(SystemTime::now()),
        program: std::env::current_exe().and_then(|path| path.metadata()?.modified()).ok().map(seconds),
    })
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

fn keyring(path: &Path) -> Result<Keyring, String> {
    let file: KeyFile = keys::read(path).map_err(|e| format!("{e:#}"))?;
    let admins = file.keys().iter().filter(|key| key.role == Role::Admin).count();
    Ok(Keyring { keys: file.keys().len(), admins, open: open_to_all(path) })
}

/// The server's certificate, if the files are what TLS can be made of.
fn validity(config: &Config) -> Option<Result<Validity, String>> {
    let security = &config.security;
    let (cert, key) = security.tls_cert.as_ref().zip(security.tls_key.as_ref())?;
    let paths: Vec<_> = [cert, key].into_iter().chain(&security.tls_client_ca).cloned().collect();
    let usable = with_files(&paths, Tls::new).map_err(|e| format!("{e:#}"));
    Some(usable.and_then(|_| std::fs::read(cert).map_err(|e| e.to_string())).and_then(|pem| read(&pem)))
}

/// When the first certificate of a file is valid.
pub(super) fn read(pem: &[u8]) -> Result<Validity, String> {
    let first = Pem::iter_from_buffer(pem).next().ok_or("the certificate's file has none")?;
    let first = first.map_err(|e| format!("the certificate's file: {e}"))?;
    let certificate = first.parse_x509().map_err(|e| format!("the certificate cannot be read: {e}"))?;
    let validity = certificate.validity();
    Ok(Validity { from: validity.not_before.timestamp(), to: validity.not_after.timestamp() })
}

/// Whether others than its owner and its group may read a file.
#[cfg(unix)]
fn open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> bool {
    false
}

/// What is to be said of it.
pub(super) fn judge(secrets: &Secrets) -> Vec<Finding> {
    let mut findings = Vec::new();
    if secrets.program.is_some_and(|made| secrets.now < made) {
        let what = "the clock is behind the time at which this program was installed: certificates and downloads fail";
        findings.push(Finding::warning("clock", what, "set it, or let it be set (timedatectl set-ntp true)"));
    } else {
        findings.push(Finding::fine("clock", "it is not behind"));
    }
    findings.extend(secrets.keys.as_ref().map(judge_keys).into_iter().flatten());
    findings.extend(secrets.tls.as_ref().map(|tls| judge_tls(tls, secrets.now)));
    if secrets.tls_key_open {
        let what = "everybody on this machine may read the certificate's key";
        findings.push(Finding::warning(CHECK, what, "chmod o-r on its file"));
    }
    if let Some(why) = &secrets.alerts {
        findings.push(Finding::fails(CHECK, why.clone(), "both --alert-url and --alert-secret-file, or neither"));
    }
    if secrets.faults {
        let what = "faults may be injected: this is for tests";
        findings.push(Finding::warning(CHECK, what, "leave --allow-faults out"));
    }
    findings
}

fn judge_keys(keys: &Result<Keyring, String>) -> Vec<Finding> {
    let create = "whinchat key create makes one";
    let Keyring { keys, admins, open } = match keys {
        Ok(keys) => *keys,
        Err(why) => return vec![Finding::fails(CHECK, why.clone(), create)],
    };
    let mut findings = vec![match keys {
        0 => Finding::warning(CHECK, "the file of API keys has none: nobody is answered", create),
        keys => Finding::fine(CHECK, format!("API keys: {keys}, of administrators: {admins}")),
    }];
    if open {
        let what = "everybody on this machine may read who has API keys";
        findings.push(Finding::warning(CHECK, what, "chmod o-r on the file of API keys"));
    }
    findings
}

fn judge_tls(tls: &Result<Validity, String>, now: i64) -> Finding {
    let renew = "renew it; the file is read again when it changes";
    let Validity { from, to } = match tls {
        Ok(validity) => *validity,
        Err(why) => {
            return Finding::fails(CHECK, why.clone(), "a certificate and the key that belongs to it, both as PEM");
        }
    };
    let left = to.saturating_sub(now);
    match () {
        () if now < from => {
            let what = "the certificate is not valid yet: clients refuse it";
            Finding::fails(CHECK, what, "wait for it, or look whether the clock is right")
        }
        () if left <= 0 => Finding::fails(CHECK, format!("the certificate expired {} days ago", -left / DAY), renew),
        () if left < SOON => Finding::warning(CHECK, format!("the certificate expires in {} days", left / DAY), renew),
        () => Finding::fine(CHECK, format!("the certificate fits its key and is valid for {} days", left / DAY)),
    }
}
