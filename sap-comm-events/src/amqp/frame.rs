//! Frames: type, channel, length, payload, end.

use super::{decode::Decoder, encode::Encoder, error::Error, method::Method};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xce;

/// Type, channel and length; what is sent of a frame beside its payload, the end included.
pub(super) const HEAD: usize = 7;
pub(super) const AROUND: usize = HEAD + 1;

/// What is sent beside the properties of a message in their frame.
pub(super) const AROUND_PROPERTIES: usize = AROUND + 12;

/// Messages are of this class.
const BASIC: u16 = 60;

/// A frame that was read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payload<'a> {
    Method(Method, Decoder<'a>),
    /// The size of the body, and the properties.
    Header {
        size: u64,
        properties: &'a [u8],
    },
    Body(&'a [u8]),
    Heartbeat,
}

/// The length of the payload of the frame that begins like this, once enough of it is there.
pub(super) fn length(bytes: &[u8], max: usize) -> Result<Option<usize>, Error> {
    let mut head = Decoder(bytes);
    let (Some(_), Some(length)) = (head.take(3), head.u32()) else { return Ok(None) };
    match usize::try_from(length) {
        Ok(length) if length.saturating_add(AROUND) <= max => Ok(Some(length)),
        _ => Err(Error::Protocol("a frame is too large")),
    }
}

/// The first frame in `bytes`, and how long it is; `None` as long as it is not whole.
pub(super) fn read(bytes: &[u8], max: usize) -> Result<Option<(u16, Payload<'_>, usize)>, Error> {
    let Some(length) = length(bytes, max)? else { return Ok(None) };
    let mut frame = Decoder(bytes);
    let (Some(kind), Some(channel), Some(_)) = (frame.u8(), frame.u16(), frame.u32()) else { return Ok(None) };
    let (Some(payload), Some(end)) = (frame.take(length), frame.u8()) else { return Ok(None) };
    if end != END {
        return Err(Error::Protocol("a frame does not end where it should"));
    }
    let payload = self::payload(kind, payload).ok_or(Error::Protocol("a frame cannot be read"))?;
    Ok(Some((channel, payload, length + AROUND)))
}

fn payload(kind: u8, bytes: &[u8]) -> Option<Payload<'_>> {
    let mut decoder = Decoder(bytes);
    Some(match kind {
        METHOD => Payload::Method(Method(decoder.u16()?, decoder.u16()?), decoder),
        HEADER => {
            let (BASIC, _weight, size) = (decoder.u16()?, decoder.u16()?, decoder.u64()?) else { return None };
            Payload::Header { size, properties: decoder.0 }
        }
        BODY => Payload::Body(bytes),
        HEARTBEAT => Payload::Heartbeat,
        _ => return None,
    })
}

/// Writes a method; nothing is written if its arguments do not fit into it.
pub(super) fn method(
    out: &mut Vec<u8>,
    channel: u16,
    Method(class, method): Method,
    arguments: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let before = out.len();
    let written = frame(out, METHOD, channel, |out| {
        out.u16(class);
        out.u16(method);
        arguments(out)
    });
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// Writes the header of a body and the body, in frames of at most `max` bytes.
pub(super) fn content(
    out: &mut Vec<u8>,
    channel: u16,
    body: &[u8],
    max: usize,
    properties: impl FnOnce(&mut Encoder<'_>),
) {
    frame(out, HEADER, channel, |out| {
        out.u16(BASIC);
        out.u16(0);
        out.u64(body.len() as u64);
        properties(out);
    });
    for chunk in body.chunks(max.saturating_sub(AROUND).max(1)) {
        frame(out, BODY, channel, |out| out.0.extend_from_slice(chunk));
    }
}

pub(super) fn heartbeat(out: &mut Vec<u8>) {
    frame(out, HEARTBEAT, 0, |_| ());
}

fn frame<T>(out: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Encoder<'_>) -> T) -> T {
    let mut encoder = Encoder(out);
    encoder.u8(kind);
    encoder.u16(channel);
    let written = encoder.measured(payload);
    encoder.u8(END);
    written
}
