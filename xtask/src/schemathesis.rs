//! Drives a server with requests that Schemathesis makes of `/openapi.json`: none may be a server's error, and every answer must be
//! one that the document has.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use clap::Args;

use crate::clients;

/// What it needs.
const REQUIREMENTS: &str = "tests/requirements-schemathesis.txt";

/// What is checked of every answer. What is not: that every request that the document allows is answered, and every other one
/// refused, since a context may be full and a null is as good as nothing.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,unsupported_method,allow_header_conformance";

/// What the command line cannot say.
const CONFIGURATION: &str = "tests/schemathesis.toml";

/// It never ends.
const ENDLESS: &str = "/v1/telemetry/stream";

/// Faults that are made up hit whoever comes next, for as long as they say: each runs on a server of its own, behind all others.
const FAULTS: &str = "/admin/faults";

/// How it is driven.
#[derive(Args)]
pub(crate) struct Drive {
    /// The program, as `cargo build -p whinchat-cli` makes it.
    #[arg(long, default_value = "target/debug/whinchat")]
    program: String,
    /// Requests that are made up by chance for each operation at most, the same each time, beside those that try each field's bounds.
    #[arg(long, default_value_t = 0)]
    examples: u32,
    /// Keep files and batches too: the program has the feature `batches`.
    #[arg(long)]
    batches: bool,
    /// What else Schemathesis is told.
    #[arg(last = true)]
    more: Vec<String>,
}

/// Starts a server and drives it.
///
/// # Errors
/// If Python, the package or the program is missing, the server does not start, or an answer is not what the document says.
pub(crate) fn run(root: &Path, drive: &Drive) -> anyhow::Result<()> {
    let python = clients::python(root, "target/schemathesis-python", REQUIREMENTS)?;
    let kept = root.join("target/schemathesis");
    // What an earlier run left there would be another server.
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept).with_context(|| kept.display().to_string())?;
    for paths in [
        ["--exclude-path", ENDLESS, "--exclude-path-regex", FAULTS],
        ["--include-path-regex", FAULTS, "--exclude-path", ENDLESS],
    ] {
        let server = Server::start(root, drive)?;
        let mut tests = Command::new(python.with_file_name("schemathesis"));
        tests.current_dir(&kept).arg("--config-file").arg(root.join(CONFIGURATION));
        tests.arg("run").arg(format!("{}/openapi.json", server.address)).args(paths);
        let phases = if drive.examples > 0 { "examples,coverage,fuzzing" } else { "examples,coverage" };
        tests.args(["--checks", CHECKS, "--phases", phases]);
        tests.args(["--max-examples", &drive.examples.max(1).to_string(), "--generation-deterministic"]);
        tests.args(["--request-timeout", "60", "--continue-on-failure", "--no-color"]).args(&drive.more);
        clients::ended(&mut tests)?;
    }
    Ok(())
}

/// A server that is killed when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Everything is on that can be, and the context is short, so that no answer is long.
    fn start(root: &Path, drive: &Drive) -> anyhow::Result<Server> {
        let mut program = Command::new(root.join(&drive.program));
        program.current_dir(root).args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--context",
            "256",
            "--admin",
            "--allow-faults",
        ]);
        program.args(["--sessions", "target/schemathesis/sessions"]);
        if drive.batches {
            program.args(["--data-dir", "target/schemathesis/data"]);
        }
        // Names of models are made up too: none of them is looked for elsewhere.
        program.envs([("WHINCHAT_LOG", "info"), ("HF_HUB_OFFLINE", "1")]);
        let mut child = program.stderr(Stdio::piped()).spawn().with_context(|| drive.program.clone())?;
        let said = child.stderr.take().context("a pipe")?;
        let (mut server, mut lines) = (Server { child, address: String::new() }, BufReader::new(said).lines());
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, address)) = line.split_once("listening on http://") {
                server.address = format!("http://{}", address.trim());
            }
            if line.contains("is ready") {
                break;
            }
        }
        ensure!(!server.address.is_empty(), "{} did not say where it listens", drive.program);
        // Somebody has to read what it says from here on.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).filter(|line| line.contains("ERROR")).for_each(|line| eprintln!("{line}"));
        });
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
