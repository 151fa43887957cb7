use memchr::memchr;

use super::{Length, Step};

/// Reads one head, line by line.
#[derive(Debug)]
pub(super) struct Head {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// How long that line is so far.
    length: usize,
    last: u8,
    /// How long its first line was.
    request_line: usize,
    started: bool,
    for_head: bool,
    doubtful: bool,
    content_length: Option<u64>,
    chunked: bool,
}

/// The lines that matter are short; of others the beginning suffices to know them.
const KEPT: usize = 256;

/// Hyper takes no longer body, and says that the head is too long.
const LONGEST: u64 = u64::MAX - 2;

impl Head {
    pub(super) fn new() -> Self {
        Self {
            line: Vec::new(),
            length: 0,
            last: 0,
            request_line: 0,
            started: false,
            for_head: false,
            doubtful: false,
            content_length: None,
            chunked: false,
        }
    }

    /// Whether a part of it was read, which empty lines before it are not.
    pub(super) fn has_begun(&self) -> bool {
        self.started || self.length > 0
    }

    /// How long its first line is, so far.
    pub(super) fn request_line(&self) -> usize {
        if self.started { self.request_line } else { self.length }
    }

    /// Whether its method is HEAD, as far as was read.
    pub(super) fn is_for_head(&self) -> bool {
        if self.started { self.for_head } else { is_for_head(&self.line) }
    }

    pub(super) fn read(&mut self, bytes: &[u8]) -> Step {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let Some(end) = memchr(b'\n', rest) else {
                self.keep(rest);
                return Step::More;
            };
            taken += end + 1;
            if self.length == 0 {
                // The common case: the line came in one piece.
                if let Some(length) = self.line_ended(&rest[..end]) {
                    return Step::Done(taken, length);
                }
                continue;
            }
            self.keep(&rest[..end]);
            let (line, length, well) = (std::mem::take(&mut self.line), self.length, self.last == b'\r');
            (self.length, self.last) = (0, 0);
            let ended = if length <= KEPT { self.line_ended(&line) } else { self.long_line(&line, length, well) };
            if let Some(length) = ended {
                return Step::Done(taken, length);
            }
        }
        Step::More
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.doubtful |= !self.started && has_fragment(bytes);
        let room = KEPT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length = self.length.saturating_add(bytes.len());
        if let Some(last) = bytes.last() {
            self.last = *last;
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.line.len()
    }

    /// A line that was not kept whole: only its name counts, and a length or coding of that size is none.
    fn long_line(&mut self, line: &[u8], length: usize, well_ended: bool) -> Option<Length> {
        if !self.started {
            (self.started, self.request_line) = (true, length.saturating_sub(1));
            self.for_head = is_for_head(line);
        }
        self.doubtful |= !well_ended;
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
        self.doubtful |= is(name, b"content-length") || is(name, b"transfer-encoding");
        None
    }

    /// Takes a line without its line feed; says what the head says if it was the last.
    fn line_ended(&mut self, line: &[u8]) -> Option<Length> {
        let Some(line) = line.strip_suffix(b"\r") else {
            // A line feed alone ends a line for some readers and not for others.
            self.doubtful = true;
            return if line.is_empty() && self.started { Some(Length::Doubtful) } else { self.field(line) };
        };
        if !line.is_empty() {
            return self.field(line);
        }
        // Empty lines before a request are skipped.
        self.started.then(|| match (self.doubtful, self.content_length, self.chunked) {
            (true, _, _) | (_, Some(_), true) => Length::Doubtful,
            (false, None, true) => Length::Chunked,
            (false, length, false) => Length::Known(length.unwrap_or(0)),
        })
    }

    fn field(&mut self, line: &[u8]) -> Option<Length> {
        if line.is_empty() {
            return None;
        }
        if !self.started {
            (self.started, self.request_line) = (true, line.len());
            self.for_head = is_for_head(line);
            self.doubtful |= has_fragment(line);
            return None;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // Hyper refuses both by itself: a folded line, and a space before the colon.
        self.doubtful |= name.trim_ascii().len() != name.len();
        if is(name, b"content-length") {
            self.doubtful |= self.content_length.is_some();
            self.content_length = number(trim_spaces(value));
            self.doubtful |= self.content_length.is_none();
        } else if is(name, b"transfer-encoding") {
            self.doubtful |= self.chunked || !is(trim_spaces(value), b"chunked");
            self.chunked = true;
        }
        None
    }
}

fn is(text: &[u8], lowercase: &[u8]) -> bool {
    text.eq_ignore_ascii_case(lowercase)
}

fn is_for_head(request_line: &[u8]) -> bool {
    request_line.starts_with(b"HEAD ")
}

/// Hyper drops a fragment from the target, where none may be: others may not.
fn has_fragment(request_line: &[u8]) -> bool {
    memchr(b'#', request_line).is_some()
}

/// Spaces only: a tab is whitespace to some readers and part of the value to others.
fn trim_spaces(mut value: &[u8]) -> &[u8] {
    while let Some(rest) = value.strip_prefix(b" ") {
        value = rest;
    }
    while let Some(rest) = value.strip_suffix(b" ") {
        value = rest;
    }
    value
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|length| *length <= LONGEST)
}
