//! The node is held against its own `OpenAPI` document, by schemathesis.

use std::process::Command;

use crate::support::{Node, NodeOptions, fetched, skipped};

/// No answer of 500 (other statuses above it are no faults where the document names them), no status, media type or JSON that is not in the document, and no method that it does not name. That what fits to the document is taken is not asked: it can't say what a video is.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth";

/// It sends the parts of uploads as what they are: bytes.
const SCHEMATHESIS: &str = "import schemathesis\n\
                            parts = ['application/offset+octet-stream', 'application/partial-upload']\n\
                            schemathesis.serializer.alias(parts, 'application/octet-stream')\n\
                            from schemathesis.cli import schemathesis as run\n\
                            run()";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_as_its_document_says() {
    let Some(folder) = fetched("openapi/python") else {
        skipped("schemathesis is not in target/tools (scripts/deps.sh test fetches it by pip)");
        return;
    };
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let examples = std::env::var("STARLING_SCHEMA_EXAMPLES").unwrap_or_else(|_| "20".into());
    let (url, report) = (format!("http://{}/openapi.json", node.http_address), tempfile::tempdir().unwrap());
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi/schemathesis.toml");
    let run = move || {
        Command::new("python3")
            .current_dir(report.path())
            .env("PYTHONPATH", &folder)
            .args(["-c", SCHEMATHESIS])
            .args(["--config-file", config, "run", &url])
            // Streams do not end.
            .args(["--exclude-path-regex", "^/events$|/stream$|/events$"])
            .args(["--phases", "coverage,fuzzing", "--max-examples", &examples, "--seed", "1"])
            .args(["--checks", CHECKS, "--request-timeout", "120", "--no-color"])
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let cases = said.lines().find(|line| line.contains(" generated, ")).unwrap_or_default().trim().to_owned();
    println!("{cases}");
    let count: Option<u32> = cases.split(' ').next().and_then(|count| count.parse().ok());
    assert!(count.is_some_and(|count| count > 100), "{said}");
}
