//! A server under guard: started, signalled, waited for.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};

use super::{home::Commands, orders::Orders, proc};
use crate::TestkitError;

/// How often a probe or a process is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How much of a log an error carries.
const LOG_TAIL: u64 = 4_096;
/// How long a killed process may take to vanish.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A program under guard, which may be started, broken and started again in the same directory.
///
/// Dropping it kills the process tree and removes the directory.
#[derive(Debug)]
pub struct Server {
    name: String,
    dir: PathBuf,
    log: PathBuf,
    commands: Commands,
    orders: Arc<Mutex<Orders>>,
    pid: AtomicU32,
}

impl Server {
    pub(super) fn new(name: String, dir: TempDir, commands: Commands, line: &[OsString]) -> Result<Self, TestkitError> {
        let log = dir.path().join("server.log");
        let orders = Orders::new(dir.path(), &log, commands.env(), line)
            .map_err(TestkitError::io(format!("start the guard of {name}")))?;
        // From here on the guard removes the directory.
        let dir = dir.keep();
        Ok(Self { name, dir, log, commands, orders: Arc::new(Mutex::new(orders)), pid: AtomicU32::new(0) })
    }

    /// Starts the program. [`ready`](Self::ready) tells when it serves.
    pub async fn start(&self) -> Result<(), TestkitError> {
        let answer = self.order("start").await?;
        let pid = answer.parse().map_err(|_| TestkitError::Io {
            doing: format!("start {}", self.name),
            source: io::Error::other(format!("the guard answered {answer:?}")),
        })?;
        self.pid.store(pid, Ordering::SeqCst);
        Ok(())
    }

    /// Waits until `probe` says yes. Fails when the program ended or `limit` has passed, with the end of its log.
    pub async fn ready<F>(&self, limit: Duration, mut probe: impl FnMut() -> F + Send) -> Result<(), TestkitError>
    where
        F: Future<Output = bool> + Send,
    {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(true) = timeout_at(deadline, probe()).await {
                return Ok(());
            }
            if !self.is_running() {
                return Err(TestkitError::Exited { server: self.name.clone(), log: self.log_tail() });
            }
            if Instant::now() >= deadline {
                let (server, log) = (self.name.clone(), self.log_tail());
                return Err(TestkitError::NotReady { server, waited: limit, log });
            }
            sleep(POLL).await;
        }
    }

    /// Where everything goes that the program writes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Whether the program runs, paused or not.
    pub fn is_running(&self) -> bool {
        self.pid().is_some_and(proc::is_alive)
    }

    /// The process id of the program, after it was started.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::SeqCst)).filter(|pid| *pid != 0)
    }

    /// The directory of the program.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name given in [`Home::new`](super::Home::new).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kills the whole process tree with SIGKILL and waits until it is gone.
    pub async fn kill(&self) -> Result<(), TestkitError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.order("tree KILL").await?;
        self.order("reap").await?;
        self.gone(pid, "KILL", KILL_LIMIT).await?;
        self.pid.store(0, Ordering::SeqCst);
        Ok(())
    }

    /// Asks the program itself, by this signal, to end; kills it when it has not done so within `limit`.
    pub async fn terminate(&self, signal: &str, limit: Duration) -> Result<(), TestkitError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.order(&format!("leader {signal}")).await?;
        let outcome = self.gone(pid, signal, limit).await;
        self.kill().await?;
        outcome
    }

    /// Freezes the process tree (SIGSTOP): its sockets stay open and nothing answers.
    pub async fn pause(&self) -> Result<(), TestkitError> {
        self.running()?;
        self.order("tree STOP").await.map(drop)
    }

    /// Wakes a paused process tree (SIGCONT).
    pub async fn resume(&self) -> Result<(), TestkitError> {
        self.running()?;
        self.order("tree CONT").await.map(drop)
    }

    /// Runs a command in the server's surroundings and returns what it printed.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        limit: Duration,
    ) -> Result<String, TestkitError> {
        self.commands.run(program, args, limit).await
    }

    /// The end of what the program has written to stdout and stderr.
    pub fn log_tail(&self) -> String {
        match tail(&self.log) {
            Ok(log) => log,
            // Nothing was written so far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => format!("({}: {error})", self.log.display()),
        }
    }

    fn running(&self) -> Result<(), TestkitError> {
        if self.is_running() { Ok(()) } else { Err(TestkitError::NotRunning { server: self.name.clone() }) }
    }

    async fn gone(&self, pid: u32, signal: &str, limit: Duration) -> Result<(), TestkitError> {
        let deadline = Instant::now() + limit;
        while proc::group_is_alive(pid) {
            if Instant::now() >= deadline {
                let (server, signal) = (self.name.clone(), signal.to_owned());
                return Err(TestkitError::StillRunning { server, signal, waited: limit });
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The pipe blocks for a moment, so orders are given on a thread that may block.
    async fn order(&self, order: &str) -> Result<String, TestkitError> {
        let doing = format!("order the guard of {} to {order}", self.name);
        let (orders, order) = (Arc::clone(&self.orders), order.to_owned());
        tokio::task::spawn_blocking(move || orders.lock().unwrap_or_else(PoisonError::into_inner).give(&order))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(TestkitError::io(doing))
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
