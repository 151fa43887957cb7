use sap_comm_testkit::{Postgres, RabbitNode};

use crate::program::run;

async fn passes(arguments: &[&str]) {
    let (code, stdout, stderr) = run(arguments).await;
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("passed and drained"), "{stdout}");
}

#[tokio::test]
async fn the_story_passes_on_embedded_parts() {
    passes(&["--smoke"]).await;
}

#[tokio::test]
async fn the_story_passes_on_rabbitmq_and_postgresql() {
    let rabbit = RabbitNode::shared().await.unwrap().new_vhost().await.unwrap();
    let postgres = Postgres::shared().await.unwrap().new_database().await.unwrap();
    passes(&["--smoke", "--broker", &rabbit, "--database", &postgres]).await;
}

#[tokio::test]
async fn the_story_passes_with_a_process_for_each_service() {
    let rabbit = RabbitNode::shared().await.unwrap().new_vhost().await.unwrap();
    passes(&["--smoke", "--processes", "--broker", &rabbit]).await;
}
