//! Standard error, line by line or several lines at once.

use std::{
    cell::RefCell,
    io::{self, Write},
};

/// Lines of this thread that are written together; `None` while each is written as it comes.
type Gathered = RefCell<Option<Vec<u8>>>;

thread_local! {
    static GATHERED: Gathered = const { RefCell::new(None) };
}

/// More does not wait for more.
const MOST: usize = 64 * 1024;

/// Where log lines go, each by one call of `write_all`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(line, |lines| io::stderr().write_all(lines))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `log`, and writes what it has logged on this thread.
pub(super) fn together(log: &mut dyn FnMut()) {
    gather(log, |lines| io::stderr().write_all(lines));
}

fn put(line: &[u8], write: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
    GATHERED.with_borrow_mut(|gathered| {
        let Some(lines) = gathered else { return write(line) };
        lines.extend_from_slice(line);
        if lines.len() < MOST {
            return Ok(());
        }
        let written = write(lines);
        lines.clear();
        written
    })
}

fn gather(log: &mut dyn FnMut(), write: impl Fn(&[u8]) -> io::Result<()>) {
    /// What was logged before a panic is written, too.
    struct Gathering<W: Fn(&[u8]) -> io::Result<()>>(W);
    impl<W: Fn(&[u8]) -> io::Result<()>> Drop for Gathering<W> {
        fn drop(&mut self) {
            let lines = GATHERED.take().unwrap_or_default();
            if !lines.is_empty() {
                // A log that cannot be written has nobody to tell.
                let _ = (self.0)(&lines);
            }
        }
    }
    if GATHERED.with_borrow(Option::is_some) {
        return log();
    }
    GATHERED.set(Some(Vec::new()));
    let _gathering = Gathering(write);
    log();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written, a write each.
    fn writes(log: impl FnOnce(&dyn Fn(&str))) -> Vec<String> {
        let written = RefCell::new(Vec::new());
        let write = |lines: &[u8]| {
            written.borrow_mut().push(String::from_utf8(lines.to_vec()).unwrap());
            Ok(())
        };
        let mut log = Some(log);
        let line = |line: &str| put(line.as_bytes(), write).unwrap();
        gather(&mut || log.take().unwrap()(&line), write);
        line("after");
        written.into_inner()
    }

    #[test]
    fn lines_are_written_together_and_in_order() {
        let nested = |line: &dyn Fn(&str)| {
            line("a\n");
            gather(&mut || line("b\n"), |_| Err(io::ErrorKind::Other.into()));
            line("c\n");
        };
        assert_eq!(writes(nested), ["a\nb\nc\n", "after"]);
        assert_eq!(writes(|_| {}), ["after"]);
    }

    #[test]
    fn many_lines_are_written_in_parts() {
        let long = "a".repeat(MOST - 1);
        let written = writes(|line| ["b", &long, "c"].into_iter().for_each(line));
        assert_eq!(written, [format!("b{long}"), "c".into(), "after".into()]);
    }

    #[test]
    fn what_was_logged_before_a_panic_is_written() {
        let written = RefCell::new(Vec::new());
        let write = |lines: &[u8]| {
            written.borrow_mut().extend_from_slice(lines);
            Ok(())
        };
        let log = std::panic::AssertUnwindSafe(|| {
            gather(
                &mut || {
                    put(b"before", write).unwrap();
                    panic!("broken");
                },
                write,
            )
        });
        assert!(std::panic::catch_unwind(log).is_err());
        assert_eq!(*written.borrow(), b"before");
        assert!(GATHERED.with_borrow(Option::is_none));
    }
}
