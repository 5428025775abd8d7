//! OpenAI's own client for Python, where there is one.

use std::path::Path;
use std::process::Command;

use crate::support::Server;

/// The interpreter whose environment has `openai` is named by WHINCHAT_PYTHON.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_is_served() {
    let python = std::env::var_os("WHINCHAT_PYTHON").unwrap_or_else(|| "python3".into());
    let imports = Command::new(&python).args(["-c", "import openai"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {} cannot import openai (WHINCHAT_PYTHON names one that can)", python.display());
        return;
    }
    let server = Server::start().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/openai_client.py");
    let mut command = Command::new(&python);
    command.arg(script).arg(format!("http://{}/v1", server.address));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
