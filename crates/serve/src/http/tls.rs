//! TLS: certificates, which may be replaced while the server answers, and whom it asks for theirs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// What is in the files that TLS is made of, as PEM.
#[derive(Clone, Copy)]
pub struct TlsFiles<'a> {
    /// The server's certificate first, then those that lead to one that clients know.
    pub chain: &'a [u8],
    /// The certificate's private key.
    pub key: &'a [u8],
    /// Who signs clients' certificates. If there is one, a client without a certificate of theirs is not answered.
    pub client_authorities: Option<&'a [u8]>,
}

/// TLS 1.2 and 1.3 for connections. Clones share their certificates: replacing those of one replaces those of all.
#[derive(Clone, Debug)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Reads certificates and the key.
    ///
    /// # Errors
    /// If one cannot be read, or the key is not the certificate's; the text says which.
    pub fn new(files: &TlsFiles) -> Result<Tls, String> {
        Ok(Tls(Arc::new(RwLock::new(configured(files)?))))
    }

    /// Takes these instead, from the next connection on.
    ///
    /// # Errors
    /// As [`Tls::new`]; then all is as it was.
    pub fn replace(&self, files: &TlsFiles) -> Result<(), String> {
        let config = configured(files)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

fn configured(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?;
    let builder = match files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let roots = Arc::new(roots(authorities)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("the clients' authorities: {e}"))?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(files.key)
        .map_err(|e| format!("the file of the key has no private key in PEM that can be read: {e}"))?;
    let chain = certificates(files.chain, "the certificate's file")?;
    let mut config = builder.with_single_cert(chain, key).map_err(|e| format!("the certificate and its key: {e}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(authorities: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities, "the file of the clients' authorities")? {
        roots.add(authority).map_err(|e| format!("the clients' authorities: {e}"))?;
    }
    Ok(roots)
}

/// The certificates of a file; at least one.
fn certificates(pem: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|e| format!("{file} cannot be read as PEM: {e}"))?;
    if all.is_empty() {
        Err(format!("{file} has no certificate in PEM (-----BEGIN CERTIFICATE-----)"))
    } else {
        Ok(all)
    }
}
