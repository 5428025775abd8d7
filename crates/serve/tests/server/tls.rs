//! TLS: who is answered over it, and certificates that change meanwhile.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serve::http::{Tls, TlsFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Server, Setup};

/// A certificate and its key, as PEM.
#[derive(Clone)]
struct Pair {
    chain: String,
    key: String,
}

impl Pair {
    fn files<'a>(&'a self, authority: Option<&'a str>) -> TlsFiles<'a> {
        let client_authorities = authority.map(str::as_bytes);
        TlsFiles { chain: self.chain.as_bytes(), key: self.key.as_bytes(), client_authorities }
    }
}

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("it signs itself"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, name: &str) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("it signs");
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A client that trusts this authority, and has a certificate if it is given one.
fn client(authority: &str, own: Option<&Pair>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.chain.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("they fit")
        }
    };
    Arc::new(config).into()
}

async fn connected(connector: &TlsConnector, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let name = "localhost".try_into().expect("a name");
    connector.connect(name, TcpStream::connect(address).await?).await
}

/// Asks for /health, and reads the answer to its end if the connection is closed then.
async fn ask(stream: &mut TlsStream<TcpStream>, connection: &str) -> io::Result<String> {
    let request = format!("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while connection == "close" || !answer.ends_with(b"}") {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn server(tls: &Tls) -> Server {
    Server::with(Setup { tls: Some(tls.clone()), ..Setup::default() }).await
}

#[tokio::test]
async fn certificates_change_while_connections_are_open() {
    let [first, second] = [Authority::new(), Authority::new()];
    let tls = Tls::new(&first.sign("localhost").files(None)).expect("it can be used");
    let server = server(&tls).await;
    let [old, new] = [client(&first.pem(), None), client(&second.pem(), None)];
    let mut kept = connected(&old, server.address).await.expect("a handshake");
    assert!(ask(&mut kept, "keep-alive").await.expect("an answer").starts_with("HTTP/1.1 200 OK"));
    assert!(connected(&new, server.address).await.is_err(), "it does not trust the first");

    let pair = second.sign("localhost");
    let wrong = Pair { key: first.sign("localhost").key, ..pair.clone() };
    assert!(tls.replace(&wrong.files(None)).is_err());
    assert!(connected(&old, server.address).await.is_ok(), "what is wrong changes nothing");
    tls.replace(&pair.files(None)).expect("it can be used");
    assert!(connected(&old, server.address).await.is_err(), "it does not trust the second");
    let mut fresh = connected(&new, server.address).await.expect("a handshake");
    assert!(ask(&mut fresh, "close").await.expect("an answer").starts_with("HTTP/1.1 200 OK"));
    assert!(ask(&mut kept, "keep-alive").await.expect("an answer").starts_with("HTTP/1.1 200 OK"));
}

/// Clients connect and ask while certificates are swapped all the time: each of them is answered.
#[tokio::test]
async fn certificates_are_swapped_under_load() {
    let authority = Authority::new();
    let pairs = [authority.sign("localhost"), authority.sign("localhost")];
    let tls = Tls::new(&pairs[0].files(None)).expect("it can be used");
    let server = server(&tls).await;
    let (address, connector) = (server.address, client(&authority.pem(), None));
    let asks = |connector: TlsConnector| async move {
        let mut kept = connected(&connector, address).await.expect("a handshake");
        for _ in 0..10 {
            let mut fresh = connected(&connector, address).await.expect("a handshake");
            for answer in [ask(&mut kept, "keep-alive").await, ask(&mut fresh, "close").await] {
                assert!(answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200 OK")), "{answer:?}");
            }
        }
    };
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(asks(connector.clone()))).collect();
    let mut swaps = 0;
    while clients.iter().any(|client| !client.is_finished()) {
        swaps += 1;
        tls.replace(&pairs[swaps % 2].files(None)).expect("it can be used");
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.expect("each was answered");
    }
    assert!(swaps > 10, "{swaps}");
}

#[tokio::test]
async fn clients_show_certificates_where_they_must() {
    let [ours, clients, strangers] = [Authority::new(), Authority::new(), Authority::new()];
    let tls = Tls::new(&ours.sign("localhost").files(Some(&clients.pem()))).expect("it can be used");
    let server = server(&tls).await;
    let rows = [(Some(clients.sign("client")), true), (None, false), (Some(strangers.sign("client")), false)];
    for (own, answered) in rows {
        let connector = client(&ours.pem(), own.as_ref());
        // In TLS 1.3 a client hears that it is refused after its own part of the handshake.
        let answer = match connected(&connector, server.address).await {
            Ok(mut stream) => ask(&mut stream, "close").await,
            Err(e) => Err(e),
        };
        assert_eq!(answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200 OK")), answered, "{answer:?}");
    }
}

/// Who speaks no TLS is cut off, and the server goes on.
#[tokio::test]
async fn plain_text_is_no_handshake() {
    let authority = Authority::new();
    let tls = Tls::new(&authority.sign("localhost").files(None)).expect("it can be used");
    let server = server(&tls).await;
    let mut plain = TcpStream::connect(server.address).await.expect("it listens");
    plain.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    let mut stream = connected(&client(&authority.pem(), None), server.address).await.expect("a handshake");
    assert!(ask(&mut stream, "close").await.expect("an answer").starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    let authority = Authority::new();
    let [pair, other] = [authority.sign("localhost"), authority.sign("localhost")];
    let check = |chain: &str, key: &str, clients: Option<&str>, why: &str| {
        let pair = Pair { chain: chain.into(), key: key.into() };
        let said = Tls::new(&pair.files(clients)).expect_err(why);
        assert!(said.contains(why), "{said}");
    };
    check("", &pair.key, None, "the certificate's file has no certificate");
    check("nonsense", &pair.key, None, "the certificate's file has no certificate");
    check(&pair.chain, "", None, "the file of the key has no private key");
    check(&pair.chain, &pair.chain, None, "the file of the key has no private key");
    check(&pair.chain, &other.key, None, "the certificate and its key");
    check(&pair.chain, &pair.key, Some(""), "the file of the clients' authorities has no certificate");
    assert!(Tls::new(&pair.files(Some(&authority.pem()))).is_ok());
}
