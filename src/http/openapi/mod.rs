//! `GET /openapi.json`: what clients can ask of a node, as an `OpenAPI` 3.1 document.
//!
//! Shapes of JSON are those of the types that are sent ([`crate::api`]); routes and what they answer are listed in `routes.rs`. Routes
//! between nodes are not for clients, and not in it.

mod parts;
mod routes;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::{Method, Response, StatusCode};
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, RefOr,
    Schema,
};

use super::discovery::TargetGroup;
use super::health::{HealthJson, ReadyJson};
use super::routes::RouteInfo;
use super::{ApiError, Body, respond};
use crate::access::Scope;
use crate::api::{
    FilesJson, JobJson, JobsJson, MembersJson, PeersJson, Priority, Problem, ProfilesJson, UploadJson,
    UploadsJson,
};

/// Name of the way to prove what one may.
const TOKEN: &str = "token";

/// Made once: it says nothing of this node in particular.
static DOCUMENT: LazyLock<Result<Bytes, String>> =
    LazyLock::new(|| serde_json::to_vec(&document()).map(Bytes::from).map_err(|error| error.to_string()));

pub(super) fn openapi() -> Response<Body> {
    match &*DOCUMENT {
        Ok(bytes) => respond::json_bytes(StatusCode::OK, bytes.clone()),
        Err(error) => respond::problem(&ApiError::Internal(error.clone())),
    }
}

fn document() -> OpenApi {
    let license =
        LicenseBuilder::new().name("MIT or Apache 2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Starling")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("One node of a cluster that transcodes videos. Any node takes any request."))
        .license(Some(license));
    let mut paths = PathsBuilder::new();
    for (path, method, mut operation) in routes::all() {
        operation.security = security(path, &method);
        paths = paths.path(path, PathItem::new(method, operation));
    }
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some("A token of --token-file, where the node has one".to_owned());
    let components = schemas().security_scheme(TOKEN, SecurityScheme::Http(scheme)).build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

/// Nothing, where the node asks for no tokens; else a token with one of the scopes that the table of routes names.
fn security(path: &str, method: &HttpMethod) -> Option<Vec<SecurityRequirement>> {
    let is_it = |route: &RouteInfo| {
        let method = matches!(
            (&route.method, method),
            (&Method::GET, HttpMethod::Get)
                | (&Method::POST, HttpMethod::Post)
                | (&Method::DELETE, HttpMethod::Delete)
        );
        let below = route.path.strip_suffix("/*").is_some_and(|above| path.starts_with(above));
        method && (route.path == path || below)
    };
    let scopes = super::routes::all().find(is_it)?.scopes;
    let of_scope = |scope: &Scope| SecurityRequirement::new(TOKEN, [scope.as_str()]);
    let tokens = scopes.iter().map(of_scope);
    (!scopes.is_empty()).then(|| std::iter::once(SecurityRequirement::default()).chain(tokens).collect())
}

/// Everything that a route refers to, and what that refers to.
fn schemas() -> ComponentsBuilder {
    let mut all = Vec::new();
    put::<Problem>(&mut all);
    put::<HealthJson<'_>>(&mut all);
    put::<ReadyJson>(&mut all);
    put::<MembersJson>(&mut all);
    put::<PeersJson>(&mut all);
    put::<ProfilesJson>(&mut all);
    put::<FilesJson>(&mut all);
    put::<JobJson>(&mut all);
    put::<UploadJson>(&mut all);
    put::<UploadsJson>(&mut all);
    put::<JobsJson>(&mut all);
    put::<Priority>(&mut all);
    put::<TargetGroup<'_>>(&mut all);
    all.into_iter()
        .fold(ComponentsBuilder::new(), |components, (name, schema)| components.schema(name, schema))
}

fn put<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}
