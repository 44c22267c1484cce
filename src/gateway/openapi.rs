//! The contract in a form that programs read: `OpenAPI` 3.1.
//!
//! The document is written by hand in `openapi.json`, because it says more than types
//! can: which errors there are, what a header means, what is called back. A test compares
//! it with the routes, and a checker of the project's own tests compares it with what the
//! running program answers.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("openapi.json");

/// The document for one gateway.
#[derive(Debug, Clone)]
pub(super) struct OpenApi(Bytes);

/// Returns the document with the gateway's own address and version in it.
pub(super) fn openapi(base_url: &str) -> OpenApi {
    let mut document: Value =
        serde_json::from_str(DOCUMENT).expect("a constant; the tests read it");
    document["servers"] = json!([{ "url": base_url }]);
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    OpenApi(document.to_string().into())
}

impl IntoResponse for OpenApi {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn document() -> Value {
        serde_json::from_slice(&openapi("https://restore.example.org/api").0).unwrap()
    }

    /// Visits every value with the path to it.
    fn visit(value: &Value, path: &str, seen: &mut dyn FnMut(&str, &Value)) {
        seen(path, value);
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    visit(value, &format!("{path}/{name}"), seen);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    visit(value, &format!("{path}/{index}"), seen);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn it_names_this_gateway() {
        let document = document();
        assert_eq!(document["servers"], json!([{ "url": "https://restore.example.org/api" }]));
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["openapi"], "3.1.0");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_part_is_used() {
        let document = document();
        let mut named = BTreeSet::new();
        visit(&document, "", &mut |path, value| {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let target = reference.strip_prefix('#').expect(reference);
                assert!(document.pointer(target).is_some(), "{path} refers to {target}");
                named.insert(target.to_owned());
            }
        });
        for (kind, parts) in document["components"].as_object().unwrap() {
            for name in parts.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
                let path = format!("/components/{kind}/{name}");
                assert!(named.contains(&path), "{path} is not used");
            }
        }
    }
}
