use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use super::{Load, memory::Memory, wire};
use crate::{BenchError, Figures};

const BUFFER: usize = 256 * 1024;

/// Reads one answer to its end; whatever has another length than was asked for is an error.
pub(super) fn download(load: &Load, bytes: u64) -> Result<(Figures, Memory), BenchError> {
    let (begun, spent) = (Instant::now(), load.proxy().cpu()?);
    let mut memory = Memory::of(load.proxy(), bytes);
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
        memory.look(streamed)?;
        streamed += more(&mut stream, &mut buffer)? as u64;
    }
    memory.look(streamed)?;
    Ok((one(load, begun, spent)?, memory))
}

/// Sends one body; the origin answers how much of it came.
pub(super) fn upload(load: &Load, bytes: u64) -> Result<(Figures, Memory), BenchError> {
    let (begun, spent) = (Instant::now(), load.proxy().cpu()?);
    let mut memory = Memory::of(load.proxy(), bytes);
    let mut stream = TcpStream::connect(load.address()).map_err(BenchError::refused("connect"))?;
    let head = format!("POST {} HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {bytes}\r\n\r\n", load.path);
    stream.write_all(head.as_bytes()).map_err(BenchError::refused("send a request"))?;
    let mut buffer = vec![b'x'; BUFFER];
    let mut sent = 0;
    while sent < bytes {
        memory.look(sent)?;
        let next = usize::try_from(bytes - sent).map_or(BUFFER, |left| left.min(BUFFER));
        stream.write_all(&buffer[..next]).map_err(BenchError::refused("send a body"))?;
        sent += next as u64;
    }
    memory.look(sent)?;
    let mut read = 0;
    let length = loop {
        if let Some(length) = wire::whole(&buffer[..read], false)? {
            break length;
        }
        read += more(&mut stream, &mut buffer[read..])?;
    };
    let came = wire::head(&buffer[..length], false)?.map(|head| String::from_utf8_lossy(&buffer[head.length..length]));
    if came.as_deref() != Some(bytes.to_string().as_str()) {
        return Err(BenchError::refused("upload")(format!("{bytes} bytes were sent, and {came:?} came")));
    }
    Ok((one(load, begun, spent)?, memory))
}

fn one(load: &Load, begun: Instant, spent: std::time::Duration) -> Result<Figures, BenchError> {
    Ok(Figures::new(1, begun.elapsed(), load.proxy().cpu()?.saturating_sub(spent), Vec::new()))
}

fn more(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, BenchError> {
    match stream.read(buffer).map_err(BenchError::refused("read an answer"))? {
        0 => Err(BenchError::refused("read an answer")("the connection ended")),
        more => Ok(more),
    }
}
