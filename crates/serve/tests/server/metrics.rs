//! What Prometheus reads.

use serde_json::json;
use text::Dialect;

use crate::client::Client;
use crate::model::Scripted;
use crate::support::{Server, completion, observed};

#[tokio::test]
async fn models_are_counted() {
    let server = Server::start().await;
    let executor = Scripted { kv_blocks: 4096, gate: None, logits: Vec::new() };
    let observer = server.app.observer("m");
    let (engine, model) = observed("m", Dialect::of_template(""), executor, (8, 4096), observer);
    server.app.add(model);
    let twenty = "x".repeat(20);
    for _ in 0..2 {
        let body = completion(&twenty, json!({ "model": "m", "max_tokens": 5 }));
        assert_eq!(server.post("/v1/completions", &body).await.head.status, 200);
    }
    while engine.stats().running > 0 {
        tokio::task::yield_now().await;
    }
    let answer = server.get("/metrics").await;
    assert_eq!(answer.head.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(answer.body).expect("text");
    assert!(text.contains("# TYPE vllm:prompt_tokens_total counter\n") && !text.contains("# EOF"), "{text}");
    let mut client = Client::connect(server.address).await;
    client.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: application/openmetrics-text\r\n\r\n").await;
    let open = client.answer().await;
    assert!(open.head.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let open = String::from_utf8(open.body).expect("text");
    assert!(open.contains("# TYPE vllm:prompt_tokens counter\n") && open.ends_with("# EOF\n"), "{open}");
    for line in [
        r#"vllm:num_requests_running{model_name="m"} 0"#,
        r#"vllm:num_requests_waiting{model_name="tiny"} 0"#,
        r#"vllm:generation_tokens_total{model_name="m"} 10"#,
        r#"vllm:prompt_tokens_total{model_name="m"} 40"#,
        // The second finds a block of 16.
        r#"vllm:prefix_cache_queries_total{model_name="m"} 40"#,
        r#"vllm:prefix_cache_hits_total{model_name="m"} 16"#,
        r#"vllm:request_success_total{model_name="m",finished_reason="length"} 2"#,
        r#"vllm:time_to_first_token_seconds_count{model_name="m"} 2"#,
        r#"vllm:e2e_request_latency_seconds_bucket{le="+Inf",model_name="m"} 2"#,
        r#"vllm:inter_token_latency_seconds_count{model_name="m"} 8"#,
        r#"vllm:request_generation_tokens_sum{model_name="m"} 10.0"#,
        r#"vllm:request_prompt_tokens_count{model_name="m"} 2"#,
        r#"vllm:request_prefill_time_seconds_count{model_name="m"} 2"#,
        r#"vllm:cache_config_info{model_name="m",block_size="16",num_gpu_blocks="4096"} 1"#,
        concat!("whinchat_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    drop(server.app.remove("m"));
    let text = String::from_utf8(server.get("/metrics").await.body).expect("text");
    assert!(!text.contains(r#"running{model_name="m"}"#) && text.contains(r#"total{model_name="m"} 10"#), "{text}");
}
