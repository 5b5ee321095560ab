//! OpenAPI enums made from the model's own word lists, so that document and code cannot part.
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::model::{HungUpBy, KeyTransport, Method, Purpose, Reason, Stage, Status};

fn words<'a>(list: impl Iterator<Item = &'a str>, nullable: bool, description: &str) -> Object {
    let mut values: Vec<serde_json::Value> = list.map(Into::into).collect();
    if nullable {
        values.push(serde_json::Value::Null);
    }
    let kind = if nullable {
        SchemaType::Array(vec![Type::String, Type::Null])
    } else {
        SchemaType::Type(Type::String)
    };
    ObjectBuilder::new()
        .schema_type(kind)
        .enum_values(Some(values))
        .description(Some(description))
        .build()
}

pub(super) fn status() -> Object {
    words(
        Status::ALL.iter().map(|w| w.as_str()),
        false,
        "First level of the outcome; all but `pending` are final",
    )
}

pub(super) fn status_or_null() -> Object {
    words(
        Status::ALL.iter().map(|w| w.as_str()),
        true,
        "Null while the attempt is on",
    )
}

pub(super) fn stage_or_null() -> Object {
    words(
        Stage::ALL.iter().map(|w| w.as_str()),
        true,
        "While `pending`: where the call stands",
    )
}

pub(super) fn stage() -> Object {
    words(
        Stage::ALL.iter().map(|w| w.as_str()),
        false,
        "How far the attempt came",
    )
}

pub(super) fn reason_or_null() -> Object {
    words(Reason::ALL.iter().map(|w| w.as_str()), true, "Once ended: why so")
}

pub(super) fn method() -> Object {
    words(
        Method::ALL.iter().map(|w| w.as_str()),
        false,
        "How the person confirms. Default: the profile's first",
    )
}

pub(super) fn purpose() -> Object {
    words(
        Purpose::ALL.iter().map(|w| w.as_str()),
        false,
        "What it is for. Default: `enroll`; `transaction` needs `message`",
    )
}

pub(super) fn transport_or_null() -> Object {
    words(
        KeyTransport::ALL.iter().map(|w| w.as_str()),
        true,
        "How the key reached us",
    )
}

pub(super) fn side_or_null() -> Object {
    words(
        HungUpBy::ALL.iter().map(|w| w.as_str()),
        true,
        "Which side ended the call",
    )
}
