//! nginx and HAProxy in front of an upstream of the test's.

use sap_comm_testkit::ReverseProxy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::eventually;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

#[tokio::test]
async fn a_reverse_proxy_passes_requests_on_and_ends_with_its_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let origin = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1_024];
            if stream.read(&mut head).await.unwrap() > 0 {
                stream.write_all(ANSWER).await.unwrap();
            }
        }
    });
    for proxy in [ReverseProxy::nginx(upstream).await.unwrap(), ReverseProxy::haproxy(upstream).await.unwrap()] {
        assert!(proxy.pid().is_some());
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"GET /any/path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
        let address = proxy.address();
        drop(proxy);
        // Its workers are killed with it, and gone a moment later.
        eventually("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
    }
    origin.abort();
}
