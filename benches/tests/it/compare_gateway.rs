//! `compare-gateway` prints what an issue names: its figures here mean nothing, its rows do, and that memory stays flat: of 32 MiB
//! whoever kept them would hold 8 MiB after a quarter, and 24 MiB more at the end.
//! Pingora is left out, which a test would have to build.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

const PEERS: [&str; 4] = ["hyper-bare", "nginx", "haproxy", "express"];

#[test]
fn every_case_has_a_row_for_each_metric_and_peer() {
    let mut compare = Command::new(env!("CARGO_BIN_EXE_compare-gateway"));
    for peer in PEERS.into_iter().chain(["direct"]) {
        compare.args(["--peer", peer]);
    }
    let output = compare.args(["--rounds", "1", "--millis", "400", "--stream", "32"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut expected = BTreeSet::new();
    for (case, metrics) in [
        ("bare", &["cpu_us_per_request", "requests_per_s"][..]),
        ("full-policies", &["cpu_us_per_request", "requests_per_s"]),
        ("half-load", &["p99_ms"]),
        ("stream-1gib", &["peak_rss_mib", "flat"]),
        ("upload-1gib", &["peak_rss_mib", "flat"]),
    ] {
        for metric in metrics {
            expected.extend(PEERS.map(|peer| format!("{case} {metric} {peer}")));
        }
    }
    expected.insert("half-load p99_ms direct".to_owned());
    let name = |row: &Value| format!("{} {} {}", row["case"], row["metric"], row["peer"]).replace('"', "");
    assert_eq!(rows.iter().map(name).collect::<BTreeSet<_>>(), expected);
    assert_eq!(rows.len(), expected.len());
    for row in &rows {
        assert_eq!(row["subject"], "gateway");
        let (ours, theirs) = (row["ours"].as_f64().unwrap(), row["theirs"].as_f64().unwrap());
        // A peer may be what it likes where it is judged.
        assert!(ours > 0.0 && (theirs > 0.0 || row["metric"] == "flat"), "{row}");
        let rate = row["note"].as_str().is_some_and(|note| note.starts_with("at ") && note.ends_with(" req/s"));
        assert_eq!(rate, row["case"] == "half-load", "{row}");
    }
    assert!(stderr.contains("half-load sap-comm adds "), "{stderr}");
}
