//! What is printed: results on stdout, progress on stderr.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use sap_comm_events::{DeadLetter, Progress};
use serde::Serialize;
use tokio::time::Instant;

/// One JSON value in a line of its own.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    // Between the words of JSON that was written elsewhere there may be line ends, within them never.
    line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    line.push(b'\n');
    write(&line)
}

pub(crate) fn line(text: &str) -> io::Result<()> {
    write(format!("{text}\n").as_bytes())
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// A dead letter in one line; foreign text cannot pass for a line or a command of the terminal.
pub(crate) fn letter(letter: &DeadLetter) -> String {
    let at = letter.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let (id, event_type, attempts) = (or_dash(&letter.id), or_dash(&letter.event_type), letter.attempts);
    let (code, reason) = (or_dash(&letter.code), printable(&letter.reason));
    let times = if attempts == 1 { "attempt" } else { "attempts" };
    format!("{at}  {id}  {event_type}  {attempts} {times}  {code}: {reason}")
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { printable(text) }
}

pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Progress on stderr: in place on a terminal, else a line now and then.
pub(crate) struct Meter {
    quiet: bool,
    terminal: bool,
    next: Instant,
}

impl Meter {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { quiet, terminal, next: Instant::now() + Self::pause(terminal) }
    }

    const fn pause(terminal: bool) -> Duration {
        if terminal { Duration::from_millis(100) } else { Duration::from_secs(2) }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        let now = Instant::now();
        if self.quiet || now < self.next {
            return;
        }
        self.next = now + Self::pause(self.terminal);
        let Progress { total, seen, matched, done, .. } = progress;
        let text = format!("{seen} of {total} seen, {matched} match, {done} done");
        // Progress that cannot be shown is no reason to stop.
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r\x1b[K{text}"),
            false => writeln!(io::stderr(), "{text}"),
        };
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.terminal && !self.quiet {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
