//! The dashboard's files: they are part of the binary. A file that is added to `page/` gets its line here.
use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// Path, type, content.
type File = (&'static str, &'static str, &'static [u8]);

const FILES: &[File] = &[
    ("/", "text/html; charset=utf-8", include_bytes!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("page/style.css")),
    ("/icon.svg", "image/svg+xml", include_bytes!("page/icon.svg")),
    ("/app.js", SCRIPT, include_bytes!("page/app.js")),
    ("/api.js", SCRIPT, include_bytes!("page/api.js")),
    ("/draw.js", SCRIPT, include_bytes!("page/draw.js")),
    ("/views.js", SCRIPT, include_bytes!("page/views.js")),
    ("/words.js", SCRIPT, include_bytes!("page/words.js")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files under their paths.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, (path, kind, content)| router.route(path, get(move || async move { file(kind, content) })))
}

fn file(kind: &'static str, content: &'static [u8]) -> Response {
    // A new version of taskrun has new files under the same names.
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    (headers, content).into_response()
}
