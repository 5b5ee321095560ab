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
