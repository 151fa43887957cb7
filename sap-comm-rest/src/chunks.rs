//! The chunked transfer coding (RFC 9112, section 7.1).

/// Reads a chunked body. Whatever is not plainly a chunk ends it as malformed.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    size: u64,
    /// Bytes of the line so far, or of all trailers.
    line: usize,
    /// Whether spaces may stand behind a size.
    padded: bool,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// So many bytes of framing, and so many of data behind them.
    Data {
        before: usize,
        length: usize,
    },
    /// All is framing, and it goes on.
    More,
    /// The body, its trailers included, ends after so many bytes.
    End(usize),
    Malformed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastEnd,
}

/// The longest size line that is followed, and the longest trailers.
const MAX_LINE: usize = 16 * 1024;

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { state: State::Size, size: 0, line: 0, padded: false }
    }

    /// Those of an answer: old servers write their sizes to a width.
    pub(crate) fn of_answer() -> Self {
        Self { padded: true, ..Self::new() }
    }

    /// Reads on, as far as the end of the next data.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Piece {
        for (before, &byte) in bytes.iter().enumerate() {
            if self.state == State::Data {
                let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - before);
                self.size -= length as u64;
                if self.size == 0 {
                    self.state = State::DataReturn;
                }
                return Piece::Data { before, length };
            }
            match self.next(byte) {
                Some(State::LastEnd) if self.state == State::LastEnd => return Piece::End(before + 1),
                Some(next) => self.state = next,
                None => return Piece::Malformed,
            }
        }
        Piece::More
    }

    fn next(&mut self, byte: u8) -> Option<State> {
        self.line += 1;
        if self.line > MAX_LINE {
            return None;
        }
        match (self.state, byte) {
            (State::Size, b'\r') if self.line > 1 => Some(State::SizeEnd),
            (State::Size, b';') if self.line > 1 => Some(State::Extension),
            (State::Size, b' ' | b'\t') if self.line > 1 && self.padded => Some(State::Extension),
            (State::Size, digit) => {
                let digit = char::from(digit).to_digit(16)?;
                self.size = self.size.checked_mul(16)?.checked_add(u64::from(digit))?;
                Some(State::Size)
            }
            (State::Extension, b'\r') => Some(State::SizeEnd),
            (State::Extension, b'\n') => None,
            (State::Extension, _) => Some(State::Extension),
            (State::SizeEnd, b'\n') => Some(self.begin(if self.size == 0 { State::TrailerStart } else { State::Data })),
            (State::DataReturn, b'\r') => Some(State::DataEnd),
            (State::DataEnd, b'\n') => Some(self.begin(State::Size)),
            (State::TrailerStart, b'\r') => Some(State::LastEnd),
            (State::TrailerStart | State::Trailer, b'\n') => None,
            (State::Trailer, b'\r') => Some(State::TrailerEnd),
            (State::TrailerStart | State::Trailer, _) => Some(State::Trailer),
            (State::TrailerEnd, b'\n') => Some(State::TrailerStart),
            (State::LastEnd, b'\n') => Some(State::LastEnd),
            _ => None,
        }
    }

    fn begin(&mut self, state: State) -> State {
        self.line = 0;
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body, however it is cut, and what is left behind it.
    fn read(wire: &[u8], piece: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let (mut chunks, mut data, mut rest) = (Chunks::new(), Vec::new(), wire);
        while !rest.is_empty() {
            let now = &rest[..piece.min(rest.len())];
            let taken = match chunks.read(now) {
                Piece::Data { before, length } => {
                    data.extend(&now[before..before + length]);
                    before + length
                }
                Piece::More => now.len(),
                Piece::End(taken) => return Some((data, rest[taken..].to_vec())),
                Piece::Malformed => return None,
            };
            rest = &rest[taken..];
        }
        None
    }

    #[test]
    fn data_is_what_stands_in_chunks() {
        let wire = b"5\r\nhello\r\n1;x=\"y\"\r\n \r\nA\r\n0123456789\r\n0\r\nx: y\r\nz: w\r\n\r\nbehind";
        for piece in 1..=wire.len() {
            assert_eq!(read(wire, piece), Some((b"hello 0123456789".to_vec(), b"behind".to_vec())), "{piece}");
        }
        assert_eq!(read(b"0\r\n\r\n", 5), Some((Vec::new(), Vec::new())));
    }

    #[test]
    fn the_sizes_of_an_answer_may_be_padded() {
        assert_eq!(Chunks::of_answer().read(b"5  \r\nhello"), Piece::Data { before: 5, length: 5 });
        assert_eq!(Chunks::of_answer().read(b" 5\r\nhello"), Piece::Malformed);
    }

    #[test]
    fn whatever_is_no_chunk_is_malformed() {
        for wire in
            ["\r\n", "g\r\n", "5\nhello", "5\r\nhello0\r\n", "5 \r\nhello\r\n", "ffffffffffffffff0\r\n", "-1\r\n"]
        {
            assert_eq!(read(wire.as_bytes(), 3), None, "{wire:?}");
        }
        let endless = "x: y\r\n".repeat(MAX_LINE);
        let mut chunks = Chunks::new();
        assert_eq!(chunks.read(b"0\r\n"), Piece::More);
        assert_eq!(chunks.read(endless.as_bytes()), Piece::Malformed);
    }
}
