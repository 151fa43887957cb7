use sap_comm_testkit::{install, node::NodeScript};

use crate::program::Program;

#[tokio::test]
async fn the_console_works_in_a_browser_without_the_network() {
    let chromium = install::locate("chromium").unwrap();
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", program.gateway().await);
    let mut browser = NodeScript::new("console.mjs").arg(&url).arg(chromium.display().to_string()).spawn().unwrap();
    let signed_in = browser.next_event("signed-in").await.unwrap();
    assert_eq!(signed_in["users"], 2);
    browser.next_event("created").await.unwrap();
    let notified = browser.next_event("notified").await.unwrap();
    assert!(notified["message"].as_str().unwrap().contains("From the browser"), "{notified}");
    browser.next_event("graphql").await.unwrap();
    browser.finish().await.unwrap();
}

#[tokio::test]
async fn an_expired_token_is_refreshed_once_and_then_the_console_stops() {
    let chromium = install::locate("chromium").unwrap();
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", program.gateway().await);
    let script = NodeScript::new("console-expired.mjs").arg(&url).arg(chromium.display().to_string());
    let mut browser = script.spawn().unwrap();
    assert_eq!(browser.next_event("call").await.unwrap()["users"], 2);
    browser.next_event("socket").await.unwrap();
    let refused = browser.next_event("refused").await.unwrap();
    assert_eq!(refused["again"], 0, "{refused}");
    assert!(refused["status"].as_str().unwrap().contains("INVALID_TOKEN"), "{refused}");
    assert!(refused["session"].as_str().unwrap().contains("sign in again"), "{refused}");
    browser.finish().await.unwrap();
}
