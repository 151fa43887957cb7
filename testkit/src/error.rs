//! What can go wrong with a server of a test.

use std::{fmt, io, time::Duration};

/// Why a test did not get what it asked for.
///
/// `Debug` prints the same readable text as `Display`, because `unwrap` in a test shows `Debug`.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// A program that the test needs is not on this machine.
    #[error("{program} is not installed: `{install}` brings it, and so does `cargo xtask test`")]
    Missing {
        /// The program or module that was looked for.
        program: String,
        /// The command that installs it.
        install: String,
    },
    /// A server answered no probe within its time.
    #[error("{server} was not ready after {waited:?}; the end of its log:\n{log}")]
    NotReady {
        /// The server's name.
        server: String,
        /// How long it was waited for.
        waited: Duration,
        /// The last lines that it wrote.
        log: String,
    },
    /// A server ended although nobody asked it to.
    #[error("{server} ended by itself; the end of its log:\n{log}")]
    Exited {
        /// The server's name.
        server: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// A server outlived the order to end.
    #[error("{server} was still running {waited:?} after {signal}")]
    StillRunning {
        /// The server's name.
        server: String,
        /// The signal that it was sent.
        signal: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The order needs a server that runs, and it does not.
    #[error("{server} is not running")]
    NotRunning {
        /// The server's name.
        server: String,
    },
    /// A command ended with a failure.
    #[error("`{command}` failed ({status}):\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// The operating system refused.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// No port was free.
    #[error("no free port on 127.0.0.1 between {from} and {to}")]
    NoFreePort {
        /// The first port tried.
        from: u16,
        /// The first port not tried.
        to: u16,
    },
    /// A Node script printed no line within its time.
    #[error("{script} printed nothing for {waited:?}; its stderr:\n{stderr}")]
    ScriptSilent {
        /// The script's name.
        script: String,
        /// How long it was waited for.
        waited: Duration,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// A Node script ended before the line that was waited for, or failed.
    #[error("{script} ended ({status}); its stderr:\n{stderr}")]
    ScriptEnded {
        /// The script's name.
        script: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// A Node script printed a line that is not JSON.
    #[error("{script} printed a line that is not JSON: {line}")]
    ScriptLine {
        /// The script's name.
        script: String,
        /// The line.
        line: String,
    },
}

impl TestkitError {
    /// Wraps an error of the operating system with what was tried.
    #[cfg(feature = "servers")]
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl fmt::Debug for TestkitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
