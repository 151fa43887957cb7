//! Node scripts as foreign clients.
//!
//! The scripts lie in `testkit/node`, print one JSON value a line and end when their stdin does.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    TestkitError,
    install::{locate, node_dir, require_node_packages},
};

/// How long [`RunningScript::next_json`] waits unless told otherwise.
const LINE_LIMIT: Duration = Duration::from_secs(20);
/// How much of a script's stderr an error carries.
const STDERR_TAIL: usize = 8 * 1024;

/// A script that is yet to run.
#[derive(Clone, Debug)]
#[must_use]
pub struct NodeScript {
    script: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl NodeScript {
    /// A script of `testkit/node`, by its file name.
    pub fn new(name: &str) -> Self {
        Self { script: node_dir().join(name), args: Vec::new(), env: Vec::new() }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts the script. Fails if Node or a package of `testkit/node/package-lock.json` is absent.
    ///
    /// Must be called within a tokio runtime.
    pub fn spawn(self) -> Result<RunningScript, TestkitError> {
        let node = locate("node")?;
        require_node_packages()?;
        let name = self.script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut child = Command::new(node)
            .arg(&self.script)
            .args(&self.args)
            .envs(self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(TestkitError::io(format!("run {name}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(TestkitError::Io { doing: format!("run {name}"), source: std::io::Error::other("no pipes") });
        };
        let tail = Arc::<Mutex<Vec<u8>>>::default();
        let reader = tokio::spawn(keep_tail(stderr, Arc::clone(&tail)));
        let stderr = Stderr { tail, reader };
        Ok(RunningScript { name, child, stdin: Some(stdin), lines: BufReader::new(stdout).lines(), stderr })
    }
}

/// A script that runs. Dropping it kills it.
#[derive(Debug)]
pub struct RunningScript {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: Stderr,
}

impl RunningScript {
    /// The next line that the script prints, as JSON.
    pub async fn next_json(&mut self) -> Result<Value, TestkitError> {
        self.next_json_within(LINE_LIMIT).await
    }

    /// The next line as JSON, waited for no longer than `limit`.
    pub async fn next_json_within(&mut self, limit: Duration) -> Result<Value, TestkitError> {
        let line = self.next_line_within(limit).await?;
        serde_json::from_str(&line).map_err(|_| TestkitError::ScriptLine { script: self.name.clone(), line })
    }

    /// Skips lines until one whose `event` is this, all of it within the usual limit.
    pub async fn next_event(&mut self, event: &str) -> Result<Value, TestkitError> {
        let search = async {
            loop {
                let value = self.next_json().await?;
                if value["event"] == event {
                    return Ok(value);
                }
            }
        };
        let outcome = timeout(LINE_LIMIT, search).await;
        outcome.unwrap_or_else(|_| Err(self.silent(LINE_LIMIT)))
    }

    /// The next line, byte for byte.
    pub async fn next_line(&mut self) -> Result<String, TestkitError> {
        self.next_line_within(LINE_LIMIT).await
    }

    /// The next line, waited for no longer than `limit`. Nothing is lost when this runs out of time or is dropped.
    pub async fn next_line_within(&mut self, limit: Duration) -> Result<String, TestkitError> {
        match timeout(limit, self.lines.next_line()).await {
            Err(_) => Err(self.silent(limit)),
            Ok(Err(source)) => Err(TestkitError::Io { doing: format!("read from {}", self.name), source }),
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => {
                let status = self.wait().await?;
                Err(self.ended(status))
            }
        }
    }

    /// Writes a line to the script's stdin.
    pub async fn send(&mut self, line: impl AsRef<str>) -> Result<(), TestkitError> {
        let doing = format!("write to {}", self.name);
        let Some(stdin) = &mut self.stdin else {
            return Err(TestkitError::NotRunning { server: self.name.clone() });
        };
        let line = format!("{}\n", line.as_ref());
        stdin.write_all(line.as_bytes()).await.map_err(TestkitError::io(doing))
    }

    /// Writes a JSON line to the script's stdin.
    pub async fn send_json(&mut self, value: &Value) -> Result<(), TestkitError> {
        self.send(value.to_string()).await
    }

    /// Closes stdin, waits for the script to end well and returns the lines that were not read yet.
    pub async fn finish(mut self) -> Result<Vec<String>, TestkitError> {
        self.stdin = None;
        let mut rest = Vec::new();
        loop {
            match self.next_line().await {
                Ok(line) => rest.push(line),
                Err(TestkitError::ScriptEnded { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let status = self.wait().await?;
        if status.success() { Ok(rest) } else { Err(self.ended(status)) }
    }

    /// Kills the script as `kill -9` would, so that its peers see a connection reset or closed without a word.
    pub async fn kill(mut self) -> Result<(), TestkitError> {
        self.child.kill().await.map_err(TestkitError::io(format!("kill {}", self.name)))
    }

    async fn wait(&mut self) -> Result<ExitStatus, TestkitError> {
        match timeout(LINE_LIMIT, self.child.wait()).await {
            Ok(status) => status.map_err(TestkitError::io(format!("wait for {}", self.name))),
            Err(_) => Err(self.silent(LINE_LIMIT)),
        }
    }

    fn silent(&self, waited: Duration) -> TestkitError {
        TestkitError::ScriptSilent { script: self.name.clone(), waited, stderr: self.stderr.text() }
    }

    fn ended(&self, status: ExitStatus) -> TestkitError {
        let (script, status) = (self.name.clone(), status.to_string());
        TestkitError::ScriptEnded { script, status, stderr: self.stderr.text() }
    }
}

/// The end of what a script wrote to stderr, and the task that reads it.
#[derive(Debug)]
struct Stderr {
    tail: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stderr {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.tail.lock().unwrap_or_else(PoisonError::into_inner)).trim_end().to_owned()
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn keep_tail(mut stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&buffer[..length]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
}
