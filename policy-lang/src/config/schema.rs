//! The JSON Schema of the file, made from the table that the reader reads by.

use super::{
    document::Key,
    fields::{Kind, Needs, Shape},
};
use serde_json::{Map, Value, json};

/// A host pattern: a name in Unicode or ASCII, an address, `*` or `*.name`, with a port or range of ports.
const HOST: &str =
    r"^(\*|(\*\.)?[^\s/:@%*\[\]$?#\\]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)?$";
const SET: &str = r"^\$[A-Za-z0-9_-]+$";

/// The JSON Schema (2020-12) of `proxy-config.json`, for editors and other tools.
///
/// Whatever the reader takes, the schema takes. The reader is the stricter of the two where a pattern cannot
/// tell: a port above 65535, a label of 64 characters, a name that is an odd spelling of an address.
pub fn schema() -> Value {
    let mut schema = of(Kind::Open(&Key::TOP));
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "proxy-config.json",
        "description": "The network policy of a sandbox.",
    });
    if let (Value::Object(mut head), Value::Object(body)) = (head, schema.take()) {
        head.extend(body);
        schema = Value::Object(head);
    }
    schema
}

fn of(kind: Kind) -> Value {
    match kind {
        Kind::Word(words) => json!({"enum": words}),
        Kind::Hosts => json!({"type": "string", "anyOf": [{"pattern": HOST}, {"pattern": SET}]}),
        Kind::Host => text(HOST),
        Kind::Net => text(r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"),
        Kind::File => text(r"^[^\p{Cc}]+$"),
        Kind::Text => text(r"^[^\p{Cc}]*$"),
        Kind::Method => text("^[A-Z-]+$"),
        Kind::Path => text(r"^/[^\s?#]*$"),
        Kind::Rate => text("^[1-9][0-9]*/[smhd]( +burst +[1-9][0-9]*)?$"),
        Kind::Bytes => text("^[1-9][0-9]*([KMG]i?)?B/[smhd]( +(up|down))?$"),
        Kind::Budget => {
            text("^([1-9][0-9]*([KMG]i?)?B/[smhd]( +(up|down))?|[1-9][0-9]* +names/[smhd])$")
        }
        Kind::Parameter => text("^[A-Za-z0-9._~-]+$"),
        Kind::Header => text(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
        Kind::Format => text(r"^[^\p{Cc}]*%s[^\p{Cc}]*$"),
        Kind::Variable => text(r"^[^\s=#][^\s=]*$"),
        Kind::Url => text(r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s]+$"),
        Kind::List(item) => json!({"type": "array", "items": of(*item)}),
        Kind::Some(item) => json!({"type": "array", "items": of(*item), "minItems": 1}),
        Kind::Map(item) => json!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
            "additionalProperties": of(*item),
        }),
        Kind::Object(shape) => object(shape),
        Kind::Open(keys) => open(keys),
    }
}

fn text(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

fn open(keys: &[Key]) -> Value {
    let properties: Map<_, _> = keys
        .iter()
        .map(|key| {
            (
                key.name().to_owned(),
                described(of(key.kind()), key.about()),
            )
        })
        .collect();
    json!({"type": "object", "properties": properties})
}

fn object(shape: &Shape) -> Value {
    let fields = shape.fields.iter();
    let properties: Map<_, _> = fields
        .clone()
        .map(|field| {
            (
                field.name.to_owned(),
                described(of(field.kind), field.about),
            )
        })
        .collect();
    let required: Vec<_> = fields.filter(|f| f.required).map(|f| f.name).collect();
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), json!(properties)),
        ("required".to_owned(), json!(required)),
        ("additionalProperties".to_owned(), json!(false)),
    ]);
    let each = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| json!({"required": [name]}))
            .collect()
    };
    let need = match shape.needs {
        Needs::Nothing => None,
        Needs::Some(names) => Some(("anyOf", each(names))),
        Needs::One(names) => Some(("oneOf", each(names))),
        Needs::AtMostOne(names) => Some(("not", json!({"required": names}))),
    };
    schema.extend(need.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(schema)
}

fn described(mut schema: Value, about: &str) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".into(), json!(about));
    }
    schema
}
