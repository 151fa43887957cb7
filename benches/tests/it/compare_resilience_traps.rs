//! `compare-resilience-traps` prints a row for each trap and peer. A few quick traps stand for all.

use std::process::Command;

use serde_json::Value;

#[test]
fn every_trap_has_a_row_for_each_peer() {
    let traps = [
        "05-ignored-probe",
        "11-retry-outside-breaker",
        "13-replayable-only",
        "17-own-rejections",
        "23-budget-overdraft",
    ];
    let mut compare = Command::new(env!("CARGO_BIN_EXE_compare-resilience-traps"));
    for trap in traps {
        compare.args(["--case", trap]);
    }
    let output = compare.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row["case"], row["peer"]).replace('"', "")).collect();
    let peers = ["failsafe", "recloser", "tower-resilience", "opossum"];
    let expected = traps.iter().flat_map(|trap| peers.iter().map(move |peer| format!("{trap} {peer}")));
    assert_eq!(names, expected.collect::<Vec<_>>());
    for row in &rows {
        assert_eq!(row["ours"], 1.0, "{row}\n{stderr}");
        assert_eq!(
            [&row["subject"], &row["metric"], &row["unit"], &row["better"]],
            ["resilience-traps", "passed", "bool", "higher"]
        );
        assert!(row["ratio"].is_f64() && [0.0, 1.0].contains(&row["theirs"].as_f64().unwrap()), "{row}");
    }
    let retry = rows.iter().find(|row| row["case"] == traps[1] && row["peer"] == "failsafe").unwrap();
    assert_eq!((&retry["theirs"], &retry["note"]), (&0.0.into(), &"not offered".into()));
}
