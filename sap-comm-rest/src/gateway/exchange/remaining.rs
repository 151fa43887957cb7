use bytes::{Buf, Bytes, BytesMut};
use http_body::SizeHint;

use super::ExchangeError;
use crate::chunks::{Chunks, Piece};

/// What is left of an answer's body.
#[derive(Debug)]
pub(super) enum Remaining {
    Known(u64),
    Chunked(Chunks),
    UntilClose,
    Over,
}

/// Smaller pieces are copied, so that their buffer stays one, and is used again.
pub(super) const COPIED: usize = 4 * 1024;

impl Remaining {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Whether it is known to be no longer than that.
    pub(super) fn is_within(&self, bytes: usize) -> bool {
        match self {
            Self::Over => true,
            Self::Known(left) => *left <= bytes as u64,
            Self::Chunked(_) | Self::UntilClose => false,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Known(left) => SizeHint::with_exact(*left),
            Self::Over => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }

    /// Takes the next piece out of what came in; `None` if there is none.
    pub(super) fn take(&mut self, received: &mut BytesMut) -> Result<Option<Bytes>, ExchangeError> {
        if received.is_empty() {
            return Ok(None);
        }
        let length = match self {
            Self::Over => return Ok(None),
            Self::UntilClose => received.len(),
            Self::Known(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(received.len());
                *left -= length as u64;
                if *left == 0 {
                    *self = Self::Over;
                }
                length
            }
            Self::Chunked(chunks) => match chunks.read(received) {
                Piece::Data { before, length } => {
                    received.advance(before);
                    length
                }
                Piece::More => {
                    received.clear();
                    return Ok(None);
                }
                Piece::End(taken) => {
                    received.advance(taken);
                    *self = Self::Over;
                    return Ok(None);
                }
                Piece::Malformed => return Err(ExchangeError::Garbage("a chunk of the answer is malformed")),
            },
        };
        if length > COPIED {
            return Ok(Some(received.split_to(length).freeze()));
        }
        let piece = Bytes::copy_from_slice(received.get(..length).unwrap_or_default());
        received.advance(length);
        Ok(Some(piece))
    }

    /// Nothing more comes in.
    pub(super) fn end(&mut self) -> Result<(), ExchangeError> {
        match self {
            Self::Over => Ok(()),
            Self::UntilClose => {
                *self = Self::Over;
                Ok(())
            }
            Self::Known(_) | Self::Chunked(_) => Err(ExchangeError::Ended),
        }
    }
}
