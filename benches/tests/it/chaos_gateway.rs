//! A short run of `chaos-gateway`: its times here mean nothing; that no honest request fails does.

use std::process::Command;

#[test]
fn no_honest_request_fails_under_siege() {
    // Nothing is slow here unless it hangs.
    let arguments = ["--seed", "1", "--seconds", "7", "--idle", "200", "--dripping", "50", "--bound", "1000"];
    let output = Command::new(env!("CARGO_BIN_EXE_chaos-gateway")).args(arguments).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in [
        "seed 1\n",
        "200 of 200 idle connections: p99",
        " of 50 dripping connections: p99",
        " of 50 dripping bodies: p99",
        "no honest request failed",
    ] {
        assert!(stdout.contains(line), "{stdout}{stderr}");
    }
    assert!(output.status.success() && stdout.ends_with("\nholds\n"), "{}: {stdout}{stderr}", output.status);
}

#[test]
fn a_siege_that_does_not_hold_ends_with_a_failure() {
    let arguments = ["--seconds", "7", "--idle", "1", "--dripping", "1", "--bound", "0"];
    let output = Command::new(env!("CARGO_BIN_EXE_chaos-gateway")).args(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    // And not for another reason.
    assert!(stdout.ends_with("\ndoes not hold: over 0 x the quiet p99\n"), "{stdout}{stderr}");
}
