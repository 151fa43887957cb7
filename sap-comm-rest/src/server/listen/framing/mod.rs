//! Watches the bytes of an HTTP/1 connection for requests whose end two readers could see in two places.
//!
//! Hyper takes a doubtful head apart before anybody sees it: of a Content-Length beside a Transfer-Encoding nothing is
//! left in the headers. So the heads are read here too, from the bytes as they come.

mod head;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use head::Head;

use crate::chunks::{Chunks, Piece};

/// Follows the requests of one connection. Remembers one line at most.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// Requests whose head was read.
    heads: u64,
    /// Whether the last of them was HEAD's.
    for_head: bool,
    /// How long the head that arrives is so far, and may be, bytes.
    size: usize,
    max_size: usize,
    verdict: Verdict,
}

/// Tells, for each request of a connection in turn, whether it may be served.
#[derive(Debug, Clone)]
pub(super) struct Verdict(Arc<Requests>);

#[derive(Debug)]
struct Requests {
    /// The number, from 0, of the first that must not be served.
    first_doubtful: AtomicU64,
    /// Whether that one's head is only too long.
    is_too_long: AtomicBool,
    served: AtomicU64,
}

/// Why a request must not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Two readers could see its end, or that of one before it, in two places.
    Ambiguous,
    /// Its head is over the limit. Hyper's own is for what it has to keep: a longer one that comes at once, it takes.
    TooLong,
}

#[derive(Debug)]
enum State {
    Opening(usize),
    Head(Head),
    Body(u64),
    Chunks(Chunks),
    Http2,
    /// The connection ends with the request in doubt.
    Over,
}

/// What a head says about the body behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    Doubtful,
}

/// How far a head has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// All bytes were read and it goes on.
    More,
    /// It ended after so many bytes.
    Done(usize, Length),
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Framing {
    /// For heads of so many bytes at most.
    pub(super) fn new(max_size: usize) -> Self {
        Self { state: State::Opening(0), heads: 0, for_head: false, size: 0, max_size, verdict: Verdict::new() }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Whether nothing is known to be on its way: every request was read to its end, and served.
    pub(super) fn is_at_rest(&self) -> bool {
        match &self.state {
            State::Opening(seen) => *seen == 0,
            // An HTTP/2 peer has frames of its own to send until it has read the goodbye.
            _ => self.is_between_requests() && self.verdict.served() >= self.heads,
        }
    }

    /// Whether every request of HTTP/1 that began has arrived whole.
    pub(super) fn is_between_requests(&self) -> bool {
        matches!(&self.state, State::Head(head) if !head.has_begun())
    }

    /// Whether it is not known yet what the connection speaks.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self.state, State::Http2)
    }

    /// Whether a part of an HTTP/1 head has arrived.
    pub(super) fn is_within_head(&self) -> bool {
        match &self.state {
            State::Head(head) => head.has_begun(),
            // With this letter more methods begin than the preface.
            State::Opening(seen) => *seen == 1,
            _ => false,
        }
    }

    /// How long the first line of the request that arrives is, so far.
    pub(super) fn request_line(&self) -> usize {
        match &self.state {
            State::Head(head) => head.request_line(),
            _ => 0,
        }
    }

    /// Whether the first request that is not served has HEAD for its method, which is answered without content. It is not known of one that
    /// others came behind.
    pub(super) fn is_for_head(&self) -> bool {
        match (&self.state, self.heads.saturating_sub(self.verdict.served())) {
            (State::Head(head), 0) => head.is_for_head(),
            (_, 1) => self.for_head,
            _ => false,
        }
    }

    /// Whether nothing more is read, since a request can be read in two ways.
    pub(super) fn is_ambiguous(&self) -> bool {
        matches!(self.state, State::Over) && !self.verdict.0.is_too_long.load(Ordering::Relaxed)
    }

    /// Reads what came in.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Opening(seen) => {
                    let common = bytes.iter().zip(&PREFACE[*seen..]).take_while(|(own, expected)| own == expected);
                    let common = common.count();
                    *seen += common;
                    if *seen == PREFACE.len() {
                        self.state = State::Http2;
                    } else if common < bytes.len() {
                        let mut head = Head::new();
                        // The beginning of a preface that is none belongs to the head.
                        let start = &PREFACE[..*seen];
                        let ended = head.read(start);
                        self.size = start.len();
                        self.state = State::Head(head);
                        if let Step::Done(_, length) = ended {
                            self.head_ended(length);
                        }
                    }
                    common
                }
                State::Head(head) => match head.read(bytes) {
                    Step::More => {
                        self.size = self.size.saturating_add(bytes.len());
                        bytes.len()
                    }
                    Step::Done(taken, length) => {
                        self.size = self.size.saturating_add(taken);
                        self.head_ended(length);
                        taken
                    }
                },
                State::Body(left) => {
                    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Head(Head::new());
                    }
                    taken
                }
                State::Chunks(chunks) => match chunks.read(bytes) {
                    Piece::More => bytes.len(),
                    Piece::Data { before, length } => before + length,
                    Piece::End(taken) => {
                        self.state = State::Head(Head::new());
                        taken
                    }
                    Piece::Malformed => {
                        // The body fails; nothing behind it is to be taken for a request.
                        self.doubt(self.heads);
                        return;
                    }
                },
                State::Http2 | State::Over => return,
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    fn head_ended(&mut self, length: Length) {
        self.heads += 1;
        self.for_head = matches!(&self.state, State::Head(head) if head.is_for_head());
        let size = std::mem::take(&mut self.size);
        self.state = match length {
            Length::Known(_) | Length::Chunked if size > self.max_size => {
                self.verdict.0.is_too_long.store(true, Ordering::Relaxed);
                return self.doubt(self.heads - 1);
            }
            Length::Known(0) => State::Head(Head::new()),
            Length::Known(length) => State::Body(length),
            Length::Chunked => State::Chunks(Chunks::new()),
            Length::Doubtful => return self.doubt(self.heads - 1),
        };
    }

    fn doubt(&mut self, request: u64) {
        self.verdict.0.first_doubtful.fetch_min(request, Ordering::Release);
        self.state = State::Over;
    }
}

