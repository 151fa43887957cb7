//! `compare-events` prints what an issue names: its figures here mean nothing, its rows do.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

fn compare(args: &[&str]) -> (bool, Vec<Value>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_compare-events")).args(args).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let rows = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.success(), rows, String::from_utf8(output.stderr).unwrap())
}

fn names(rows: &[Value]) -> BTreeSet<String> {
    let name = |row: &Value| format!("{} {} {}", row["case"], row["metric"], row["peer"]).replace('"', "");
    rows.iter().map(name).collect()
}

#[test]
fn every_case_has_a_row_for_each_metric_and_peer() {
    let (success, rows, stderr) = compare(&["--rounds", "1", "--messages", "2000", "--without-ruststream"]);
    assert!(success, "{stderr}");
    let mut expected = BTreeSet::new();
    for (case, metrics) in [
        ("e2e-classic", ["msgs_per_s", "client_cpu_us_per_msg"]),
        ("e2e-quorum", ["msgs_per_s", "client_cpu_us_per_msg"]),
        ("latency-half-load", ["p50_ms", "p99_ms"]),
    ] {
        for metric in metrics {
            expected
                .extend(["lapin-pipelined", "lapin-awaited", "amqplib"].map(|peer| format!("{case} {metric} {peer}")));
        }
    }
    expected.extend(["msgs_per_s", "client_cpu_us_per_msg"].map(|metric| format!("memory-bus {metric} tokio-channel")));
    assert_eq!(names(&rows), expected);
    assert!(rows.iter().all(|row| row["ours"].as_f64() > Some(0.0) && row["theirs"].as_f64() > Some(0.0)));
}

#[test]
fn a_client_that_fails_is_named_with_its_reason() {
    let setting = r#"{"url":"amqp://127.0.0.1:1/%2f","queue":"classic","window":1,"prefetch":1,"ackEvery":1,"load":{"warmUp":0,"messages":1}}"#;
    let (success, rows, stderr) = compare(&["client", "lapin-awaited", setting]);
    assert!(!success && rows.is_empty());
    assert!(stderr.starts_with("error: cannot connect: "), "{stderr}");
}
