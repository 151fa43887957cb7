//! A short run of `chaos-events`: whatever it breaks, nothing is lost.

use std::process::Command;

#[test]
fn a_short_run_under_faults_is_clean() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_chaos-events")).args(["--seed", "1", "--seconds", "10"]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["seed                        1\n", "lost of those confirmed     0\n", "clean\n"] {
        assert!(stdout.contains(line), "{stdout}");
    }
}
