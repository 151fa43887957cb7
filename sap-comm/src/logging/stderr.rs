//! Standard error, line by line or several lines at once. It is never waited for for long: whoever serves requests writes, and a collector
//! that stands still, or is gone, is to stop nobody.

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

thread_local! {
    static GATHERED: RefCell<Gathered> = const { RefCell::new(Gathered { gathers: false, lines: Vec::new() }) };
}

/// Lines of this thread.
#[derive(Debug)]
struct Gathered {
    /// Whether they are written together, and not each as it comes.
    gathers: bool,
    /// Those that are. Its memory stays for the next.
    lines: Vec<u8>,
}

/// What is gathered at most, so that it stays in the cache.
const MOST_GATHERED: usize = 16 * 1_024;
/// What a pipe takes as a whole, or not at all (`PIPE_BUF`): no other process writes into the middle of it.
const AT_ONCE: usize = 4_096;
/// How often it is written to what says that it takes something, and does not.
const MOST_ATTEMPTS: usize = 8;
/// How long standard error is waited for; and a tenth of the time in the long run.
const PATIENCE: Duration = Duration::from_millis(100);

/// The line that says how many were lost.
pub(super) type Note = fn(u64) -> Vec<u8>;

static NOTE: OnceLock<Note> = OnceLock::new();
static OUTLET: Mutex<Outlet> = Mutex::new(Outlet::new(PATIENCE));

/// Where log lines go, each by one call of `write_all`. It never fails: nobody could be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(line, to_stderr);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sets how it is said that lines were lost.
pub(super) fn note_by(note: Note) {
    // A log is set up once.
    let _ = NOTE.set(note);
}

/// Runs `log`, and writes what it has logged on this thread.
pub(super) fn together(log: &mut dyn FnMut()) {
    gather(log, to_stderr);
}

fn to_stderr(lines: &[u8]) {
    let note = NOTE.get().copied().unwrap_or(|_| Vec::new());
    // Whatever it was at when somebody panicked, it holds.
    let mut outlet = OUTLET.lock().unwrap_or_else(PoisonError::into_inner);
    outlet.write_lines(&mut io::stderr(), lines, note);
}

fn put(line: &[u8], write: impl Fn(&[u8])) {
    GATHERED.with_borrow_mut(|gathered| {
        let Gathered { gathers: true, lines } = gathered else { return write(line) };
        if !lines.is_empty() && lines.len() + line.len() > MOST_GATHERED {
            write(lines);
            lines.clear();
        }
        if line.len() > MOST_GATHERED {
            return write(line);
        }
        lines.extend_from_slice(line);
    });
}

fn gather(log: &mut dyn FnMut(), write: impl Fn(&[u8])) {
    /// What was logged before a panic is written, too.
    struct Gathering<W: Fn(&[u8])>(W);
    impl<W: Fn(&[u8])> Drop for Gathering<W> {
        fn drop(&mut self) {
            let mut lines = GATHERED.with_borrow_mut(|gathered| {
                gathered.gathers = false;
                std::mem::take(&mut gathered.lines)
            });
            if !lines.is_empty() {
                (self.0)(&lines);
                lines.clear();
            }
            GATHERED.with_borrow_mut(|gathered| gathered.lines = lines);
        }
    }
    if GATHERED.with_borrow_mut(|gathered| std::mem::replace(&mut gathered.gathers, true)) {
        return log();
    }
    let _gathering = Gathering(write);
    log();
}

/// How what is written to stands.
#[derive(Debug)]
struct Outlet {
    /// Lines that were lost since the last that was written.
    lost: u64,
    /// Whether the last that was written broke off within a line.
    within_line: bool,
    /// Whether what is written to may have to be waited for.
    waits: bool,
    patience: Duration,
    /// How much of it was left, and when.
    left: (Duration, Option<Instant>),
}

impl Outlet {
    const fn new(patience: Duration) -> Self {
        Self { lost: 0, within_line: false, waits: true, patience, left: (patience, None) }
    }

    /// Writes whole lines, as many at once as the sink takes; those that it does not take in time are lost, and counted.
    fn write_lines(&mut self, sink: &mut impl Sink, lines: &[u8], note: Note) {
        self.waits = sink.is_waited_for();
        let mut rest = lines;
        while !rest.is_empty() {
            if self.within_line && self.write(sink, b"\n") == 1 {
                self.within_line = false;
            }
            if self.lost > 0 && !self.within_line {
                let note = note(self.lost);
                if self.write_part(sink, &note) == note.len() {
                    self.lost = 0;
                }
            }
            if self.within_line || self.lost > 0 {
                break;
            }
            let length = length_of_part(rest, self.at_once());
            let written = self.write_part(sink, rest.get(..length).unwrap_or(rest));
            rest = rest.get(written..).unwrap_or_default();
            if written < length {
                break;
            }
        }
        let unwritten = rest.iter().filter(|byte| **byte == b'\n').count();
        self.lost = self.lost.saturating_add(u64::try_from(unwritten).unwrap_or(u64::MAX));
    }

