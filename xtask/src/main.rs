//! Checks and generators of this repository: `cargo xtask --help`.

mod clients;
mod docs;
mod edges;
mod goldens;
mod sbom;
mod schemathesis;
mod tidy;

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks and generators of the Whinchat repository.
#[derive(Parser)]
enum Task {
    /// Check the shape of the sources: first lines, lengths, forbidden words and forbidden knowledge.
    Tidy,
    /// Check who depends on whom against the table in xtask/src/edges.rs.
    Edges,
    /// Write docs/man and docs/cli.md, the help of every command, from the program, docs/models.md from the table of architectures,
    /// docs/fields.md from that of fields, docs/openapi.json from that of operations, and docs/configuration.md with its schema from the settings.
    Docs,
    /// Drive a server with every client that has a test, LlamaIndex among them, whose packages take hundreds of megabytes below target.
    Clients,
    /// Drive a server with requests that Schemathesis makes of its /openapi.json; the package goes below target.
    Schemathesis(schemathesis::Drive),
    /// Run the Python scripts in xtask/goldens that write the fixtures (see its README).
    Goldens {
        /// The script to run, without `.py`; all of them if left out.
        name: Option<String>,
    },
    /// Write the software bill of materials of the program: what is compiled into it, as CycloneDX.
    Sbom(sbom::Build),
}

fn main() -> anyhow::Result<ExitCode> {
    let problems = match Task::parse() {
        Task::Tidy => tidy::problems(&root())?,
        Task::Edges => edges::problems(&root())?,
        Task::Docs => {
            docs::write(&root())?;
            Vec::new()
        }
        Task::Clients => {
            clients::run(&root())?;
            Vec::new()
        }
        Task::Schemathesis(drive) => {
            schemathesis::run(&root(), &drive)?;
            Vec::new()
        }
        Task::Goldens { name } => {
            goldens::run(&root(), name.as_deref())?;
            Vec::new()
        }
        Task::Sbom(build) => {
            sbom::write(&root(), &build)?;
            Vec::new()
        }
    };
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the root of the repository").to_path_buf()
}
