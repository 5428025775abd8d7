//! The pages, as a browser gets them. What they do in a browser is tested in web/test.

use crate::client::{Answer, Client};
use crate::support::{Server, Setup};

#[tokio::test]
async fn the_page_and_its_files_are_served() {
    let server = Server::with(Setup { loaded: false, ..Setup::default() }).await;
    let files = [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/assets/app.js", "text/javascript; charset=utf-8", "preact"),
        ("/assets/math.js", "text/javascript; charset=utf-8", "temml"),
        ("/assets/app.css", "text/css; charset=utf-8", "color-scheme"),
        ("/dashboard", "text/html; charset=utf-8", "<!doctype html>"),
        ("/assets/dashboard.js", "text/javascript; charset=utf-8", "uplot"),
        ("/assets/dashboard.css", "text/css; charset=utf-8", "color-scheme"),
        ("/docs", "text/html; charset=utf-8", "<!doctype html>"),
        ("/assets/docs.js", "text/javascript; charset=utf-8", "preact"),
        ("/assets/docs.css", "text/css; charset=utf-8", "color-scheme"),
        ("/assets/icon.svg", "image/svg+xml", "<svg"),
    ];
    for (path, kind, part) in files {
        let answer = server.get(path).await;
        check_headers(path, &answer);
        assert_eq!((answer.head.status, answer.head.header("content-type")), (200, Some(kind)), "{path}");
        let text = String::from_utf8(answer.body).expect("the page is text");
        assert!(text.contains(part), "{path} has {part}");
    }
}

/// Nothing comes from elsewhere, nothing is guessed, nothing old is shown.
fn check_headers(path: &str, answer: &Answer) {
    let header = |name: &str| answer.head.header(name).unwrap_or_else(|| panic!("{path} has {name}"));
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{path}: {policy}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("cache-control"), "no-cache", "{path}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again() {
    let server = Server::start().await;
    let first = server.get("/assets/app.js").await;
    let tag = first.head.header("etag").expect("a tag").to_owned();
    for (asked, status) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"other\", {tag}"), 304),
        ("*".into(), 304),
        ("\"other\"".into(), 200),
    ] {
        let answer = conditional(&server, "/assets/app.js", &asked).await;
        assert_eq!(answer.head.status, status, "{asked}");
        assert_eq!(answer.head.header("etag"), Some(tag.as_str()), "{asked}");
        assert_eq!(answer.body.is_empty(), status == 304, "{asked}");
    }
    assert_ne!(server.get("/").await.head.header("etag"), Some(tag.as_str()));
}

/// A 304 has no length and no body: the client reads what comes until the connection is closed.
async fn conditional(server: &Server, path: &str, tag: &str) -> Answer {
    let mut client = Client::connect(server.address).await;
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nif-none-match: {tag}\r\nconnection: close\r\n\r\n");
    client.write(head.as_bytes()).await;
    let head = client.head().await;
    let body = client.rest().await;
    Answer { head, body }
}

#[tokio::test]
async fn a_head_has_the_length_and_no_body() {
    let server = Server::start().await;
    let whole = server.get("/").await;
    let mut client = Client::connect(server.address).await;
    client.write(b"HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(whole.body.len().to_string().as_str())));
    assert_eq!(head.header("etag"), whole.head.header("etag"));
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn other_paths_and_methods_are_errors_as_everywhere() {
    let server = Server::start().await;
    for path in ["/assets", "/assets/", "/assets/other.js", "/assets/../app.js", "/index.html"] {
        assert_eq!(server.get(path).await.head.status, 404, "{path}");
    }
    assert_eq!(server.post("/", &serde_json::json!({})).await.head.status, 405);
}
