//! The pages of the strategies tell the same things, and all of them.

use std::{fs, path::Path};

use sap_comm_resilience::{
    AdaptiveConcurrencyConfig, AdaptiveThrottleConfig, BulkheadConfig, CircuitBreakerConfig, HedgeConfig,
    RateLimitConfig, RetryConfig,
};
use serde::Serialize;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs").join(name)).unwrap()
}

#[test]
fn every_page_has_the_same_headings_and_an_example() {
    let mut pages = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let page = page(&name);
        let text = page.split("```").step_by(2);
        let headings: Vec<_> = text.flat_map(str::lines).filter_map(|line| line.strip_prefix("# ")).collect();
        assert_eq!(headings, ["About", "Usage", "Defaults", "Telemetry", "Anti-patterns"], "{name}");
        assert!(page.contains("```\n# #[tokio::main"), "{name} has no example that runs");
        assert!(page.contains("| field | default | reason |"), "{name} has no table of defaults");
        pages += 1;
    }
    assert_eq!(pages, 11);
}

/// The page has a row for each field of the configuration, and the README names it too.
fn documents<C: Default + Serialize>(name: &str) {
    let page = page(name);
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let config = serde_json::to_value(C::default()).unwrap();
    for field in config.as_object().unwrap().keys() {
        let row = |line: &str| line.starts_with('|') && line.contains(&format!("`{field}`"));
        assert!(page.lines().any(row), "{name} does not tell the default of {field}");
        let adaptive = name.starts_with("adaptive");
        assert!(adaptive || readme.lines().any(row), "the README has no counterpart of {field}");
    }
}

#[test]
fn every_field_is_documented() {
    documents::<AdaptiveConcurrencyConfig>("adaptive_concurrency.md");
    documents::<AdaptiveThrottleConfig>("adaptive_throttle.md");
    documents::<BulkheadConfig>("bulkhead.md");
    documents::<CircuitBreakerConfig>("circuit_breaker.md");
    documents::<HedgeConfig>("hedge.md");
    documents::<RateLimitConfig>("rate_limit.md");
    documents::<RetryConfig>("retry.md");
}
