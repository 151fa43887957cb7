//! Running other programs.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::error::TaskError;

/// A command line to be run from the root of the workspace.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    shown: String,
}

/// What a captured command printed.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.current_dir(root());
        Self { command, shown: program.as_ref().to_string_lossy().into_owned() }
    }

    /// The cargo that runs this task.
    pub(crate) fn cargo() -> Self {
        let mut run = Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        "cargo".clone_into(&mut run.shown);
        run
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs to the end with the developer's terminal.
    pub(crate) fn show(mut self) -> Result<(), TaskError> {
        eprintln!("$ {self}");
        let status = self.command.status().map_err(|source| self.start_error(source))?;
        if status.success() {
            Ok(())
        } else {
            Err(TaskError::Failed { command: self.shown, status: status.to_string() })
        }
    }

    /// Like [`show`](Self::show), but keeps our stdout clean for figures.
    pub(crate) fn show_on_stderr(mut self) -> Result<(), TaskError> {
        self.command.stdout(std::io::stderr());
        self.show()
    }

    /// Runs to the end and returns what it printed; a failure carries the output.
    pub(crate) fn capture(mut self) -> Result<Captured, TaskError> {
        let output = self.command.stdin(Stdio::null()).output().map_err(|source| self.start_error(source))?;
        self.captured(output)
    }

    /// Runs to the end, its stderr on the terminal, and returns its stdout.
    pub(crate) fn capture_stdout(mut self) -> Result<String, TaskError> {
        eprintln!("$ {self}");
        self.command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = self.command.output().map_err(|source| self.start_error(source))?;
        self.captured(output).map(|captured| captured.stdout)
    }

    fn captured(self, output: Output) -> Result<Captured, TaskError> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let captured = Captured { stdout: text(output.stdout), stderr: text(output.stderr) };
        if output.status.success() {
            return Ok(captured);
        }
        let output_text = format!("{}{}", captured.stdout, captured.stderr);
        Err(TaskError::FailedWith { command: self.shown, status: output.status.to_string(), output: output_text })
    }

    fn start_error(&self, source: std::io::Error) -> TaskError {
        TaskError::Start { command: self.shown.clone(), source }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Reads a file of the workspace.
pub(crate) fn read(path: &str) -> Result<String, TaskError> {
    std::fs::read_to_string(root().join(path))
        .map_err(|error| TaskError::Unreadable { path: path.to_owned(), reason: error.to_string() })
}
