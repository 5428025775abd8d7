//! Names of models on the hub, as people write and paste them.

use std::fmt;

/// A model on the hub: `org/name`, or `org/name:file` with a file's name or its tag such as `Q8_0`; also the address of its
/// page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    pub(super) repo: String,
    pub(super) file: Option<String>,
    /// A branch, tag or commit; `main` if none.
    pub(super) revision: Option<String>,
}

/// Hosts whose addresses are those of the hub.
const HOSTS: [&str; 3] = ["huggingface.co/", "www.huggingface.co/", "hf.co/"];

impl ModelId {
    /// `None` if `text` is no hub id but can only be a path.
    ///
    /// Beside `org/name` and `org/name:file` it takes addresses on huggingface.co and hf.co, with or without `https://`: of a
    /// model's page, of a revision's list (`…/tree/REVISION`) and of a file (`…/blob/REVISION/FILE`, `…/resolve/…`).
    pub fn parse(text: &str) -> Option<ModelId> {
        let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        match HOSTS.iter().find_map(|host| rest.unwrap_or(text).strip_prefix(host)) {
            Some(path) => ModelId::of_address(path),
            None if rest.is_some() => None,
            None => ModelId::of_name(text),
        }
    }

    /// As [`ModelId::parse`], for the hub at this endpoint.
    pub(super) fn parse_at(text: &str, endpoint: &str) -> Option<ModelId> {
        match text.strip_prefix(endpoint).and_then(|rest| rest.strip_prefix('/')) {
            Some(path) => ModelId::of_address(path),
            None => ModelId::parse(text),
        }
    }

    fn of_name(text: &str) -> Option<ModelId> {
        let (repo, file) = match text.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (text, None),
        };
        let (org, name) = repo.split_once('/')?;
        let fits = plain(org) && plain(name) && file.is_none_or(|f| !f.is_empty());
        let a_path = file.is_none() && (text.ends_with(".gguf") || text.ends_with(".safetensors"));
        // Ollama's name for no tag.
        let file = file.filter(|file| *file != "latest").map(str::to_owned);
        (fits && !a_path).then(|| ModelId { repo: repo.to_owned(), file, revision: None })
    }

    /// From what follows the host.
    fn of_address(path: &str) -> Option<ModelId> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.trim_end_matches('/').splitn(5, '/').map(unescape);
        let repo = format!("{}/{}", parts.next()??, parts.next()??);
        let id = ModelId::of_name(&repo)?;
        let Some(view) = parts.next() else { return Some(id) };
        if !matches!(view?.as_str(), "tree" | "blob" | "resolve" | "raw") || id.file.is_some() {
            return None;
        }
        let revision = parts.next()??;
        let file = parts.next().map_or(Some(None), |file| file.map(Some))?;
        let whole = revision.split('/').all(plain) && file.as_ref().is_none_or(|f| !f.is_empty());
        whole.then(|| ModelId { file, revision: Some(revision).filter(|r| r != "main"), ..id })
    }

    pub(super) fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
    }
}

/// Whether a part of a name can be a part of an address and of a path as it is.
fn plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

/// `%20` as a space; `None` if it is no text then.
fn unescape(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut pieces = part.split('%');
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: Option<(&str, Option<&str>, &str)>) {
        let id = ModelId::parse_at(text, "https://mirror.example/hub");
        let got = id.as_ref().map(|id| (id.repo.as_str(), id.file.as_deref(), id.revision()));
        assert_eq!(got, wanted, "{text}");
    }

    #[test]
    fn ids_and_paths_are_told_apart() {
        check("org/name", Some(("org/name", None, "main")));
        check("org/name:file.gguf", Some(("org/name", Some("file.gguf"), "main")));
        check("org/name:sub/file.gguf", Some(("org/name", Some("sub/file.gguf"), "main")));
        check("org/name:Q8_0", Some(("org/name", Some("Q8_0"), "main")));
        check("org/name:latest", Some(("org/name", None, "main")));
        for path in [
            "models/file.gguf",
            "./org/name",
            "../name",
            "a/b/c",
            "/etc/passwd",
            "name",
            "org/",
            "org/name:",
            "C:/org/x",
        ] {
            check(path, None);
        }
    }

    #[test]
    fn addresses_are_understood() {
        for start in
            ["https://huggingface.co", "http://huggingface.co", "hf.co", "https://hf.co", "https://mirror.example/hub"]
        {
            let check = |rest: &str, wanted| check(&format!("{start}/{rest}"), wanted);
            check("org/name", Some(("org/name", None, "main")));
            check("org/name/", Some(("org/name", None, "main")));
            check("org/name:Q8_0", Some(("org/name", Some("Q8_0"), "main")));
            check("org/name?library=x#files", Some(("org/name", None, "main")));
            check("org/name/tree/main", Some(("org/name", None, "main")));
            check("org/name/tree/main/UD-Q4_K_XL", Some(("org/name", Some("UD-Q4_K_XL"), "main")));
            check("org/name/tree/refs%2Fpr%2F1", Some(("org/name", None, "refs/pr/1")));
            check("org/name/blob/v1/a/b%20c.gguf", Some(("org/name", Some("a/b c.gguf"), "v1")));
            check("org/name/resolve/main/a.gguf?download=true", Some(("org/name", Some("a.gguf"), "main")));
            for other in [
                "datasets/org/name",
                "org",
                "",
                "org/name/discussions",
                "org/name/tree/..%2Fx",
                "org/name/blob/main/%ff",
            ] {
                check(other, None);
            }
        }
        check("https://example.com/org/name", None);
        check("https://mirror.example/hubs/org/name", None);
    }
}
