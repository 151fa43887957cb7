use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The most lines kept; the oldest go first.
const CAPACITY: usize = 50_000;

/// Log lines kept in memory, for the smoke story to look into.
#[derive(Debug, Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    echo: bool,
}

impl Log {
    /// A log that shows its lines on standard error, too.
    #[must_use]
    pub fn echoing() -> Self {
        Self { echo: true, ..Self::default() }
    }

    /// Keeps what this process logs, as JSON lines.
    ///
    /// # Errors
    /// When a log is set up already.
    pub fn install(&self) -> Result<(), String> {
        tracing_subscriber::fmt()
            .json()
            .with_env_filter(EnvFilter::new("info"))
            .with_writer(self.clone())
            .try_init()
            .map_err(|error| error.to_string())
    }

    /// Keeps a line.
    pub fn push(&self, line: String) {
        if self.echo {
            eprintln!("{line}");
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == CAPACITY {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines that contain `text`.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// The last lines.
    #[must_use]
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in String::from_utf8_lossy(bytes).lines() {
            self.push(line.to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}