    /// Writes what belongs together; how much of it.
    fn write_part(&mut self, sink: &mut impl Sink, part: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = part.get(written..).filter(|rest| !rest.is_empty()) {
            match self.write(sink, rest.get(..self.at_once()).unwrap_or(rest)) {
                0 => break,
                more => written += more,
            }
        }
        let before = part.get(..written).and_then(<[u8]>::last);
        self.within_line = before.map_or(self.within_line, |last| *last != b'\n');
        written
    }

    /// How much was written of what is written at once; nothing where nothing is taken.
    fn write(&mut self, sink: &mut impl Sink, bytes: &[u8]) -> usize {
        for _ in 0..MOST_ATTEMPTS {
            if !self.takes(sink) {
                return 0;
            }
            match sink.write(bytes) {
                Ok(written) => return written,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(_) => return 0,
            }
        }
        0
    }

    fn at_once(&self) -> usize {
        if self.waits { AT_ONCE } else { usize::MAX }
    }

    fn takes(&mut self, sink: &mut impl Sink) -> bool {
        if !self.waits || sink.takes(Duration::ZERO) {
            return true;
        }
        let now = Instant::now();
        let (left, since) = self.left;
        let earned = since.map_or(self.patience, |since| now.saturating_duration_since(since) / 10);
        let left = left.saturating_add(earned).min(self.patience);
        let takes = !left.is_zero() && sink.takes(left);
        let after = Instant::now();
        self.left = (left.saturating_sub(after.saturating_duration_since(now)), Some(after));
        takes
    }
}

/// As many whole lines as are written at once; of a longer one, all of it.
fn length_of_part(lines: &[u8], at_once: usize) -> usize {
    let ends = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
    if lines.len() <= at_once {
        return lines.len();
    }
    let within = lines.get(..at_once).and_then(ends);
    let first = || lines.iter().position(|byte| *byte == b'\n');
    within.or_else(first).map_or(lines.len(), |end| end + 1)
}

/// Where lines are written to.
trait Sink: Write {
    /// Whether it may take nothing for a while, as pipes, sockets and terminals may. Files take whatever they are given, and
    /// `/dev/null` does.
    fn is_waited_for(&self) -> bool;

    /// Whether it takes something within this time.
    fn takes(&mut self, within: Duration) -> bool;
}

#[cfg(unix)]
impl<W: Write + std::os::fd::AsFd> Sink for W {
    fn is_waited_for(&self) -> bool {
        use std::io::IsTerminal;

        use nix::sys::stat::{SFlag, fstat};

        match fstat(self.as_fd()).map(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT) {
            Ok(SFlag::S_IFREG) => false,
            Ok(SFlag::S_IFCHR) => self.as_fd().is_terminal(),
            _ => true,
        }
    }

    fn takes(&mut self, within: Duration) -> bool {
        use nix::{
            errno::Errno,
            poll::{PollFd, PollFlags, PollTimeout, poll},
        };

        let mut waited = [PollFd::new(self.as_fd(), PollFlags::POLLOUT)];
        let within = PollTimeout::try_from(within).unwrap_or(PollTimeout::ZERO);
        loop {
            match poll(&mut waited, within) {
                Err(Errno::EINTR) => {}
                // What has hung up tells so when it is written to.
                polled => return matches!(polled, Ok(1..)),
            }
        }
    }
}

#[cfg(not(unix))]
impl<W: Write> Sink for W {
    fn is_waited_for(&self) -> bool {
        false
    }

    fn takes(&mut self, _: Duration) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written, a write each.
    fn writes(log: impl FnOnce(&dyn Fn(&str))) -> Vec<String> {
        let written = RefCell::new(Vec::new());
        let write = |lines: &[u8]| written.borrow_mut().push(String::from_utf8(lines.to_vec()).unwrap());
        let mut log = Some(log);
        let line = |line: &str| put(line.as_bytes(), write);
        gather(&mut || log.take().unwrap()(&line), write);
        line("after");
        written.into_inner()
    }

    #[test]
    fn lines_are_written_together_and_in_order() {
        let nested = |line: &dyn Fn(&str)| {
            line("a\n");
            gather(&mut || line("b\n"), |_| panic!("within another there is nothing to write"));
            line("c\n");
        };
        assert_eq!(writes(nested), ["a\nb\nc\n", "after"]);
        assert_eq!(writes(|_| {}), ["after"]);
    }

    #[test]
    fn many_lines_are_written_in_parts() {
        let long = "a".repeat(MOST_GATHERED - 1);
        let written = writes(|line| ["b", &long, "c"].into_iter().for_each(line));
        assert_eq!(written, [format!("b{long}"), "c".into(), "after".into()]);
    }

    #[test]
    fn a_line_that_is_longer_than_what_is_gathered_is_written_as_it_comes() {
        let long = "a".repeat(MOST_GATHERED + 1);
        let written = writes(|line| [&long, "b", &long, "c"].into_iter().for_each(line));
        assert_eq!(written, [&long, "b", &long, "c", "after"]);
    }