impl Verdict {
    fn new() -> Self {
        Self(Arc::new(Requests {
            first_doubtful: AtomicU64::new(u64::MAX),
            is_too_long: AtomicBool::new(false),
            served: AtomicU64::new(0),
        }))
    }

    fn served(&self) -> u64 {
        self.0.served.load(Ordering::Relaxed)
    }

    /// Why the next request must not be served, if so. Ask once for each.
    pub(super) fn next(&self) -> Option<Doubt> {
        let doubts = self.0.served.fetch_add(1, Ordering::Relaxed) >= self.0.first_doubtful.load(Ordering::Acquire);
        let why = || if self.0.is_too_long.load(Ordering::Relaxed) { Doubt::TooLong } else { Doubt::Ambiguous };
        doubts.then(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_refused(wire: &[u8], piece: usize) -> Option<u64> {
        let mut framing = Framing::new(64 * 1024);
        wire.chunks(piece).for_each(|bytes| framing.read(bytes));
        let verdict = framing.verdict();
        (0..9).find(|_| verdict.next().is_some())
    }

    #[test]
    fn the_first_doubtful_request_is_found_however_the_bytes_come() {
        let sound = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
                     POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\nx: y\r\n\r\n\
                     \r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n";
        let doubtful = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        for piece in [1, 2, 3, 7, 64, 4_096] {
            assert_eq!(first_refused(sound.as_bytes(), piece), None, "{piece}");
            let wire = format!("{sound}POST /d HTTP/1.1\r\n{doubtful}{sound}");
            assert_eq!(first_refused(wire.as_bytes(), piece), Some(3), "{piece}");
        }
    }

    #[test]
    fn what_leaves_the_length_open_is_doubtful() {
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: 18446744073709551615\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding:\tchunked\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding: chunked\r\n folded\r\n",
            "TRANSFER-ENCODING: identity\r\n",
            "Content-Length : 5\r\n",
            "Host: a\nContent-Length: 5\r\n",
        ] {
            let wire = format!("POST / HTTP/1.1\r\n{headers}\r\n");
            assert_eq!(first_refused(wire.as_bytes(), 5), Some(0), "{headers:?}");
        }
    }

    #[test]
    fn a_target_with_a_fragment_is_doubtful() {
        let long = "x".repeat(1_000);
        for target in ["/#a", "/a?b#c", "#", &format!("/{long}#"), &format!("/#{long}")] {
            let wire = format!("GET / HTTP/1.1\r\nx: #\r\n\r\nGET {target} HTTP/1.1\r\n\r\n");
            for piece in [1, 7, 4_096] {
                assert_eq!(first_refused(wire.as_bytes(), piece), Some(1), "{target:?} {piece}");
            }
        }
    }

    #[test]
    fn nothing_behind_a_malformed_body_is_a_request() {
        for chunks in ["g\r\n", "5\r\nhello0\r\n", "ffffffffffffffffff\r\n", "-1\r\n", "5\nhello\r\n", "\r\n"] {
            let wire = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}\r\n");
            assert_eq!(first_refused(wire.as_bytes(), 3), Some(1), "{chunks:?}");
        }
    }

