use super::Step;

/// Reads a chunked body. Whatever is not plainly a chunk ends it as malformed.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    size: u64,
    /// Bytes of the line so far.
    line: usize,
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

/// The longest size line or trailer that is followed.
const MAX_LINE: usize = 16 * 1024;

impl Chunks {
    pub(super) fn new() -> Self {
        Self { state: State::Size, size: 0, line: 0 }
    }

    /// `Done` with `true` after the last chunk and its trailers, with `false` where it is malformed.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Step<bool> {
        let mut taken = 0;
        while let Some(&byte) = bytes.get(taken) {
            if self.state == State::Data {
                let left = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - taken);
                self.size -= left as u64;
                taken += left;
                if self.size == 0 {
                    self.state = State::DataReturn;
                }
                continue;
            }
            taken += 1;
            match self.next(byte) {
                Some(State::LastEnd) if self.state == State::LastEnd => return Step::Done(taken, true),
                Some(next) => self.state = next,
                None => return Step::Done(taken, false),
            }
        }
        Step::More
    }

    fn next(&mut self, byte: u8) -> Option<State> {
        self.line += 1;
        if self.line > MAX_LINE {
            return None;
        }
        match (self.state, byte) {
            (State::Size, b'\r') if self.line > 1 => Some(State::SizeEnd),
            (State::Size, b';') if self.line > 1 => Some(State::Extension),
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
            (State::TrailerEnd, b'\n') => Some(self.begin(State::TrailerStart)),
            (State::LastEnd, b'\n') => Some(State::LastEnd),
            _ => None,
        }
    }

    fn begin(&mut self, state: State) -> State {
        self.line = 0;
        state
    }
}
