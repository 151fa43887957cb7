//! A short run of `chaos-gateway`: its times here mean nothing; that no honest request fails does.

use std::process::Command;

#[test]
fn no_honest_request_fails_under_siege() {
    let arguments = ["--seed", "1", "--seconds", "7", "--idle", "200", "--dripping", "50"];
    let output = Command::new(env!("CARGO_BIN_EXE_chaos-gateway")).args(arguments).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in ["seed 1\n", "200 idle connections: p99", "50 dripping connections: p99", "no honest request failed"] {
        assert!(stdout.contains(line), "{stdout}{stderr}");
    }
}
