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
