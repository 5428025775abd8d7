//! The pages and their files, and this document.

use super::Group;
use crate::openapi::Operation;
use crate::openapi::operation::{Answer, get, json};

const fn page(path: &'static str, summary: &'static str, answers: &'static [Answer]) -> Operation {
    get(path, summary).gives(answers)
}

/// A file may be the one that the browser has.
const HTML: &[Answer] = &[Answer(200, "text/html", ""), Answer(304, "", "")];
const SCRIPT: &[Answer] = &[Answer(200, "text/javascript", ""), Answer(304, "", "")];
const STYLE: &[Answer] = &[Answer(200, "text/css", ""), Answer(304, "", "")];
const IMAGE: &[Answer] = &[Answer(200, "image/svg+xml", ""), Answer(304, "", "")];

/// Chat page, dashboard, and what there is to read.
pub(super) const GROUP: Group = Group {
    name: "Pages",
    about: "The chat page, the dashboard, the page to try calls, and this document",
    built: true,
    operations: &[
        page("/", "The chat page", HTML),
        page("/dashboard", "The dashboard", HTML),
        page("/docs", "The page to try calls", HTML),
        get("/try", "The page that runs the examples").gives(&[Answer(200, "text/html", "")]),
        get("/openapi.json", "This document").gives(&[json("object")]),
        page("/assets/app.js", "The chat page's script", SCRIPT),
        page("/assets/math.js", "What draws formulas", SCRIPT),
        page("/assets/app.css", "The chat page's style", STYLE),
        page("/assets/dashboard.js", "The dashboard's script", SCRIPT),
        page("/assets/dashboard.css", "The dashboard's style", STYLE),
        page("/assets/docs.js", "The script of the page to try calls", SCRIPT),
        page("/assets/docs.css", "The style of the page to try calls", STYLE),
        page("/assets/icon.svg", "The icon", IMAGE),
    ],
    shapes: &[],
    parts: &[],
};
