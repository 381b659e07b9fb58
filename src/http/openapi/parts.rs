//! Parts that many routes have.

use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{
    Content, ContentBuilder, ObjectBuilder, Ref, Required, Response, ResponseBuilder, Schema,
};

use crate::api::Problem;

/// What any route may answer: it is asked in a way that the node does not take, or the node is full.
const ANY: [(u16, &str); 6] = [
    (400, "A header, a query or a body that can't be understood, or no name in Host"),
    (401, "The node asks for tokens, and there is none that it knows"),
    (403, "The token lacks the scope; or a web page of another site asks"),
    (421, "The node does not know itself by the name in Host"),
    (429, "This client has too much under way here"),
    (503, "The node can't take it now; Retry-After says when to come again"),
];

/// A route being described.
pub(super) struct Route(OperationBuilder);

impl Route {
    pub(super) fn new(tag: &str, id: &str, summary: &str) -> Self {
        let operation = OperationBuilder::new().tag(tag).operation_id(Some(id)).summary(Some(summary));
        Self(ANY.iter().fold(operation, |operation, (status, what)| {
            operation.response(status.to_string(), problem(what))
        }))
    }

    pub(super) fn describe(self, description: &str) -> Self {
        Self(self.0.description(Some(description)))
    }

    /// A query parameter or a header, of this schema.
    pub(super) fn takes(self, place: ParameterIn, name: &str, what: &str, schema: Schema) -> Self {
        Self(self.0.parameter(parameter(place, name, what, schema)))
    }

    pub(super) fn body(self, body: RequestBody) -> Self {
        Self(self.0.request_body(Some(body)))
    }

    /// An answer with a document of this type.
    pub(super) fn json<T: ToSchema>(self, status: u16, what: &str) -> Self {
        self.content(status, what, &[("application/json", json_of::<T>())])
    }

    /// An answer of these media types.
    pub(super) fn content(self, status: u16, what: &str, contents: &[(&str, Content)]) -> Self {
        Self(self.0.response(status.to_string(), response(what, contents)))
    }

    /// An answer without a body.
    pub(super) fn empty(self, status: u16, what: &str) -> Self {
        self.content(status, what, &[])
    }

    /// A problem, beside those that any route may have.
    pub(super) fn problem(self, status: u16, what: &str) -> Self {
        Self(self.0.response(status.to_string(), problem(what)))
    }

    pub(super) fn done(self) -> Operation {
        self.0.build()
    }
}

pub(super) fn parameter(place: ParameterIn, name: &str, what: &str, schema: Schema) -> Parameter {
    let in_path = place == ParameterIn::Path;
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(what))
        .required(if in_path { Required::True } else { Required::False })
        .schema(Some(schema))
        .build()
}

pub(super) fn json_of<T: ToSchema>() -> Content {
    Content::new(Some(Ref::from_schema_name(T::name())))
}

/// Text that is no JSON, such as events and metrics.
pub(super) fn plain() -> Content {
    Content::new(Some(text()))
}

/// Bytes as they are.
pub(super) fn bytes() -> Content {
    ContentBuilder::new().build()
}

pub(super) fn text() -> Schema {
    ObjectBuilder::new().schema_type(Type::String).into()
}

pub(super) fn text_of(pattern: &str) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
}

pub(super) fn one_of(values: &[&str]) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.iter().copied())).into()
}

pub(super) fn integer(least: u32, most: Option<u32>) -> Schema {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(most).into()
}

/// A document whose fields may come to be more.
pub(super) fn open_object() -> Content {
    Content::new(Some(Schema::from(ObjectBuilder::new().schema_type(SchemaType::new(Type::Object)))))
}

fn response(what: &str, contents: &[(&str, Content)]) -> Response {
    contents
        .iter()
        .fold(ResponseBuilder::new().description(what), |response, (media_type, content)| {
            response.content(*media_type, content.clone())
        })
        .build()
}

fn problem(what: &str) -> Response {
    response(what, &[("application/problem+json", json_of::<Problem>())])
}
