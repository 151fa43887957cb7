use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use super::{Load, wire};
use crate::{BenchError, Figures};

const BUFFER: usize = 256 * 1024;

/// Reads one answer to its end; whatever has another length than was asked for is an error.
pub(super) fn run(load: &Load, bytes: u64) -> Result<Figures, BenchError> {
    let (begun, spent) = (Instant::now(), load.proxy().cpu()?);
    let mut stream = TcpStream::connect(load.address()).map_err(BenchError::refused("connect"))?;
    stream.write_all(&load.request(0)).map_err(BenchError::refused("send a request"))?;
    let mut buffer = vec![0; BUFFER];
    let mut read = 0;
    let head = loop {
        if let Some(head) = wire::head(&buffer[..read], false)? {
            break head;
        }
        read += more(&mut stream, &mut buffer[read..])?;
    };
    if head.body != bytes {
        return Err(BenchError::refused("stream")(format!("{bytes} bytes were asked for, and {} promised", head.body)));
    }
    let mut streamed = (read - head.length) as u64;
    while streamed < bytes {
        streamed += more(&mut stream, &mut buffer)? as u64;
    }
    Ok(Figures::new(1, begun.elapsed(), load.proxy().cpu()?.saturating_sub(spent), Vec::new()))
}

fn more(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, BenchError> {
    match stream.read(buffer).map_err(BenchError::refused("read an answer"))? {
        0 => Err(BenchError::refused("read an answer")("the connection ended")),
        more => Ok(more),
    }
}
