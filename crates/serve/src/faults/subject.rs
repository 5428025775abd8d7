//! A request as faults see it.

use std::sync::{Arc, OnceLock};

use answer::Ask;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap};

use crate::App;
use crate::http::Caller;

/// What is known of a request when it comes.
pub(crate) struct Head {
    /// What the request is called.
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// After how many messages its answer is cut off, if it is.
    pub(super) cut: OnceLock<usize>,
}

/// A request that faults may hit, and on whose behalf it is sent.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) head: Arc<Head>,
    /// The name of its key.
    pub(crate) key: Option<Arc<str>>,
    /// The user that its body names.
    pub(crate) user: Option<String>,
}

impl Head {
    pub(super) fn new(id: &str, path: &str, headers: HeaderMap) -> Head {
        Head { id: id.to_owned(), path: path.to_owned(), headers, cut: OnceLock::new() }
    }

    /// Remembers a request of this name while there are faults: only then they can hit it.
    pub(crate) fn mark(app: &App, request: &mut Request, id: &str) -> Option<Arc<Head>> {
        let lasting = || Arc::new(Head::new(id, request.uri().path(), request.headers().clone()));
        let head = app.faults.last().then(lasting)?;
        request.extensions_mut().insert(Arc::clone(&head));
        Some(head)
    }
}

impl Subject {
    /// The request of which these are the extensions, if it came while there were faults.
    pub(crate) fn of(extensions: &Extensions) -> Option<Subject> {
        let head = extensions.get::<Arc<Head>>().cloned()?;
        Some(Subject { head, key: Caller::of(extensions).name(), user: None })
    }

    /// With what it asks for, before that is asked on behalf of its caller.
    pub(crate) fn asking(self, ask: &Ask) -> Subject {
        Subject { user: ask.service.tenant.clone(), ..self }
    }
}
