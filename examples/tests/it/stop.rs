use std::time::Duration;

use sap_comm_testkit::RabbitNode;

use crate::program::Program;

/// The bound that is promised.
const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn ctrl_c_drains_and_exits_cleanly() {
    for signal in ["INT", "TERM"] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
        program.gateway().await;
        program.signal(signal).await;
        let (code, stderr) = program.ended(LIMIT).await;
        assert_eq!(code, Some(0), "{stderr}");
    }
}

#[tokio::test]
async fn ctrl_c_while_starting_exits_in_time() {
    // After the first, third, … line of the log, wherever that is.
    for lines in [1, 2, 3, 5] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
        for _ in 0..lines {
            program.stderr.recv().await.unwrap();
        }
        program.signal("INT").await;
        let (code, stderr) = program.ended(LIMIT).await;
        assert_eq!(code, Some(0), "after {lines} lines: {stderr}");
    }
}

#[tokio::test]
async fn ctrl_c_in_the_story_exits_in_time_and_says_so() {
    let mut program = Program::start(&["--smoke"]);
    for _ in 0..4 {
        program.stdout.next_line().await.unwrap();
    }
    program.signal("INT").await;
    let (code, stderr) = program.ended(LIMIT).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("stopped in the middle of the story"), "{stderr}");
}

#[tokio::test]
async fn ctrl_c_exits_in_time_while_the_broker_is_frozen() {
    let node = RabbitNode::start().await.unwrap();
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--broker", &node.uri()]);
    program.gateway().await;
    node.pause().await.unwrap();
    program.signal("INT").await;
    let (_, stderr) = program.ended(LIMIT).await;
    assert!(!stderr.contains("panicked"), "{stderr}");
    node.resume().await.unwrap();
}

#[tokio::test]
async fn a_service_that_dies_ends_the_topology_and_is_named() {
    let broker = RabbitNode::shared().await.unwrap().new_vhost().await.unwrap();
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--processes", "--broker", &broker]);
    program.gateway().await;
    program.kill_child("content-service").await;
    let (code, stderr) = program.ended(LIMIT).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("content-service ended"), "{stderr}");
}
