use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn as_json() -> Value {
    serde_json::to_value(document()).unwrap()
}

/// Every `$ref` in it.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(target) if name == "$ref" => _ = found.insert(target.clone()),
            value => references(value, found),
        }),
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn what_it_refers_to_is_in_it() {
    let document = as_json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 8, "{found:?}");
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

#[test]
fn all_public_routes_are_in_it_and_no_other() {
    let words = include_str!("../../../docs/API.md");
    let section = words.split("\n## ").find(|section| section.starts_with("Public routes")).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<(String, String)> = rows
        .flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2))
        .filter_map(|route| route.split_once(' '))
        .map(|(method, path)| (method.to_lowercase(), path.to_owned()))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    let document = as_json();
    let described: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    assert_eq!(described, named);
    let answered: BTreeSet<_> = crate::http::routes::all()
        .filter(|route| !route.between_nodes && !matches!(route.path, "/" | "/dashboard/*"))
        .map(|route| (route.method.as_str().to_lowercase(), route.path.to_owned()))
        .collect();
    assert!(answered.is_subset(&described), "{:?}", answered.difference(&described));
}

#[test]
fn it_says_which_scope_a_token_needs() {
    let document = as_json();
    let of = |path: &str, method: &str| document["paths"][path][method]["security"].clone();
    assert_eq!(of("/upload", "post"), serde_json::json!([{}, {"token": ["upload"]}]));
    assert_eq!(of("/dashboard/state", "get"), serde_json::json!([{}, {"token": ["read"]}]));
    assert_eq!(of("/health", "get"), Value::Null);
}
