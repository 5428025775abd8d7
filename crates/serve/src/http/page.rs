//! The pages (chat, dashboard, calls to try): what `web/` builds, compiled in. `include_bytes!` is enough for so few files: with a crate for
//! this there would be one more dependency, and in debug builds the files would be read from the disk.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A file of a page: where it is answered, its type, what is in it.
type File = (&'static str, &'static str, &'static [u8]);

const FILES: [File; 11] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../../../web/dist/index.html")),
    ("/assets/app.js", "text/javascript; charset=utf-8", include_bytes!("../../../../web/dist/app.js")),
    ("/assets/math.js", "text/javascript; charset=utf-8", include_bytes!("../../../../web/dist/math.js")),
    ("/assets/app.css", "text/css; charset=utf-8", include_bytes!("../../../../web/dist/app.css")),
    ("/dashboard", "text/html; charset=utf-8", include_bytes!("../../../../web/dist/dashboard.html")),
    ("/assets/dashboard.js", "text/javascript; charset=utf-8", include_bytes!("../../../../web/dist/dashboard.js")),
    ("/assets/dashboard.css", "text/css; charset=utf-8", include_bytes!("../../../../web/dist/dashboard.css")),
    ("/docs", "text/html; charset=utf-8", include_bytes!("../../../../web/dist/docs.html")),
    ("/assets/docs.js", "text/javascript; charset=utf-8", include_bytes!("../../../../web/dist/docs.js")),
    ("/assets/docs.css", "text/css; charset=utf-8", include_bytes!("../../../../web/dist/docs.css")),
    ("/assets/icon.svg", "image/svg+xml", include_bytes!("../../../../web/dist/icon.svg")),
];

/// A page runs its own files and talks to this server, and nothing else; nobody may frame it. Trusted types: its scripts
/// cannot make HTML from text, so that no answer of a model can.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// The pages' routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, file| {
        let tag = tag(file.2);
        router.route(file.0, get(move |headers: HeaderMap| async move { answer(file, tag, &headers) }))
    })
}

/// Browsers keep the files and ask each time whether they are still right: after an update the page is never half old.
fn answer((_, kind, bytes): File, tag: Tag, asked: &HeaderMap) -> Response {
    let tag = HeaderValue::try_from(format!("\"{tag:016x}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    let known = asked.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, &tag));
    let headers = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], bytes).into_response()
}

/// What a file's entity tag is made of.
type Tag = u64;

fn tag(bytes: &[u8]) -> Tag {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Whether `If-None-Match` names the tag: a list of them, perhaps weak ones, or a star.
fn names(value: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(value), Ok(tag)) = (value.to_str(), tag.to_str()) else { return false };
    value.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
