//! The pipe between a test and the guard of one server.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const SCRIPT: &str = include_str!("guard.sh");

/// A running guard. Dropping it ends the server and removes the directory.
#[derive(Debug)]
pub(super) struct Orders {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Orders {
    /// Starts the shell; the server itself waits for the order `start`.
    ///
    /// The shell leads a process group of its own, so that Ctrl-C reaches the test only and the guard can clean up.
    pub(super) fn new(dir: &Path, log: &Path, env: &[(OsString, OsString)], line: &[OsString]) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sap-comm-guard"])
            .args([dir, log])
            .args(line)
            .env_clear()
            .envs(env.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        match (shell.stdin.take(), shell.stdout.take()) {
            (Some(orders), Some(answers)) => Ok(Self { shell, orders: Some(orders), answers: BufReader::new(answers) }),
            _ => Err(io::Error::other("the guard has no pipes")),
        }
    }

    /// Gives one order and waits for its answer.
    pub(super) fn give(&mut self, order: &str) -> io::Result<String> {
        let Some(orders) = &mut self.orders else { return Err(io::ErrorKind::BrokenPipe.into()) };
        orders.write_all(format!("{order}\n").as_bytes())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.trim_end().to_owned())
    }

    /// Closes the pipe and waits until the guard has ended the server and removed its directory.
    fn end(&mut self) -> io::Result<()> {
        self.orders = None;
        self.shell.wait().map(drop)
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        // The guard works on without us; there is nobody to tell if waiting for it fails.
        let _ = self.end();
    }
}
