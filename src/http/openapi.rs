//! The document that describes the API, made from the routes themselves.
use std::sync::Arc;

use axum::{Extension, Json, Router};
use utoipa::openapi::{
    Info, License, OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::answer::{ApiError, ReadErrors};
use crate::view::Desk;

/// Routes, and the document that describes them.
pub(super) struct Documented {
    pub(super) router: Router,
    pub(super) document: OpenApi,
}

impl Documented {
    /// The routes, with the document at hand for the one that shows it.
    pub(super) fn serve(self) -> Router {
        let Self { router, mut document } = self;
        document.info = Info::new("taskrun", env!("CARGO_PKG_VERSION"));
        document.info.license = Some(License::new("Apache-2.0 OR MIT"));
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("`http.token` of tasks.yaml, or the file in the state folder."));
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(token.build()));
        router.layer(Extension(Arc::new(document)))
    }
}

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(show))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "status", responses((status = 200, body = Object), ReadErrors))]
async fn show(Extension(document): Extension<Arc<OpenApi>>) -> Result<Json<OpenApi>, ApiError> {
    Ok(Json((*document).clone()))
}
