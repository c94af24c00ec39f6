//! The document that describes the API, made from the routes themselves.
use axum::{Json, Router, routing::get};
use utoipa::openapi::{Info, OpenApi};

/// Routes, and the document that describes them.
pub(super) struct Documented {
    pub(super) router: Router,
    pub(super) document: OpenApi,
}

impl Documented {
    /// The routes, and one more that shows the document.
    pub(super) fn serve(self) -> Router {
        let document = std::sync::Arc::new(self.finished());
        let shown = std::sync::Arc::clone(&document);
        self.router.route("/api/v1/openapi.json", get(move || async move { Json((*shown).clone()) }))
    }

    fn finished(&self) -> OpenApi {
        let mut document = self.document.clone();
        document.info = Info::new("taskrun", env!("CARGO_PKG_VERSION"));
        document
    }
}
