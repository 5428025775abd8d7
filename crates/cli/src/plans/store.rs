//! Where profiles are kept, and what is known of how each came about.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use whinchat::machine;

/// How a profile came about.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// When, in seconds since 1970.
    pub(crate) created: i64,
    /// By which state of the program.
    pub(crate) commit: String,
    /// On which machine.
    pub(crate) machine: String,
    /// What else there is to say.
    pub(crate) note: String,
}

impl About {
    /// Now, by this program, on this machine.
    pub(crate) fn now() -> About {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        About { created: created as i64, commit: commit(), machine: machine::processor(), note: String::new() }
    }

    /// Writes it into a profile.
    pub(crate) fn write(&self, profile: &mut Value) {
        profile["created"] = json!(self.created);
        profile["commit"] = json!(self.commit);
        profile["processor"] = json!(self.machine);
        profile["note"] = json!(self.note);
    }
}

/// The commit that the program was built from, if the build said it, else its version.
fn commit() -> String {
    option_env!("WHINCHAT_COMMIT").unwrap_or(env!("CARGO_PKG_VERSION")).to_owned()
}

/// A database of profiles, or none.
pub(crate) struct Store(Option<PathBuf>);

impl Store {
    /// In this folder, else in the user's cache folder.
    pub(crate) fn in_folder(folder: Option<&Path>) -> Store {
        Store(folder.map(Path::to_owned).or_else(super::limits::folder).map(|folder| folder.join("profiles.db")))
    }

    /// In this file.
    pub(crate) fn at(path: PathBuf) -> Store {
        Store(Some(path))
    }
}

#[cfg(feature = "batches")]
mod kept {
    use anyhow::Context as _;
    use serde_json::{Value, json};
    use serve::{NewProfile, Profiles, StoredProfile};

    use super::{About, Store};

    impl Store {
        fn open(&self) -> anyhow::Result<Profiles> {
            let path = self
                .0
                .as_ref()
                .context("no place for profiles is known: there is neither --data-dir nor a home folder")?;
            let failed = || format!("cannot keep profiles in {}", path.display());
            path.parent().map_or(Ok(()), std::fs::create_dir_all).with_context(failed)?;
            Profiles::open(path).with_context(failed)
        }

        /// Keeps a profile; gives its number.
        ///
        /// # Errors
        /// If it cannot be kept.
        pub(crate) fn add(&self, about: &About, profile: &Value) -> anyhow::Result<i64> {
            let text = |name: &str| profile[name].as_str().unwrap_or_default().to_owned();
            Ok(self.open()?.add(&NewProfile {
                created: about.created,
                model: text("model"),
                commit: about.commit.clone(),
                machine: about.machine.clone(),
                kernels: profile["kernels"].to_string(),
                note: about.note.clone(),
                measured: profile.to_string(),
            })?)
        }

        /// The profiles of a model, or of all, the newest first, without what they measured.
        ///
        /// # Errors
        /// If the database cannot be read.
        pub(crate) fn list(&self, model: Option<&str>) -> anyhow::Result<Value> {
            let row = |StoredProfile { id, profile }: StoredProfile| {
                let kernels: Value = serde_json::from_str(&profile.kernels).unwrap_or_default();
                json!({
                    "id": id, "created": profile.created, "model": profile.model, "commit": profile.commit,
                    "processor": profile.machine, "kernels": kernels, "note": profile.note,
                })
            };
            let data: Vec<Value> = self.open()?.list(model)?.into_iter().map(row).collect();
            Ok(json!({ "object": "list", "data": data }))
        }

        /// The profile of this number.
        ///
        /// # Errors
        /// If the database cannot be read.
        pub(crate) fn get(&self, name: &str) -> anyhow::Result<Option<Value>> {
            let Ok(id) = name.parse::<i64>() else { return Ok(None) };
            let found = self.open()?.get(id)?;
            let read = |stored: StoredProfile| {
                let mut profile: Value = serde_json::from_str(&stored.profile.measured).unwrap_or_default();
                profile["id"] = json!(stored.id);
                profile
            };
            Ok(found.map(read))
        }
    }
}

#[cfg(not(feature = "batches"))]
mod kept {
    use anyhow::bail;
    use serde_json::Value;

    use super::{About, Store};

    const NONE: &str = "this build keeps no profiles; build it with --features batches, or write them to files";

    impl Store {
        pub(crate) fn add(&self, _: &About, _: &Value) -> anyhow::Result<i64> {
            bail!("{NONE}{}", self.place())
        }

        pub(crate) fn list(&self, _: Option<&str>) -> anyhow::Result<Value> {
            bail!("{NONE}{}", self.place())
        }

        pub(crate) fn get(&self, _: &str) -> anyhow::Result<Option<Value>> {
            bail!("{NONE}{}", self.place())
        }

        fn place(&self) -> String {
            self.0.as_ref().map_or(String::new(), |path| format!(" (not in {})", path.display()))
        }
    }
}
