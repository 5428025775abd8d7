//! The clients that APIs come with, in Python, where there are any.

use std::path::Path;
use std::process::Command;

use crate::support::Server;

/// Runs a script of `tests` with the address of a server, if Python has the package. The interpreter whose environment has
/// it is named by WHINCHAT_PYTHON.
async fn check(package: &str, script: &str, base: &str) {
    let python = std::env::var_os("WHINCHAT_PYTHON").unwrap_or_else(|| "python3".into());
    let imports = Command::new(&python).args(["-c", &format!("import {package}")]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {} cannot import {package} (WHINCHAT_PYTHON names one that can)", python.display());
        return;
    }
    let server = Server::start().await;
    #[cfg(feature = "batches")]
    let folder = tempfile::tempdir().expect("a folder");
    #[cfg(feature = "batches")]
    server.app.keep_batches(serve::BatchStore::open(&folder.path().join("db")).expect("a database"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(script);
    let mut command = Command::new(&python);
    command.arg(script).arg(format!("http://{}{base}", server.address));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_is_served() {
    check("openai", "openai_client.py", "/v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_is_served() {
    check("langchain_openai", "langchain_client.py", "/v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn llama_index_is_served() {
    check("llama_index.llms.openai_like, llama_index.embeddings.openai", "llama_index_client.py", "/v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_is_served() {
    check("anthropic", "anthropic_client.py", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_is_served() {
    check("ollama", "ollama_client.py", "").await;
}
