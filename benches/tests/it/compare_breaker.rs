//! `compare-breaker` prints what an issue names: its figures here mean nothing, its rows do.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

#[test]
fn every_case_has_a_row_for_each_peer() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_compare-breaker")).args(["--rounds", "2", "--slice", "20"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let in_process = ["failsafe-rate-window", "failsafe-consecutive", "recloser", "tower-resilience", "instant-now"];
    let mut expected = BTreeSet::new();
    for case in ["closed-1t", "closed-2t", "open-1t"] {
        expected.extend(in_process.map(|peer| format!("{case} {peer}")));
    }
    expected.extend(
        ["closed-1t opossum", "open-1t opossum", "closed-2t self-1t", "stack-success tower-resilience"]
            .map(str::to_owned),
    );
    let names: BTreeSet<String> =
        rows.iter().map(|row| format!("{} {}", row["case"], row["peer"]).replace('"', "")).collect();
    assert_eq!(names, expected);
    for row in rows {
        assert!(row["ours"].as_f64() > Some(0.0) && row["theirs"].as_f64() > Some(0.0), "{row}");
        assert_eq!(
            (&row["subject"], &row["metric"], &row["better"]),
            (&"breaker".into(), &"ns_per_call".into(), &"lower".into())
        );
    }
}
