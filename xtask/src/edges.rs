//! Who may use whom: the table of the architecture, proved against `cargo metadata`.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What one member of the workspace may know.
struct Row {
    /// The package, without `whinchat-`.
    member: &'static str,
    /// Exactly the members it depends on; `None`: any.
    uses: Option<&'static [&'static str]>,
    /// Families of packages that must not be reached, not even through others.
    never: &'static [&'static [&'static str]],
}

const HTTP: &[&str] = &["axum", "http", "hyper", "reqwest", "tonic", "tower", "tower-http", "ureq"];
const ASYNC: &[&str] = &["tokio", "tokio-util", "async-std", "smol", "futures", "futures-executor"];
const JSON: &[&str] = &["serde_json", "simd-json", "sonic-rs"];
const FILES: &[&str] = &["safetensors", "tempfile"];
/// Maps of files; `kernels` takes pages without a file too.
const MAPS: &[&str] = &["memmap2"];
const METRICS: &[&str] = &["tracing", "tracing-subscriber", "log", "prometheus-client", "metrics", "opentelemetry"];
const TEXT: &[&str] = &["tokenizers", "fancy-regex"];
const TERMINAL: &[&str] = &["clap", "rustyline", "indicatif", "comfy-table"];
const THREADS: &[&str] = &["rayon", "crossbeam-channel", "parking_lot"];

const TABLE: &[Row] = &[
    Row { member: "tensor", uses: Some(&[]), never: &[HTTP, ASYNC, JSON, FILES, MAPS, METRICS, TEXT, THREADS] },
    Row { member: "graph", uses: Some(&["tensor"]), never: &[HTTP, ASYNC, JSON, FILES, MAPS, METRICS, TEXT, THREADS] },
    Row { member: "model", uses: Some(&["graph", "tensor"]), never: &[HTTP, ASYNC, METRICS, TEXT] },
    Row { member: "kernels", uses: Some(&["graph", "tensor"]), never: &[HTTP, ASYNC, JSON, FILES, TEXT] },
    Row { member: "gpu", uses: Some(&["graph", "tensor"]), never: &[HTTP, ASYNC, JSON, FILES, MAPS, TEXT] },
    Row { member: "text", uses: Some(&[]), never: &[HTTP, ASYNC, FILES, MAPS] },
    Row { member: "engine", uses: Some(&["graph"]), never: &[HTTP, ASYNC, JSON, FILES, MAPS, METRICS, TEXT] },
    Row { member: "answer", uses: Some(&["engine", "text"]), never: &[HTTP, ASYNC, FILES, MAPS, METRICS] },
    Row { member: "batch", uses: Some(&[]), never: &[HTTP, ASYNC, MAPS, METRICS, TEXT] },
    Row { member: "telemetry", uses: Some(&[]), never: &[HTTP, ASYNC, JSON, FILES, MAPS, TEXT] },
    Row { member: "release", uses: Some(&[]), never: &[HTTP, ASYNC, JSON, FILES, MAPS, METRICS, TEXT, THREADS] },
    Row { member: "serve", uses: Some(&["answer", "engine", "release", "telemetry", "text"]), never: &[FILES, MAPS] },
    Row {
        member: "config",
        uses: Some(&["engine", "graph"]),
        never: &[HTTP, ASYNC, FILES, MAPS, METRICS, TEXT, TERMINAL],
    },
    Row { member: "lab", uses: Some(&["graph", "model", "tensor", "text"]), never: &[HTTP, ASYNC] },
    Row {
        member: "whinchat",
        uses: Some(&["answer", "engine", "graph", "kernels", "model", "text"]),
        never: &[TERMINAL],
    },
    Row { member: "cli", uses: None, never: &[] },
    Row { member: "fuzz", uses: None, never: &[] },
    Row { member: "python", uses: None, never: &[] },
    Row { member: "xtask", uses: Some(&[]), never: &[HTTP, ASYNC] },
];

/// Packages that only these members may name as their own dependency.
const RESERVED: &[(&str, &[&str])] = &[
    ("anyhow", &["cli", "xtask"]),
    ("axum", &["serve"]),
    ("clap", &["cli", "xtask"]),
    ("memmap2", &["kernels", "model"]),
    ("pyo3", &["python"]),
    ("tokenizers", &["text"]),
    ("ureq", &["cli", "serve", "whinchat"]),
];

