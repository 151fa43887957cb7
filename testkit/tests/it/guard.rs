use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use sap_comm_testkit::{TestkitError, guard::Home};

use crate::{eventually, is_alive};

/// Ignores SIGTERM, starts a child in a session of its own, and writes both process ids to the log.
const STUBBORN: &str = "trap '' TERM; setsid sleep 1000 & echo $! $$; wait";

fn pids(log: &str) -> Vec<u32> {
    log.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_and_no_directory() {
    let server = Home::new("stubborn").unwrap().guard("sh", ["-c", STUBBORN]).unwrap();
    server.start().await.unwrap();
    server.ready(Duration::from_secs(10), || async { pids(&server.log_tail()).len() == 2 }).await.unwrap();
    let (family, dir) = (pids(&server.log_tail()), server.dir().to_owned());
    assert!(family.iter().all(|pid| is_alive(*pid)));
    drop(server);
    eventually("the whole family is gone", || !family.iter().any(|pid| is_alive(*pid))).await;
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_server_ends_with_a_test_process_that_was_killed() {
    let mut test = Command::new(env!("CARGO_BIN_EXE_private-server"))
        .arg("redis")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(test.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
    let address = url.trim().strip_prefix("redis://").unwrap().to_owned();
    let connects = || std::net::TcpStream::connect(&address).is_ok();
    assert!(connects());
    let guard = children(test.id());
    let server = guard.iter().flat_map(|pid| children(*pid)).collect::<Vec<_>>();
    assert!(!guard.is_empty() && !server.is_empty());
    test.kill().unwrap();
    test.wait().unwrap();
    eventually("nobody listens", || !connects()).await;
    eventually("guard and server are gone", || !guard.iter().chain(&server).any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn a_killed_server_can_be_started_again_in_its_directory() {
    let home = Home::new("sleeper").unwrap();
    let file = home.write("kept", "data").unwrap();
    let server = home.guard("sleep", ["1000"]).unwrap();
    assert!(!server.is_running());
    server.start().await.unwrap();
    let first = server.pid().unwrap();
    server.kill().await.unwrap();
    assert!(!server.is_running() && !is_alive(first));
    assert!(file.exists());
    server.start().await.unwrap();
    assert!(server.is_running());
    assert_ne!(server.pid(), Some(first));
}

#[tokio::test]
async fn a_paused_server_is_running_but_stopped() {
    let server = Home::new("sleeper").unwrap().guard("sleep", ["1000"]).unwrap();
    server.start().await.unwrap();
    let pid = server.pid().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().split(") ").nth(1).unwrap().to_owned();
    eventually("the program runs", || state().starts_with('S')).await;
    server.pause().await.unwrap();
    eventually("the program is stopped", || state().starts_with('T')).await;
    assert!(server.is_running());
    server.resume().await.unwrap();
    eventually("the program goes on", || state().starts_with('S')).await;
    server.pause().await.unwrap();
    server.kill().await.unwrap();
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_server_that_ignores_its_signal_is_killed_and_reported() {
    let server = Home::new("stubborn").unwrap().guard("sh", ["-c", STUBBORN]).unwrap();
    server.start().await.unwrap();
    server.ready(Duration::from_secs(10), || async { pids(&server.log_tail()).len() == 2 }).await.unwrap();
    let error = server.terminate("TERM", Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, TestkitError::StillRunning { .. }), "{error}");
    assert!(!server.is_running());
}

#[tokio::test]
async fn a_server_that_ends_before_it_is_ready_shows_its_log() {
    let server = Home::new("quitter").unwrap().guard("sh", ["-c", "echo no licence >&2; exit 3"]).unwrap();
    server.start().await.unwrap();
    let error = server.ready(Duration::from_secs(10), || async { false }).await.unwrap_err();
    assert!(
        matches!(&error, TestkitError::Exited { server, log } if server == "quitter" && log == "no licence"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_never_gets_ready_is_given_up() {
    let server = Home::new("sleeper").unwrap().guard("sleep", ["1000"]).unwrap();
    server.start().await.unwrap();
    let error = server.ready(Duration::from_millis(200), || async { false }).await.unwrap_err();
    assert!(matches!(error, TestkitError::NotReady { .. }), "{error}");
}

#[tokio::test]
async fn a_server_sees_nothing_of_the_callers_environment() {
    let mut home = Home::new("env").unwrap();
    home.set_env("OWN", "yes");
    let server = home.guard("sh", ["-c", "echo own=$OWN cargo=$CARGO_MANIFEST_DIR; sleep 1000"]).unwrap();
    server.start().await.unwrap();
    server.ready(Duration::from_secs(10), || async { server.log_tail().contains("cargo=") }).await.unwrap();
    assert_eq!(server.log_tail(), "own=yes cargo=");
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.flat_map(|task| pids(&std::fs::read_to_string(task.path().join("children")).unwrap_or_default())).collect()
}