    #[test]
    fn what_was_logged_before_a_panic_is_written() {
        let written = RefCell::new(Vec::new());
        let write = |lines: &[u8]| written.borrow_mut().extend_from_slice(lines);
        let log = std::panic::AssertUnwindSafe(|| {
            gather(
                &mut || {
                    put(b"before", write);
                    panic!("broken");
                },
                write,
            );
        });
        assert!(std::panic::catch_unwind(log).is_err());
        assert_eq!(*written.borrow(), b"before");
        assert!(GATHERED.with_borrow(|gathered| !gathered.gathers && gathered.lines.is_empty()));
    }

    #[test]
    fn parts_end_where_lines_do() {
        let line = |length: usize| format!("{}\n", "a".repeat(length - 1));
        for (lines, length) in [
            (line(10), 10),
            (line(AT_ONCE), AT_ONCE),
            (line(3_000) + &line(1_000) + &line(200), 4_000),
            (line(5_000) + &line(10), 5_000),
            ("no end".to_owned(), 6),
            ("b".repeat(5_000), 5_000),
        ] {
            assert_eq!(length_of_part(lines.as_bytes(), AT_ONCE), length, "{}", lines.len());
        }
    }

    fn note(lost: u64) -> Vec<u8> {
        format!("lost {lost}\n").into_bytes()
    }

    #[cfg(unix)]
    #[test]
    fn a_collector_that_stands_still_loses_lines_and_stops_nobody() {
        use std::{io::Read, os::unix::net::UnixStream};

        for (blocks, length) in [(true, 300), (false, 300), (true, 5_000), (false, 5_000)] {
            let (mut collector, mut sink) = UnixStream::pair().unwrap();
            sink.set_nonblocking(!blocks).unwrap();
            collector.set_nonblocking(true).unwrap();
            let mut outlet = Outlet::new(Duration::from_millis(10));
            let mut written = 0;
            while outlet.lost == 0 {
                outlet.write_lines(&mut sink, format!("{written} {}\n", "a".repeat(length)).as_bytes(), note);
                written += 1;
            }
            outlet.write_lines(&mut sink, b"one\ntwo\n", note);
            assert_eq!(outlet.lost, 3);
            let mut read = || {
                let mut bytes = Vec::new();
                // Until there is no more.
                let _ = collector.read_to_end(&mut bytes);
                String::from_utf8(bytes).unwrap()
            };
            let before = read();
            let lines: Vec<_> = before.lines().collect();
            assert!(lines.iter().enumerate().all(|(number, line)| line.starts_with(&format!("{number} "))), "{before}");
            let whole = lines.iter().filter(|line| line.len() > length).count();
            assert_eq!(whole, written - 1);
            assert!(length == 5_000 || before.ends_with('\n'), "what is written at once is whole");
            outlet.write_lines(&mut sink, b"again\n", note);
            let broken = if before.ends_with('\n') { "" } else { "\n" };
            assert_eq!((read(), outlet.lost), (format!("{broken}lost 3\nagain\n"), 0));
        }
    }

    #[cfg(unix)]
    #[test]
    fn lines_reach_a_pipe_whole_while_it_is_read() {
        let (mut collector, mut sink) = io::pipe().unwrap();
        let lines: String = (0..2_000).map(|number| format!("{number} {}\n", "a".repeat(number % 700))).collect();
        let sent = lines.clone();
        let writing = std::thread::spawn(move || {
            let mut outlet = Outlet::new(Duration::from_secs(20));
            outlet.write_lines(&mut sink, sent.as_bytes(), note);
            outlet.lost
        });
        let mut read = String::new();
        io::Read::read_to_string(&mut collector, &mut read).unwrap();
        assert_eq!((writing.join().unwrap(), read), (0, lines));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_takes_all_lines_at_once() {
        use std::{
            fs::File,
            os::fd::{AsFd, BorrowedFd},
        };

        struct Counted(File, usize);
        impl Write for Counted {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                self.0.write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl AsFd for Counted {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
        let (lines, home) = ("a\n".repeat(AT_ONCE), tempfile::tempdir().unwrap());
        let path = home.path().join("log");
        for file in [File::create(&path), File::options().write(true).open("/dev/null")] {
            let (mut outlet, mut sink) = (Outlet::new(PATIENCE), Counted(file.unwrap(), 0));
            outlet.write_lines(&mut sink, lines.as_bytes(), note);
            assert_eq!((sink.1, outlet.lost), (1, 0));
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), lines);
    }

    #[cfg(unix)]
    #[test]
    fn a_collector_that_is_gone_fails_nobody() {
        let (collector, mut sink) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(collector);
        let mut outlet = Outlet::new(PATIENCE);
        outlet.write_lines(&mut sink, b"one\ntwo\n", note);
        outlet.write_lines(&mut sink, b"three\n", note);
        assert_eq!(outlet.lost, 3);
    }
}
