//! The task that reads.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    connection::Shared,
    decode::Decoder,
    error::Error,
    frame::{self, Payload},
    method::{Method, connection},
    registry::{News, Reaction},
};

/// How much is read at once, unless a frame is larger.
const CHUNK: usize = 64 << 10;
/// Larger frames are nonsense. RabbitMQ keeps bodies within the size that was agreed, but not headers, which it adds to.
const MAX_FRAME: usize = 16 << 20;

/// Reads until the connection is lost.
pub(super) async fn run<R: AsyncRead + Send + Unpin>(shared: Arc<Shared>, mut socket: R, heard: Arc<AtomicBool>) {
    let lost = shared.lost.clone();
    if let Some(Err(error)) = lost.run_until_cancelled(read(&shared, &mut socket, &heard)).await {
        shared.end(&error);
    }
}

async fn read<R: AsyncRead + Unpin>(shared: &Shared, socket: &mut R, heard: &AtomicBool) -> Result<Infallible, Error> {
    let mut buffer = vec![0; CHUNK];
    let (mut filled, mut news) = (0, Vec::new());
    loop {
        let read = socket.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker hung up").into());
        }
        heard.store(true, Ordering::Relaxed);
        filled += read;
        let mut taken = 0;
        let read = take(shared, buffer.get(..filled).unwrap_or_default(), &mut taken, &mut news);
        news.drain(..).for_each(News::tell);
        read?;
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
        if filled == buffer.len() {
            // A frame is larger; its size was checked.
            buffer.resize(filled * 2, 0);
        } else if filled == 0 && buffer.len() > shared.max_frame.max(CHUNK) {
            buffer = vec![0; CHUNK];
        }
    }
}

/// Takes every whole frame, and counts the bytes that they are.
pub(super) fn take(shared: &Shared, bytes: &[u8], taken: &mut usize, news: &mut Vec<News>) -> Result<(), Error> {
    let mut registry = shared.registry.lock();
    while let Some((channel, payload, length)) = frame::read(bytes.get(*taken..).unwrap_or_default(), MAX_FRAME)? {
        *taken += length;
        match (channel, payload) {
            (_, Payload::Heartbeat) => {}
            (0, Payload::Method(method, arguments)) => of_connection(shared, method, arguments)?,
            (0, _) => return Err(Error::Protocol("a message is for no channel")),
            (channel, payload) => {
                let react = |reaction: Reaction| shared.outbound.write(|out| reaction.write(out));
                registry.take(channel, payload, &react, news)?;
            }
        }
    }
    Ok(())
}

/// What is about the connection itself.
fn of_connection(shared: &Shared, method: Method, mut arguments: Decoder<'_>) -> Result<(), Error> {
    match method {
        connection::CLOSE => {
            let (code, text) = arguments.reason();
            shared.outbound.write(|out| {
                let written = frame::method(out, 0, connection::CLOSE_OK, |_| Ok(()));
                debug_assert!(written.is_ok(), "it has no arguments");
            });
            Err(Error::Connection { code, text })
        }
        connection::CLOSE_OK => Err(Error::Closed),
        connection::BLOCKED => {
            let reason = arguments.text().unwrap_or_default().into_owned();
            shared.blocked.send_replace(Some(reason));
            Ok(())
        }
        connection::UNBLOCKED => {
            shared.blocked.send_replace(None);
            Ok(())
        }
        _ => Err(Error::Protocol("a method is not for a connection that is open")),
    }
}
