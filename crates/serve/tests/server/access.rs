//! Which names and pages the server answers, and what browsers are told. The rules themselves are tested where they are.

use serde_json::json;
use serve::http::{Access, Settings};

use crate::client::{Answer, Client};
use crate::support::{Server, Setup, completion};

async fn server(hosts: &[&str], origins: &[&str]) -> Server {
    let access = Access::new(hosts, origins).expect("they can be read");
    Server::with(Setup { settings: Settings { access, ..Settings::default() }, ..Setup::default() }).await
}

/// Sends a request with just these headers.
pub(crate) async fn ask(server: &Server, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut client = Client::connect(server.address).await;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("{line} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.write(head.as_bytes()).await;
    let head = client.head().await;
    let body = client.rest().await;
    Answer { head, body }
}

#[tokio::test]
async fn strangers_pages_are_refused() {
    let server = server(&[], &[]).await;
    let body = completion("X", json!({})).to_string();
    let own = format!("host: localhost:{}", server.address.port());
    let own_page = format!("origin: http://localhost:{}", server.address.port());
    let rows: &[(&str, &[&str], u16, &str)] = &[
        ("POST /v1/completions", &[&own], 200, ""),
        ("POST /v1/completions", &[&own, &own_page], 200, ""),
        ("POST /v1/completions", &[], 200, ""),
        ("GET /", &[&own], 200, ""),
        ("POST /v1/completions", &["host: evil.example"], 403, "host_not_allowed"),
        ("GET /v1/models", &["host: evil.example"], 403, "host_not_allowed"),
        ("GET /", &["host: evil.example"], 403, "host_not_allowed"),
        ("GET /nothing", &["host: evil.example"], 403, "host_not_allowed"),
        ("GET http://evil.example/v1/models", &[&own], 403, "host_not_allowed"),
        ("GET /v1/models", &[&own, "host: evil.example"], 403, "host_not_allowed"),
        ("GET /v1/models", &["host: evil example"], 400, "invalid_value"),
        ("POST /v1/completions", &[&own, "origin: http://evil.example"], 403, "origin_not_allowed"),
        ("POST /v1/completions", &[&own, "origin: null", "content-type: text/plain"], 403, "origin_not_allowed"),
        (
            "OPTIONS /v1/completions",
            &[&own, "origin: http://evil.example", "access-control-request-method: POST"],
            403,
            "origin_not_allowed",
        ),
    ];
    for (line, headers, status, code) in rows {
        let answer = ask(&server, line, headers, if line.starts_with("POST") { &body } else { "" }).await;
        assert_eq!(answer.head.status, *status, "{line} {headers:?}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.head.header("access-control-allow-origin"), None, "{line} {headers:?}");
        if !code.is_empty() {
            let error = &answer.json()["error"];
            assert_eq!(error["code"], *code, "{line} {headers:?}");
            let switch = if code.starts_with("host") { "--allowed-hosts evil" } else { "--allowed-origins" };
            let said = error["message"].as_str().expect("a message");
            assert!(*status == 400 || said.contains(switch), "{said}");
        }
    }
}

#[tokio::test]
async fn allowed_pages_are_told_so() {
    let page = "origin: https://chat.example.com";
    for origins in [["https://*.example.com"], ["*"]] {
        let server = server(&[], &origins).await;
        let body = completion("X", json!({})).to_string();
        for (path, body, status) in [("/v1/completions", body.as_str(), 200), ("/v1/completions", "{}", 400)] {
            let answer = ask(&server, &format!("POST {path}"), &["host: localhost", page], body).await;
            let header = |name| answer.head.header(name);
            assert_eq!((answer.head.status, header("vary")), (status, Some("origin")), "{path}");
            assert_eq!(header("access-control-allow-origin"), Some("https://chat.example.com"));
            assert!(header("access-control-expose-headers").is_some_and(|names| names.contains("x-request-id")));
        }
        let asks = [
            "host: localhost",
            page,
            "access-control-request-method: POST",
            "access-control-request-headers: authorization,content-type,x-stainless-os",
            "access-control-request-private-network: true",
        ];
        let answer = ask(&server, "OPTIONS /v1/chat/completions", &asks, "").await;
        let header = |name| answer.head.header(name);
        assert_eq!((answer.head.status, answer.body.len()), (204, 0));
        assert_eq!(header("access-control-allow-origin"), Some("https://chat.example.com"));
        assert_eq!(header("access-control-allow-methods"), Some("POST"));
        assert_eq!(header("access-control-allow-headers"), Some("authorization,content-type,x-stainless-os"));
        assert_eq!(header("access-control-allow-private-network"), Some("true"));
        assert_eq!(header("access-control-max-age"), Some("600"));
        // What is no question of a browser is a request like others.
        assert_eq!(ask(&server, "OPTIONS /v1/models", &["host: localhost", page], "").await.head.status, 405);
    }
}

#[tokio::test]
async fn allowed_names_are_answered() {
    let server = server(&["gpu-box"], &[]).await;
    for (host, origin, status) in [
        ("gpu-box:8000", "http://gpu-box:8000", 200),
        ("gpu-box", "http://evil.example", 403),
        ("other", "http://other", 403),
    ] {
        let headers = [format!("host: {host}"), format!("origin: {origin}")];
        let answer = ask(&server, "GET /v1/models", &[&headers[0], &headers[1]], "").await;
        assert_eq!(answer.head.status, status, "{headers:?}");
    }
}
