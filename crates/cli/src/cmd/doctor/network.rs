//! Addresses that are listened on, and files that may be open for connections.

use super::super::listen::{Listening, Place};
use super::super::network::{Connections, connections};
use super::super::sockets::Sockets;
use super::{Finding, Patient};

const CHECK: &str = "network";

/// What came of listening on the addresses, and who is answered.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// Each address, and where it listened or why it cannot.
    pub(super) listens: Vec<(String, Result<Place, String>)>,
    /// Whether a key is asked for.
    pub(super) keys: bool,
    pub(super) tls: bool,
    /// Whether a server runs that hands its addresses over.
    pub(super) handed: bool,
    pub(super) connections: Connections,
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let (network, security) = (&patient.config.network, &patient.config.security);
    let listens = network.listen.iter().map(|address| (address.clone(), listen(address)));
    judge(&Network {
        listens: listens.collect(),
        keys: security.api_keys.is_some(),
        tls: security.tls_cert.is_some(),
        handed: network.hand_over.as_ref().is_some_and(|path| path.exists()),
        connections: connections(patient.config.limits.max_connections),
    })
}

/// Listens for a moment, as `serve` does.
fn listen(address: &str) -> Result<Place, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(|e| e.to_string())?;
    let listening = runtime
        .block_on(Listening::on(&[address.to_owned()], None, &mut Sockets::default()))
        .map_err(|e| e.to_string())?;
    listening.places.first().cloned().ok_or_else(|| format!("nothing listens on {address}"))
}

/// What is to be said of it.
pub(super) fn judge(network: &Network) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        network.listens.iter().map(|(address, listened)| address_of(address, listened, network.handed)).collect();
    let everybody = network.listens.iter().filter_map(|(_, listened)| match listened {
        Ok(Place::Tcp(address) | Place::Tls(address)) if !address.ip().is_loopback() => Some(address),
        _ => None,
    });
    for address in everybody {
        if !network.keys {
            let what = format!("{} answers everybody who reaches it", address.ip());
            findings.push(Finding::warning(
                CHECK,
                what,
                "--api-keys FILE asks for a key; whinchat key create makes one",
            ));
        }
        if !network.tls {
            let what = format!("{} is spoken with in plain text", address.ip());
            findings.push(Finding::warning(
                CHECK,
                what,
                "--tls-cert and --tls-key, or a proxy in front that speaks TLS",
            ));
        }
    }
    let Connections { wanted, files } = network.connections;
    findings.push(if wanted > files {
        let what = format!("{wanted} connections at once, but the system allows {files} beside other files");
        Finding::warning(
            CHECK,
            what,
            format!("ulimit -n {}, or a smaller --max-connections", wanted + super::super::network::OTHER_FILES),
        )
    } else {
        Finding::fine(CHECK, format!("{wanted} connections at once have enough files"))
    });
    findings
}

fn address_of(address: &str, listened: &Result<Place, String>, handed: bool) -> Finding {
    match listened {
        Ok(_) => Finding::fine(CHECK, format!("{address} is free")),
        Err(_) if handed => {
            Finding::fine(CHECK, format!("{address} is taken over from the server that runs (--hand-over)"))
        }
        Err(why) => {
            // The message ends with what helps.
            let (what, fix) = why.split_once("; ").unwrap_or((why, "take another address"));
            Finding::fails(CHECK, what, fix)
        }
    }
}
