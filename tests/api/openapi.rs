//! The public contract is a golden file: a change to it is seen in review.
use std::path::Path;

use super::harness::Lab;

/// `UPDATE_GOLDEN=1 cargo test --test api openapi` writes it anew.
#[tokio::test]
async fn the_openapi_document_is_the_golden_one_and_is_served() {
    let document = ringproof::api::openapi_document().to_pretty_json().unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/openapi.golden.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    if let Some((line, (now, then))) = document
        .lines()
        .zip(golden.lines())
        .enumerate()
        .find(|(_, (now, then))| now != then)
    {
        panic!(
            "the API's description changed at line {}:\n  golden: {then}\n  now:    {now}",
            line + 1
        );
    }
    assert_eq!(document.lines().count(), golden.lines().count());

    let lab = Lab::start().await;
    let served = lab.get("/openapi.json").await.json();
    assert_eq!(
        served,
        serde_json::from_str::<serde_json::Value>(&golden).unwrap()
    );
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    let docs = lab.get("/docs/").await;
    assert!(
        docs.status.is_success() && docs.text.contains("swagger"),
        "{}",
        docs.text
    );
}

/// Every endpoint of the document exists, and every refusal it can give is a problem document.
#[tokio::test]
async fn every_documented_path_is_routed() {
    let lab = Lab::start().await;
    let document = lab.get("/openapi.json").await.json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let concrete = path.replace("{id}", "none");
            let method: reqwest::Method = method.to_uppercase().parse().unwrap();
            let answer = lab
                .client
                .request(method.clone(), format!("{}{concrete}", lab.base))
                .send()
                .await
                .unwrap();
            assert_ne!(answer.status(), 405, "{method} {path}");
            if answer.status().is_client_error() {
                assert_eq!(
                    answer.headers()["content-type"],
                    "application/problem+json",
                    "{method} {path}"
                );
                let problem: serde_json::Value = answer.json().await.unwrap();
                assert_ne!(
                    problem["detail"],
                    "no such path; the API is described at /openapi.json and /docs"
                );
            }
        }
    }
}

/// Programs generate clients from the document: names must be one and references must lead somewhere.
#[test]
fn operation_ids_are_distinct_and_references_resolve() {
    fn walk(node: &serde_json::Value, found: &mut Vec<String>) {
        match node {
            serde_json::Value::Object(object) => {
                for (name, value) in object {
                    match (name.as_str(), value.as_str()) {
                        ("$ref", Some(target)) => found.push(target.to_owned()),
                        _ => walk(value, found),
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let document = serde_json::to_value(ringproof::api::openapi_document()).unwrap();
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 30);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = std::collections::BTreeSet::new();
    for operation in document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|p| p.as_object().unwrap().values())
    {
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "{}",
            operation["operationId"]
        );
    }
    assert_eq!(ids.len(), 18);
}