    #[test]
    fn a_head_is_measured_however_the_bytes_come() {
        const MAX: usize = 300;
        let head = |size: usize| {
            let (start, end) = ("GET / HTTP/1.1\r\nhost: a\r\nx: ", "\r\n\r\n");
            format!("{start}{}{end}", "x".repeat(size - start.len() - end.len()))
        };
        for piece in [1, 7, 4_096] {
            let doubts = |last: &str| {
                let mut framing = Framing::new(MAX);
                let wire = format!("{}{}{last}{}", head(MAX), head(MAX), head(40));
                wire.as_bytes().chunks(piece).for_each(|bytes| framing.read(bytes));
                let verdict = framing.verdict();
                [verdict.next(), verdict.next(), verdict.next()]
            };
            assert_eq!(doubts(&head(MAX)), [None; 3], "{piece}");
            assert_eq!(doubts(&head(MAX + 1)), [None, None, Some(Doubt::TooLong)], "{piece}");
            let both = head(MAX + 1).replace("host: a", "content-length: 1, 1");
            assert_eq!(doubts(&both), [None, None, Some(Doubt::Ambiguous)], "{piece}");
        }
    }

    #[test]
    fn http2_is_left_alone() {
        let mut wire = PREFACE.to_vec();
        wire.extend(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(first_refused(&wire, 10), None);
        assert_eq!(first_refused(b"PRI * HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 4), Some(0));
    }

    #[test]
    fn a_connection_rests_between_requests_only() {
        let at_rest = |wire: &str, served: usize| {
            let mut framing = Framing::new(64 * 1024);
            framing.read(wire.as_bytes());
            let verdict = framing.verdict();
            let _ = (0..served).filter(|_| verdict.next().is_some()).count();
            framing.is_at_rest()
        };
        let get = "GET / HTTP/1.1\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(at_rest("", 0) && at_rest(get, 1));
        assert!(at_rest(&format!("{post}abc"), 1) && at_rest(&format!("{chunked}0\r\n\r\n"), 1));
        assert!(!at_rest("P", 0) && !at_rest("GET", 0) && !at_rest(&format!("{get}G"), 1));
        assert!(!at_rest(&format!("{get}{get}"), 1), "the second has not been answered");
        assert!(!at_rest(&format!("{post}ab"), 1) && !at_rest(&format!("{chunked}0\r\n"), 1));
        assert!(!at_rest("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 1));
        assert!(!at_rest("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1), "the peer answers the goodbye");
    }

    #[test]
    fn the_first_line_is_measured_however_the_bytes_come() {
        let target = "x".repeat(1_000);
        for piece in [1, 7, 4_096] {
            let lengths = |wire: &str| {
                let mut framing = Framing::new(64 * 1024);
                wire.as_bytes().chunks(piece).for_each(|bytes| framing.read(bytes));
                framing.request_line()
            };
            assert_eq!(lengths("GET /a"), 6, "{piece}");
            assert_eq!(lengths(&format!("GET / HTTP/1.1\r\n\r\nGET /{target}")), 1_005, "{piece}");
            assert_eq!(lengths(&format!("GET /{target} HTTP/1.1\r\nx: {target}{target}\r\n")), 1_014, "{piece}");
            assert_eq!(lengths("GET / HTTP/1.1\r\n\r\n"), 0, "{piece}");
        }
    }

    #[test]
    fn requests_for_a_head_are_known_however_the_bytes_come() {
        let long = "x".repeat(1_000);
        for piece in [1, 7, 4_096] {
            let is_for_head = |wire: &str, served: usize| {
                let mut framing = Framing::new(64 * 1024);
                wire.as_bytes().chunks(piece).for_each(|bytes| framing.read(bytes));
                let verdict = framing.verdict();
                let _ = (0..served).filter(|_| verdict.next().is_some()).count();
                framing.is_for_head()
            };
            let (head, get) = (format!("HEAD /{long} HTTP/1.1\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
            assert!(is_for_head("HEAD /", 0) && is_for_head(&format!("HEAD /{long}"), 0) && is_for_head(&head, 0));
            assert!(is_for_head(&format!("{get}HEAD / HTTP/1.1\r\nx"), 1) && is_for_head(&format!("{get}{head}"), 1));
            assert!(is_for_head("HEAD / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 0));
            assert!(!is_for_head("", 0) && !is_for_head("HEADS /", 0) && !is_for_head(get, 0));
            assert!(!is_for_head(&format!("{get}{head}"), 0) && !is_for_head(&format!("{head}{get}"), 1));
        }
    }

    #[test]
    fn a_long_line_costs_no_memory() {
        let mut framing = Framing::new(64 * 1024);
        for _ in 0..10_000 {
            framing.read(&[b'x'; 1_000]);
        }
        assert!(matches!(&framing.state, State::Head(head) if head.kept() <= 256));
    }
}
