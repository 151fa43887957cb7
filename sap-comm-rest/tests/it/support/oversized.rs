/// More than the kit takes by default.
const BODY: usize = 3 * 1024 * 1024;

const PIECE: usize = 64 * 1024;

/// POSTs whose body is over the kit's limit: one that says so, and one in chunks.
pub(crate) fn oversized(path: &str) -> [Vec<u8>; 2] {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n");
    let announced = format!("{head}Content-Length: {BODY}\r\n\r\n{}", " ".repeat(BODY));
    let chunk = format!("{PIECE:x}\r\n{}\r\n", " ".repeat(PIECE));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(BODY / PIECE));
    [announced.into_bytes(), chunked.into_bytes()]
}

/// Two parts of a request: within the second the limit has been passed for certain. The rest comes in pieces.
pub(crate) fn halves(request: &[u8]) -> (&[u8], std::slice::Chunks<'_, u8>) {
    let (begin, rest) = request.split_at(request.len() / 2);
    (begin, rest.chunks(PIECE))
}
