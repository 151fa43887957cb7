//! The topology's program, run as a person would.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use sap_comm_examples::smoke::http::Http;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{Instant, sleep, timeout},
};

/// Long enough for a debug build on a loaded machine; only a hang takes as long.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that runs; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) stdout: Lines<BufReader<ChildStdout>>,
    /// The lines of its log. They are taken at once: a full pipe would stop the program.
    pub(crate) stderr: UnboundedReceiver<String>,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_topology"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, stderr) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // Nobody may be left to read it.
                _ = sender.send(line);
            }
        });
        Self { child, stdout, stderr }
    }

    /// Waits until the gateway's address is printed.
    pub(crate) async fn gateway(&mut self) -> SocketAddr {
        self.address("console").await
    }

    /// Waits until the address of `what` is printed. They are printed in an order.
    pub(crate) async fn address(&mut self, what: &str) -> SocketAddr {
        loop {
            let line = timeout(LIMIT, self.stdout.next_line()).await.expect("it starts in time").unwrap();
            let line = line.expect("the program runs");
            if let Some(address) = line.strip_prefix(what).and_then(|rest| rest.trim().strip_prefix("http://")) {
                return address.trim_end_matches('/').parse().unwrap();
            }
        }
    }

    /// Sends a signal, such as `INT`.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("the program runs");
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().await.unwrap();
        assert!(status.success());
    }

    /// Kills the process of one service.
    pub(crate) async fn kill_child(&self, service: &str) {
        let pid = self.child.id().expect("the program runs");
        let command = format!(
            "for child in $(cat /proc/{pid}/task/*/children); do \
               grep -qz -- {service} /proc/$child/cmdline && kill -KILL $child && exit 0; \
             done; exit 1"
        );
        assert!(Command::new("sh").args(["-c", &command]).status().await.unwrap().success());
    }

    /// Waits until the program has ended, within `limit`; its exit code and what it still wrote to standard error.
    pub(crate) async fn ended(mut self, limit: Duration) -> (Option<i32>, String) {
        let end = async {
            let mut rest = String::new();
            while let Some(line) = self.stderr.recv().await {
                rest.push_str(&line);
                rest.push('\n');
            }
            (self.child.wait().await.unwrap().code(), rest)
        };
        timeout(limit, end).await.unwrap_or_else(|_| panic!("the program did not end within {limit:?}"))
    }
}

/// Runs the program to its end.
pub(crate) async fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_with(arguments, &[]).await
}

/// Runs the program to its end, with further variables.
pub(crate) async fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topology"));
    let output =
        command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(2 * LIMIT, output).await.expect("it ends in time").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Asks again after each `pause` until there is an answer, and fails at `until` with the last reason why there is none:
/// nothing tells an outsider when an event has been handled.
pub(crate) async fn eventually<T, F: AsyncFnMut() -> Result<T, String>>(
    until: Instant,
    pause: Duration,
    mut ask: F,
) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(reason) => assert!(Instant::now() < until, "{reason}"),
        }
        sleep(pause).await;
    }
}

/// Logs the demo administrator in.
pub(crate) async fn admin_token(http: &Http) -> String {
    let login = json!({"email": "admin@example.com", "password": "admin-password"});
    http.post("/api/v1/auth/login", &login).expect(200).await.unwrap().text("/accessToken").unwrap()
}
