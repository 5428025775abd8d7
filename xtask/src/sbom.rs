//! The software bill of materials: what is compiled into the program, as CycloneDX 1.5 (JSON).
//!
//! It has no time and no serial number in it: the same sources give the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use serde_json::{Value, json};

/// The package that is given away.
const PROGRAM: &str = "whinchat-cli";

/// What is built.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Build {
    /// For which target [default: this machine]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Features of whinchat-cli, as cargo build has them.
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    features: Vec<String>,
    /// The file to write [default: target/sbom/whinchat.cdx.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes the bill of what a build would have, and says where.
///
/// # Errors
/// If `cargo metadata` fails, `Cargo.lock` is not there, or the file cannot be written.
pub(crate) fn write(root: &Path, build: &Build) -> anyhow::Result<()> {
    let bill = bill(root, build)?;
    let out = build.out.clone().unwrap_or_else(|| root.join("target/sbom/whinchat.cdx.json"));
    std::fs::create_dir_all(out.parent().context("a file has a folder")?)?;
    std::fs::write(&out, serde_json::to_string_pretty(&bill)? + "\n").with_context(|| out.display().to_string())?;
    println!("{}: {} components", out.display(), bill["components"].as_array().map_or(0, Vec::len));
    Ok(())
}

fn bill(root: &Path, build: &Build) -> anyhow::Result<Value> {
    let metadata = metadata(root, build)?;
    let checksums = checksums(&std::fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?);
    let packages: BTreeMap<&PackageId, &Package> = metadata.packages.iter().map(|p| (&p.id, p)).collect();
    let program = metadata.packages.iter().find(|p| p.name.as_str() == PROGRAM).context("the program's package")?;
    let edges = edges(&metadata);
    let within = reached(&edges, &program.id);
    let component = |id: &&PackageId| component(packages[*id], &checksums);
    let depends = |id: &&PackageId| {
        let on: BTreeSet<String> = edges.get(*id).into_iter().flatten().map(|to| reference(packages[to])).collect();
        json!({ "ref": reference(packages[*id]), "dependsOn": on })
    };
    let mut root = component(&&program.id);
    root["type"] = json!("application");
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": root },
        "components": within.iter().filter(|id| **id != &program.id).map(component).collect::<Vec<_>>(),
        "dependencies": within.iter().map(depends).collect::<Vec<_>>(),
    }))
}

fn metadata(root: &Path, build: &Build) -> cargo_metadata::Result<Metadata> {
    let target = build.target.clone().unwrap_or_else(|| "host-tuple".into());
    let mut options = vec!["--filter-platform".to_string(), target];
    if !build.features.is_empty() {
        let named = build.features.iter().map(|feature| format!("{PROGRAM}/{feature}")).collect::<Vec<_>>();
        options.extend(["--features".to_string(), named.join(",")]);
    }
    MetadataCommand::new().current_dir(root).other_options(options).exec()
}

/// Which package is compiled into which: without those that only tests or build scripts need.
fn edges(metadata: &Metadata) -> BTreeMap<&PackageId, Vec<&PackageId>> {
    let nodes = metadata.resolve.as_ref().map_or(&[][..], |resolve| &resolve.nodes);
    let compiled = |node: &'_ cargo_metadata::NodeDep| node.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
    nodes.iter().map(|n| (&n.id, n.deps.iter().filter(|d| compiled(d)).map(|d| &d.pkg).collect())).collect()
}

fn reached<'a>(edges: &BTreeMap<&'a PackageId, Vec<&'a PackageId>>, from: &'a PackageId) -> BTreeSet<&'a PackageId> {
    let (mut found, mut open) = (BTreeSet::from([from]), vec![from]);
    while let Some(id) = open.pop() {
        open.extend(edges.get(id).into_iter().flatten().filter(|next| found.insert(next)));
    }
    found
}

fn component(package: &Package, checksums: &BTreeMap<(String, String), String>) -> Value {
    let version = package.version.to_string();
    let mut component = json!({
        "type": "library", "bom-ref": reference(package), "name": package.name, "version": version,
        "purl": reference(package),
    });
    if let Some(license) = &package.license {
        // The way in which licenses were written before they had expressions.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(checksum) = checksums.get(&(package.name.to_string(), version)) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// A package's URL (purl): by it others know it.
fn reference(package: &Package) -> String {
    // A plus sign stands for a space there.
    format!("pkg:cargo/{}@{}", package.name, package.version.to_string().replace('+', "%2B"))
}

/// The checksums that the lock file has of packages of the registry, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let read = |block: &str| {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    lock.split("[[package]]").filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_names_what_is_compiled_in() {
        let bill = bill(&crate::root(), &Build::default()).expect("cargo metadata runs");
        let components = bill["components"].as_array().expect("components");
        let find = |name: &str| components.iter().find(|component| component["name"] == name);
        let axum = find("axum").expect("the server's library");
        assert!(axum["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64), "{axum}");
        assert_eq!(axum["licenses"][0]["expression"], "MIT");
        let serve = find("whinchat-serve").expect("a crate of the workspace");
        assert_eq!((serve.get("hashes"), &serve["type"]), (None, &json!("library")));
        assert_eq!(bill["metadata"]["component"]["name"], PROGRAM);
        for absent in ["proptest", "rcgen", "criterion", "cargo_metadata"] {
            assert_eq!(find(absent), None, "only tests need it");
        }
        let known: BTreeSet<&str> = components.iter().filter_map(|component| component["bom-ref"].as_str()).collect();
        let dependencies = bill["dependencies"].as_array().expect("dependencies");
        assert_eq!(dependencies.len(), components.len() + 1);
        for on in dependencies.iter().flat_map(|d| d["dependsOn"].as_array().expect("a list")) {
            assert!(known.contains(on.as_str().expect("a reference")), "{on} is no component");
        }
        assert_eq!(known.len(), components.len(), "a reference names one component");
    }

    #[test]
    fn the_lock_file_has_checksums() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"ab\"\n\
                    dependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let wanted = BTreeMap::from([(("a".to_owned(), "1.0.0".to_owned()), "ab".to_owned())]);
        assert_eq!(checksums(lock), wanted);
    }
}
