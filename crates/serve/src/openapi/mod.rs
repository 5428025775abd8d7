//! What the server answers, as OpenAPI: `GET /openapi.json`, made of one table of operations and of the table of fields through which
//! requests are read. What is not in the table of operations is not answered.

mod document;
mod notation;
mod operation;
mod request;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::{App, Kind, Problem, wire};

pub use document::{document, page};
pub use operation::Operation;
pub(crate) use request::shape;

/// Every operation that this build has.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    table::groups().filter(|group| group.built).flat_map(|group| group.operations)
}

/// The route of the document.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/openapi.json", get(told))
}

async fn told() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| document(false).to_string());
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    (headers, TEXT.as_str()).into_response()
}

/// Lets pass what is in the table. A route that is not there answers nobody, and so cannot be forgotten in the document.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else { return next.run(request).await };
    // Whoever may read may ask for the head alone.
    let asked = if request.method() == Method::HEAD { "GET" } else { request.method().as_str() };
    let known: Vec<&str> = operations().filter(|known| known.path == path.as_str()).map(|known| known.method).collect();
    if known.iter().any(|method| method.eq_ignore_ascii_case(asked)) {
        return next.run(request).await;
    }
    refused(&request, &path, &known)
}

fn refused(request: &Request, route: &MatchedPath, known: &[&str]) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if known.is_empty() {
        tracing::error!("{} is routed, and is not in the table of operations", route.as_str());
        return wire::problem(path, &Problem::new(Kind::UnknownUrl, format!("There is no {method} {path}.")));
    }
    let wrong = Problem::new(Kind::MethodNotAllowed, format!("{path} does not take {method}."));
    let mut response = wire::problem(path, &wrong);
    let mut allowed = known.join(",").to_ascii_uppercase();
    if known.contains(&"get") {
        allowed.push_str(",HEAD");
    }
    response.headers_mut().extend(HeaderValue::try_from(allowed).map(|allowed| (header::ALLOW, allowed)));
    response
}
