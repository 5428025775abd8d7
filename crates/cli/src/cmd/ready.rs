//! What `serve` says when it is ready: what answers, and where; every line of it can be used as it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::json;
use whinchat::{Prepared, TemplateOrigin, WeightsOrigin};

use super::listen::Place;

/// A server that is ready.
pub(super) struct Ready {
    /// Where it listens; at least one.
    pub(super) places: Vec<Place>,
    /// The id of its model.
    pub(super) name: String,
    /// Its model's size; see [`size`].
    pub(super) size: String,
    /// What it may take of the memory; see [`memory`].
    pub(super) memory: String,
    /// Where its model's chat template comes from, if it has one.
    pub(super) template: Option<TemplateOrigin>,
    /// Whether its model gives vectors and scores of texts, and writes none.
    pub(super) encoder: bool,
    /// The model that drafts for it, if one does, and its size.
    pub(super) draft: Option<String>,
    /// Whether its model was not chosen.
    pub(super) builtin: bool,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n  model   {}: {}", self.name, self.size)?;
        if self.builtin {
            writeln!(f, "          (built in, small, to try things out; --model takes {})", super::MODELS)?;
        }
        if let Some(draft) = &self.draft {
            writeln!(f, "  drafts  by {draft}")?;
        }
        writeln!(f, "  memory  {}", self.memory)?;
        match &self.template {
            _ if self.encoder => writeln!(f, "  chats   not: it is for embeddings and rankings")?,
            Some(origin) => writeln!(f, "  chats   by its template ({origin})")?,
            None => writeln!(
                f,
                "  chats   not: it has no template and goes on with texts; --chat-template NAME|FILE gives it one"
            )?,
        }
        let urls = || self.places.iter().filter_map(url);
        let sockets = self.places.iter().filter(|place| matches!(place, Place::Unix(_)));
        urls().try_for_each(|url| writeln!(f, "  page    {url}/"))?;
        urls().try_for_each(|url| writeln!(f, "  API     {url}/v1"))?;
        sockets.clone().try_for_each(|place| writeln!(f, "  socket  {place}"))?;
        if self
            .places
            .iter()
            .any(|place| matches!(place, Place::Tcp(address) | Place::Tls(address) if address.ip().is_unspecified()))
        {
            writeln!(f, "          (from elsewhere with this machine's name or address)")?;
        }
        writeln!(f, "  try     {}\n", self.curl())
    }
}