/// Every edge of the workspace at `root` that the table does not have, and every one of the table that is missing.
///
/// Development dependencies are free; build dependencies are not.
///
/// # Errors
/// If `cargo metadata` fails.
pub(crate) fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let metadata = metadata(root)?;
    let graph = Edges::of(&metadata);
    let mut problems = Vec::new();
    for package in metadata.workspace_packages() {
        match TABLE.iter().find(|row| row.member == short(&package.name)) {
            Some(row) => graph.check(row, package, &mut problems),
            None => problems.push(format!("{}: has no row in the table of xtask/src/edges.rs", package.name)),
        }
    }
    Ok(problems)
}

fn metadata(root: &Path) -> cargo_metadata::Result<Metadata> {
    // Packages of other platforms need not be downloaded for this.
    let host = ["--filter-platform".to_string(), "host-tuple".to_string()];
    MetadataCommand::new().current_dir(root).other_options(host).exec()
}

/// The edges that are compiled into a package, by id.
struct Edges<'a> {
    names: BTreeMap<&'a PackageId, &'a str>,
    next: BTreeMap<&'a PackageId, Vec<&'a PackageId>>,
    members: BTreeSet<&'a PackageId>,
}

impl<'a> Edges<'a> {
    fn of(metadata: &'a Metadata) -> Edges<'a> {
        let nodes = metadata.resolve.as_ref().map_or(&[][..], |r| &r.nodes);
        let compiled = |node: &'a cargo_metadata::Node| {
            let kept = node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development));
            (&node.id, kept.map(|d| &d.pkg).collect())
        };
        Edges {
            names: metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect(),
            next: nodes.iter().map(compiled).collect(),
            members: metadata.workspace_members.iter().collect(),
        }
    }

    fn check(&self, row: &Row, package: &'a Package, problems: &mut Vec<String>) {
        let name = row.member;
        let (members, others): (Vec<&PackageId>, _) =
            self.next(&package.id).iter().partition(|id| self.members.contains(*id));
        if let Some(uses) = row.uses {
            let found: BTreeSet<&str> = members.iter().map(|id| short(self.names[*id])).collect();
            let expected: BTreeSet<&str> = uses.iter().copied().collect();
            problems.extend(found.difference(&expected).map(|m| format!("{name}: must not use {m}")));
            problems
                .extend(expected.difference(&found).map(|m| format!("{name}: no longer uses {m}; correct the table")));
        }
        let own = |id: &&PackageId| RESERVED.iter().find(|r| r.0 == self.names[*id] && !r.1.contains(&name));
        problems
            .extend(others.iter().filter_map(own).map(|r| format!("{name}: {} is only for {}", r.0, r.1.join(", "))));
        for (found, path) in self.reached(&package.id) {
            if row.never.iter().any(|family| family.contains(&found)) {
                problems.push(format!("{name}: must not reach {found} (by {path})"));
            }
        }
    }

    /// Every package that is compiled in, with the path of names that leads to it.
    fn reached(&self, from: &'a PackageId) -> Vec<(&'a str, String)> {
        let mut paths = BTreeMap::from([(from, self.names[from].to_string())]);
        let mut queue = vec![from];
        while let Some(id) = queue.pop() {
            for next in self.next(id) {
                if !paths.contains_key(next) {
                    paths.insert(next, format!("{} → {}", paths[id], self.names[next]));
                    queue.push(next);
                }
            }
        }
        paths.into_iter().map(|(id, path)| (self.names[id], path)).collect()
    }

    fn next(&self, id: &PackageId) -> &[&'a PackageId] {
        self.next.get(id).map_or(&[], Vec::as_slice)
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("whinchat-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_has_exactly_the_edges_of_the_table() {
        let problems = problems(&crate::root()).expect("cargo metadata runs");
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn a_wrong_row_is_found() {
        let metadata = metadata(&crate::root()).expect("cargo metadata runs");
        let packages = metadata.workspace_packages();
        let graph = packages.iter().find(|p| short(&p.name) == "graph").expect("the workspace has the crate graph");
        let mut problems = Vec::new();
        let row = Row { member: "graph", uses: Some(&["text"]), never: &[&["half"]] };
        Edges::of(&metadata).check(&row, graph, &mut problems);
        let expected = [
            "graph: must not use tensor",
            "graph: no longer uses text; correct the table",
            "graph: must not reach half (by whinchat-graph → whinchat-tensor → half)",
        ];
        assert_eq!(problems, expected);
    }
}
