use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use sap_comm_core::Endpoint;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A service that answers each connection's request with the next of its scripted bytes, then closes.
pub(crate) struct Script {
    endpoint: Endpoint,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Script {
    /// Serves the answers in turn, the last one for ever.
    pub(crate) async fn serve(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (requests, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let (seen, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let turn = count.fetch_add(1, Ordering::SeqCst);
                let answer = &answers[turn.min(answers.len() - 1)];
                let request = play(stream, answer).await;
                seen.lock().push(request);
            }
        });
        Self { endpoint, requests, connections, task }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests so far, each as its head and what came with it.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

/// Reads one head, writes the answer; an empty answer closes without one.
async fn play(mut stream: TcpStream, answer: &str) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    // The client may have gone, which is its affair.
    let _ = stream.write_all(answer.as_bytes()).await;
    String::from_utf8_lossy(&request).into_owned()
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}
