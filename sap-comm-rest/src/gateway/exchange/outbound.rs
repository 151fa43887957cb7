use std::{
    io::{self, IoSlice, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::{ExchangeError, request::OutgoingHead};
use crate::gateway::body::{UploadBody, UploadFault};

/// What is to be written of a request.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// The head, or the frame of a chunk.
    frame: Vec<u8>,
    written: usize,
    data: Bytes,
    /// What stands behind the data.
    end: &'static [u8],
    /// `None` once all of it was taken.
    body: Option<UploadBody>,
    /// What is left of a length that was said; without one, the body is chunked.
    left: Option<u64>,
    unflushed: bool,
    /// How many bytes were written in all.
    moved: u64,
    given_up: bool,
}

impl Outbound {
    /// Begins a request; the one before was written.
    pub(super) fn begin(&mut self, head: &OutgoingHead<'_>, body: Option<UploadBody>) {
        self.frame_with(|frame| head.write(body.as_ref(), frame));
        self.left = body.as_ref().and_then(UploadBody::length);
        self.body = body;
    }

    /// Whether all of the request was written.
    pub(super) fn is_done(&self) -> bool {
        !self.is_under_way() && !self.given_up
    }

    /// Whether there is anything left to write.
    pub(super) fn is_under_way(&self) -> bool {
        self.body.is_some() || self.is_blocked() || self.unflushed
    }

    fn is_blocked(&self) -> bool {
        self.written < self.frame.len() || !self.data.is_empty() || !self.end.is_empty()
    }

    /// Whether it is the endpoint that takes nothing, and not the client that gives nothing.
    pub(super) fn waits_for_endpoint(&self) -> bool {
        self.is_blocked() || self.unflushed
    }

    /// The endpoint takes no more: the rest is not written.
    pub(super) fn give_up(&mut self) {
        *self = Self { given_up: true, ..Self::default() };
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Writes what can be; ready once all of the request was.
    pub(super) fn poll(
        &mut self,
        mut io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ExchangeError>> {
        loop {
            while self.is_blocked() {
                ready!(self.poll_write(io.as_mut(), cx))?;
            }
            let Some(body) = &mut self.body else { break };
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => self.put(data)?,
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(ExchangeError::Upload(fault))),
                Poll::Ready(None) => self.finish()?,
                Poll::Pending => {
                    // What was written is not to wait for the rest.
                    if self.unflushed {
                        ready!(io.as_mut().poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        if self.unflushed {
            ready!(io.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, data: Bytes) -> Result<(), ExchangeError> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.left {
            Some(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    if rest == 0 {
                        self.body = None;
                    }
                }
                None => return Err(ExchangeError::Upload(UploadFault::Broken)),
            },
            None => {
                // Memory takes everything.
                self.frame_with(|frame| drop(write!(frame, "{:X}\r\n", data.len())));
                self.end = b"\r\n";
            }
        }
        self.data = data;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ExchangeError> {
        match self.left {
            Some(0) => {}
            Some(_) => return Err(ExchangeError::Upload(UploadFault::Broken)),
            None => self.frame_with(|frame| frame.extend_from_slice(b"0\r\n\r\n")),
        }
        self.body = None;
        Ok(())
    }

    fn frame_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.frame.clear();
        self.written = 0;
        write(&mut self.frame);
    }

    fn poll_write(&mut self, io: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let frame = self.frame.get(self.written..).unwrap_or_default();
        let written = match (frame, &*self.data, self.end) {
            (only, [], []) | ([], only, []) => ready!(io.poll_write(cx, only))?,
            (frame, data, end) => {
                ready!(io.poll_write_vectored(cx, &[IoSlice::new(frame), IoSlice::new(data), IoSlice::new(end)]))?
            }
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        self.moved = self.moved.saturating_add(written as u64);
        let of_frame = written.min(frame.len());
        self.written += of_frame;
        let of_data = (written - of_frame).min(self.data.len());
        self.data.advance(of_data);
        if self.data.is_empty() {
            // What it was a part of is free.
            self.data = Bytes::new();
        }
        self.end = self.end.get(written - of_frame - of_data..).unwrap_or_default();
        Poll::Ready(Ok(()))
    }
}
