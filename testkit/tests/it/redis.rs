use std::time::Duration;

use sap_comm_testkit::Redis;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

async fn command(redis: &Redis, line: &str) -> Option<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).await?;
        stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        let mut bytes = [0; 64];
        let length = stream.read(&mut bytes).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    timeout(Duration::from_millis(500), exchange).await.ok()?.ok()
}

#[tokio::test]
async fn redis_keeps_its_data_through_kill_and_restart() {
    let redis = Redis::start().await.unwrap();
    assert_eq!(command(&redis, "SET key value").await.as_deref(), Some("+OK\r\n"));
    redis.kill().await.unwrap();
    assert_eq!(command(&redis, "GET key").await, None);
    redis.restart().await.unwrap();
    assert_eq!(command(&redis, "GET key").await.as_deref(), Some("$5\r\nvalue\r\n"));
}

#[tokio::test]
async fn a_paused_redis_answers_after_it_is_resumed() {
    let redis = Redis::start().await.unwrap();
    redis.pause().await.unwrap();
    assert_eq!(command(&redis, "PING").await, None);
    redis.resume().await.unwrap();
    assert_eq!(command(&redis, "PING").await.as_deref(), Some("+PONG\r\n"));
    redis.stop().await.unwrap();
    assert_eq!(command(&redis, "PING").await, None);
}