impl Ready {
    /// A request for a shell to make.
    fn curl(&self) -> String {
        let (path, body) = match self.template {
            _ if self.encoder => ("embeddings", json!({ "model": self.name, "input": "Once upon a time" })),
            Some(_) => {
                let message = json!({ "role": "user", "content": "Who are you?" });
                ("chat/completions", json!({ "model": self.name, "messages": [message] }))
            }
            None => ("completions", json!({ "model": self.name, "prompt": "Once upon a time" })),
        };
        let socket = self.places.iter().find_map(|place| match place {
            Place::Unix(path) => Some(format!("--unix-socket {} http://localhost", quoted(&path.to_string_lossy()))),
            Place::Tcp(_) | Place::Tls(_) => None,
        });
        let url = self.places.iter().find_map(url).or(socket).unwrap_or_default();
        // Some shells take brackets for a pattern; curl takes them for one too where they are no address.
        let url = if url.contains('[') { format!("'{url}/v1/{path}'") } else { format!("{url}/v1/{path}") };
        format!("curl {url} -d {}", quoted(&body.to_string()))
    }
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The URL by which this machine reaches who listens there.
fn url(place: &Place) -> Option<String> {
    let (scheme, address) = match place {
        Place::Tcp(address) => ("http", address),
        Place::Tls(address) => ("https", address),
        Place::Unix(_) => return None,
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Some(format!("{scheme}://{}", SocketAddr::new(ip, address.port())))
}

/// A model's size in words: parameters, what its file calls its type (else the type of most bytes), bytes, context.
pub(super) fn size(prepared: &Prepared) -> String {
    let (mut parameters, mut bytes) = (0, 0);
    let mut types: BTreeMap<&str, u64> = BTreeMap::new();
    for weight in prepared.model.graph().weights() {
        let size = weight.bytes().unwrap_or_default() as u64;
        parameters += weight.shape.elements().unwrap_or_default() as u64;
        bytes += size;
        *types.entry(weight.dtype.name()).or_default() += size;
    }
    let own = prepared.checkpoint.metadata().read::<u32>("general.file_type").ok().flatten();
    let most = || types.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(name, _)| name);
    let kind = own.and_then(model::file_type_name).or_else(most).unwrap_or_default();
    let bytes = indicatif::HumanBytes(bytes);
    format!("{} parameters, {kind}, {bytes}, context {}", rounded(parameters), prepared.context)
}

/// What a model may take of the memory, in words, and where its weights are.
pub(super) fn memory(prepared: &Prepared, origin: &WeightsOrigin) -> String {
    let memory = &prepared.memory;
    let [weights, pool, draft_weights, draft_pool] =
        [memory.weights, memory.kv_pool, memory.draft_weights, memory.draft_kv_pool].map(indicatif::HumanBytes);
    let draft = prepared.draft().map_or(String::new(), |_| format!("; {draft_weights} and {draft_pool} for drafts"));
    let tokens = prepared.limits.kv_blocks * prepared.limits.block_len;
    let left = prepared.memory.available.map(|bytes| format!("; {} were left", indicatif::HumanBytes(bytes)));
    let kept = match origin {
        WeightsOrigin::Kept { path, bytes } => {
            let (path, size) = (path.display(), indicatif::HumanBytes(*bytes));
            format!("\n          (packed weights are kept for the next start, in {path}, {size})")
        }
        WeightsOrigin::Mapped { path, .. } => {
            format!("\n          (packed weights are mapped from {})", path.display())
        }
        WeightsOrigin::Elsewhere => return "weights and KV cache are elsewhere (--compute)".to_owned(),
        WeightsOrigin::NotKept(why) => format!("\n          (packed weights are not kept: {why})"),
        WeightsOrigin::Packed | WeightsOrigin::Shared => String::new(),
    };
    format!("weights {weights}, KV cache up to {pool} ({tokens} tokens){draft}{}{kept}", left.unwrap_or_default())
}

/// Three digits and a letter for the thousands.
fn rounded(count: u64) -> String {
    let units = [(1e9, "B"), (1e6, "M"), (1e3, "K")];
    let Some((unit, letter)) = units.into_iter().find(|(unit, _)| count as f64 >= *unit) else {
        return count.to_string();
    };
    let digits = count as f64 / unit;
    let decimals = [100.0, 10.0].into_iter().filter(|limit| digits < *limit).count();
    format!("{digits:.decimals$}{letter}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn ready(places: &[&str], name: &str) -> Ready {
        let place = |text: &&str| text.parse().map_or_else(|_| Place::Unix(text.into()), Place::Tcp);
        Ready {
            places: places.iter().map(place).collect(),
            name: name.into(),
            size: "small".into(),
            memory: "little".into(),
            template: Some(TemplateOrigin::Model),
            encoder: false,
            draft: None,
            builtin: false,
        }
    }

    #[test]
    fn a_client_on_this_machine_gets_an_address_that_it_reaches() {
        let check = |places: &[&str], urls: &[&str], elsewhere: bool| {
            let said = ready(places, "a").to_string();
            for url in urls {
                assert!(said.contains(&format!(" {url}/\n")) && said.contains(&format!(" {url}/v1\n")), "{said}");
            }
            assert_eq!(said.matches("  page ").count(), urls.len(), "{said}");
            let tried = urls.first().map_or("curl --unix-socket '/run/a b' http://localhost", |url| url);
            assert!(said.contains(&format!("{tried}/v1/chat/completions")), "{said}");
            assert_eq!(said.contains("from elsewhere"), elsewhere, "{said}");
        };
        check(&["127.0.0.1:8000"], &["http://127.0.0.1:8000"], false);
        check(&["0.0.0.0:8000"], &["http://127.0.0.1:8000"], true);
        check(&["[::]:80"], &["http://[::1]:80"], true);
        check(&["10.1.2.3:9", "/run/a b", "[::1]:9"], &["http://10.1.2.3:9", "http://[::1]:9"], false);
        check(&["/run/a b"], &[], false);
    }

    #[test]
    fn the_shell_gets_the_name_as_it_is() {
        let wanted = r#"curl 'http://[::1]:80/v1/chat/completions' -d '{"model":"it'\''s","messages":"#;
        assert!(ready(&["[::]:80"], "it's").curl().starts_with(wanted));
        let bare = Ready { template: None, ..ready(&["[::]:80"], "a") };
        assert!(bare.curl().ends_with(r#"/v1/completions' -d '{"model":"a","prompt":"Once upon a time"}'"#));
        let encoder = Ready { encoder: true, ..ready(&["[::]:80"], "a") };
        assert!(encoder.curl().ends_with(r#"/v1/embeddings' -d '{"model":"a","input":"Once upon a time"}'"#));
        assert!(encoder.to_string().contains("embeddings and rankings"), "{encoder}");
    }

    /// A mix has a name that none of its weights has.
    #[test]
    fn a_file_goes_by_its_own_type() {
        let folder = tempfile::tempdir().expect("a folder");
        let size = |path: &Path| {
            let checkpoint = whinchat::open(path, &|_, _, _| {}).expect("it opens");
            size(&whinchat::prepare(checkpoint, &whinchat::LoadOptions::default()).expect("it is whole"))
        };
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny");
        assert!(size(&tiny).contains(" parameters, F16, "), "{}", size(&tiny));
        let out = folder.path().join("mixed.gguf");
        let mixed = model::WeightType::parse("Q4_K_M").expect("a mix");
        let options = lab::ConvertOptions { weights: mixed, ..lab::ConvertOptions::new(&out) };
        let checkpoint = whinchat::open(&tiny, &|_, _, _| {}).expect("it opens");
        lab::convert(&checkpoint, &options, &|_, _, _| {}).expect("it converts");
        assert!(size(&out).contains(" parameters, Q4_K_M, "), "{}", size(&out));
    }

    #[test]
    fn parameters_are_counted_in_words() {
        let check = |count: u64, wanted: &str| assert_eq!(rounded(count), wanted);
        check(999, "999");
        check(4_123_456, "4.12M");
        check(494_032_768, "494M");
        check(1_235_814_400, "1.24B");
        check(70_600_000_000, "70.6B");
    }
}
