//! Requests that two readers could read in two ways, or that are none, byte for byte; and some that are sound and look odd.
//!
//! `attacks` holds our gateway to what is expected here, `differential` compares it with nginx and HAProxy.

/// One connection's bytes, and what becomes of them.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) expect: Expect,
}

/// What our gateway does. Behind the bytes comes a [`probe`](PROBE), which only a connection that goes on answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Answers with this status and closes; no request reaches the upstream.
    Closes(u16),
    /// Answers with this status and goes on; of all requests only the probe reaches the upstream.
    Refuses(u16),
    /// These requests, their targets and bodies, reach the upstream before the probe.
    Serves(&'static [(&'static str, &'static str)]),
}

/// A request that has nothing wrong with it, and is the last of its connection.
pub(super) const PROBE: &[u8] = b"GET /api/probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What an attacker wants to be taken for a request.
const SMUGGLED: &str = "GET /api/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

use Expect::{Closes, Refuses, Serves};

/// Every case, in the order of the kinds below.
pub(super) fn corpus() -> Vec<Attack> {
    let mut all = lengths();
    all.extend(codings());
    all.extend(chunks());
    all.extend(headers());
    all.extend(heads());
    all.extend(paths());
    all.extend(unread());
    all.extend(sound());
    all
}

fn attack(name: &'static str, expect: Expect, bytes: impl Into<Vec<u8>>) -> Attack {
    Attack { name, bytes: bytes.into(), expect }
}

/// A POST with these headers and body, and a smuggled request behind it.
fn post(name: &'static str, expect: Expect, headers: &str, body: &str) -> Attack {
    attack(name, expect, format!("POST /api HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}{SMUGGLED}"))
}

fn lengths() -> Vec<Attack> {
    let refused = |name, headers, body| post(name, Closes(400), headers, body);
    vec![
        refused("CL.TE", "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        refused("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n"),
        refused("CL.TE with a request in the body", "Content-Length: 45\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        refused("two lengths that differ", "Content-Length: 5\r\nContent-Length: 6", "hello"),
        refused("two lengths alike", "Content-Length: 5\r\nContent-Length: 5", "hello"),
        refused("list of lengths", "Content-Length: 5, 5", "hello"),
        refused("signed length", "Content-Length: +5", "hello"),
        refused("negative length", "Content-Length: -5", "hello"),
        refused("hexadecimal length", "Content-Length: 0x5", "hello"),
        refused("length with a fraction", "Content-Length: 5.0", "hello"),
        refused("length with an exponent", "Content-Length: 5e0", "hello"),
        refused("length with a separator", "Content-Length: 1_0", "hello"),
        refused("two numbers in a length", "Content-Length: 5 5", "hello"),
        refused("empty length", "Content-Length:", "hello"),
        refused("length in quotes", "Content-Length: \"5\"", "hello"),
        refused("length over 64 bits", "Content-Length: 18446744073709551617", "h"),
        refused("length in other digits", "Content-Length: ٥", "hello"),
        refused("tab before the length", "Content-Length:\t5", "hello"),
        refused("vertical tab before the length", "Content-Length: \x0b5", "hello"),
        refused("length named with a zero byte", "Content-Length\0: 5", "hello"),
        refused("space before the colon of a length", "Content-Length : 5", "hello"),
        refused("space before the name of a length", " Content-Length: 5", "hello"),
    ]
}

fn codings() -> Vec<Attack> {
    let refused = |name, headers| post(name, Closes(400), headers, "0\r\n\r\n");
    vec![
        refused("tab before the coding", "Transfer-Encoding:\tchunked"),
        refused("tab behind the coding", "Transfer-Encoding: chunked\t"),
        refused("vertical tab before the coding", "Transfer-Encoding: \x0bchunked"),
        refused("form feed before the coding", "Transfer-Encoding: \x0cchunked"),
        refused("zero byte behind the coding", "Transfer-Encoding: chunked\0"),
        refused("coding before chunked", "Transfer-Encoding: gzip, chunked"),
        refused("identity before chunked", "Transfer-Encoding: identity, chunked"),
        refused("coding behind chunked", "Transfer-Encoding: chunked, identity"),
        refused("comma before chunked", "Transfer-Encoding: , chunked"),
        refused("comma behind chunked", "Transfer-Encoding: chunked,"),
        refused("chunked twice in a list", "Transfer-Encoding: chunked, chunked"),
        refused("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        refused("chunked and identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        refused("identity alone", "Transfer-Encoding: identity"),
        refused("unknown coding", "Transfer-Encoding: xchunked"),
        refused("coding with a parameter", "Transfer-Encoding: chunked;q=1"),
        refused("coding in quotes", "Transfer-Encoding: \"chunked\""),
        refused("empty coding", "Transfer-Encoding:"),
        refused("coding in a folded line", "Transfer-Encoding:\r\n chunked"),
        refused("space before the colon of a coding", "Transfer-Encoding : chunked"),
        refused("space before the name of a coding", "X-A: b\r\n Transfer-Encoding: chunked"),
        refused("bare return before a coding", "X-A: b\rTransfer-Encoding: chunked"),
        refused("bare line feed before a coding", "X-A: b\nTransfer-Encoding: chunked"),
        attack(
            "chunks on HTTP/1.0",
            Closes(400),
            format!("POST /api HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
        ),
        attack(
            "chunks and a length on HTTP/1.0",
            Closes(400),
            format!(
                "POST /api HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
            ),
        ),
    ]
}

fn chunks() -> Vec<Attack> {
    let refused = |name, body: &str| post(name, Closes(400), "Transfer-Encoding: chunked", body);
    let extension = "x".repeat(16 * 1024 + 1);
    vec![
        refused("chunk size over 64 bits", "fffffffffffffffff\r\n"),
        refused("chunk size that wraps around", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        refused("signed chunk size", "+5\r\nhello\r\n0\r\n\r\n"),
        refused("negative chunk size", "-5\r\nhello\r\n0\r\n\r\n"),
        refused("hexadecimal prefix in a chunk size", "0x5\r\nhello\r\n0\r\n\r\n"),
        refused("space before a chunk size", " 5\r\nhello\r\n0\r\n\r\n"),
        refused("two numbers in a chunk size", "5 5\r\nhello\r\n0\r\n\r\n"),
        refused("no chunk size", "\r\nhello\r\n0\r\n\r\n"),
        refused("chunk size with no digit", ";x\r\nhello\r\n0\r\n\r\n"),
        refused("chunk longer than it says", "3\r\nhello\r\n0\r\n\r\n"),
        refused("chunk shorter than it says", "7\r\nhello\r\n0\r\n\r\n"),
        refused("nothing behind a chunk", "5\r\nhello0\r\n\r\n"),
        refused("line feed alone behind a chunk size", "5\nhello\r\n0\r\n\r\n"),
        refused("line feed alone behind a chunk", "5\r\nhello\n0\r\n\r\n"),
        refused("return alone behind a chunk size", "5\rhello\r\n0\r\n\r\n"),
        refused("line feed in a chunk extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        refused("line feed alone behind the last chunk", "0\n\n"),
        refused("16 KiB of chunk extensions", &format!("5;{extension}\r\nhello\r\n0\r\n\r\n")),
    ]
}

fn headers() -> Vec<Attack> {
    let refused = |name, headers| post(name, Closes(400), headers, "");
    vec![
        refused("folded header", "X-A: b\r\n c"),
        refused("header folded with a tab", "X-A: b\r\n\tc"),
        refused("space before a colon", "X-A : b"),
        refused("tab before a colon", "X-A\t: b"),
        refused("header without a colon", "X-A"),
        refused("header without a name", ": b"),
        refused("zero byte in a header", "X-A: \0"),
        refused("zero byte in a name", "X\0A: b"),
        refused("bare return in a header", "X-A: b\rContent-Length: 5"),
        refused("return before the line's end", "X-A: b\r\r\nX-B: c"),
        refused("bare line feed", "X-A: b\nContent-Length: 5"),
        refused("name with a bracket", "X(A): b"),
        refused("name beyond ASCII", "X-Ä: b"),
        refused("host twice", "Host: b"),
        refused("host twice alike", "Host: a"),
    ]
}

fn heads() -> Vec<Attack> {
    let refused = |name, status, head: &str| attack(name, Closes(status), format!("{head}\r\n\r\n{SMUGGLED}"));
    vec![
        refused("no host", 400, "GET /api HTTP/1.1\r\nX-A: b"),
        refused("empty host", 400, "GET /api HTTP/1.1\r\nHost:"),
        refused("host unlike the target", 400, "GET http://b/api HTTP/1.1\r\nHost: a"),
        refused("port of the host unlike the target's", 400, "GET http://a:81/api HTTP/1.1\r\nHost: a:82"),
        refused("target with credentials", 400, "GET http://u@a/api HTTP/1.1\r\nHost: a"),
        refused("host with a path", 400, "GET /api HTTP/1.1\r\nHost: a/b"),
        refused("host with credentials", 400, "GET /api HTTP/1.1\r\nHost: a@b"),
        refused("two hosts in one", 400, "GET /api HTTP/1.1\r\nHost: a, b"),
        refused("host with a space", 400, "GET /api HTTP/1.1\r\nHost: a b"),
        refused("zero byte in the path", 400, "GET /api\0 HTTP/1.1\r\nHost: a"),
        refused("tab instead of a space", 400, "GET\t/api\tHTTP/1.1\r\nHost: a"),
        refused("two spaces before the path", 400, "GET  /api HTTP/1.1\r\nHost: a"),
        refused("space in the path", 400, "GET /api x HTTP/1.1\r\nHost: a"),
        refused("no path", 400, "GET HTTP/1.1\r\nHost: a"),
        refused("no version", 400, "GET /api\r\nHost: a"),
        refused("unknown version", 400, "GET /api HTTP/3.7\r\nHost: a"),
        refused("version without a number", 400, "GET /api HTTP/\r\nHost: a"),
        refused("version in lower case", 400, "GET /api http/1.1\r\nHost: a"),
        refused("something behind the version", 400, "GET /api HTTP/1.1 x\r\nHost: a"),
        refused("method that is none", 400, "G@T /api HTTP/1.1\r\nHost: a"),
        refused("space before the method", 400, " GET /api HTTP/1.1\r\nHost: a"),
        refused("header before the request line", 400, "Host: a\r\nGET /api HTTP/1.1"),
        refused("tunnel", 405, "CONNECT internal:22 HTTP/1.1\r\nHost: internal:22"),
        refused("tunnel to a path", 405, "CONNECT /api HTTP/1.1\r\nHost: a"),
        refused("trace", 405, "TRACE /api HTTP/1.1\r\nHost: a"),
        attack("line feeds alone", Closes(400), "GET /api HTTP/1.1\nHost: a\n\n"),
        attack("what is no HTTP", Closes(400), "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n"),
    ]
}

fn paths() -> Vec<Attack> {
    let refused = |name, path: &str| attack(name, Refuses(400), format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    vec![
        refused("dot segments", "/api/../admin"),
        refused("dot segments at the end", "/api/.."),
        refused("one dot", "/api/./admin"),
        refused("encoded dots", "/api/%2e%2e/admin"),
        refused("half encoded dots", "/api/.%2E/admin"),
        refused("dots with a parameter", "/api/..;/admin"),
        refused("parameter", "/api;x=1/admin"),
        refused("encoded slash", "/api%2f..%2fadmin"),
        refused("backslash", "/api\\..\\admin"),
        refused("encoded backslash", "/api%5c..%5cadmin"),
        refused("two slashes", "//api/admin"),
        refused("two slashes within", "/api//admin"),
        refused("encoded twice", "/api/%252e%252e/admin"),
        refused("encoded zero byte", "/api/%00"),
        refused("encoded line feed", "/api/%0d%0aX-A:%20b"),
        refused("encoding that is none", "/api/%zz"),
        refused("encoding that is too long", "/api/%c0%ae%c0%ae/admin"),
        refused("asterisk", "*"),
        attack("path in another case", Refuses(404), "GET /API HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]
}

/// Refused before anybody reads their body, which is a request (CL.0, TE.0).
fn unread() -> Vec<Attack> {
    let refused = |name, expect, head: &str| {
        attack(name, expect, format!("{head} HTTP/1.1\r\nHost: a\r\nContent-Length: 39\r\n\r\n{SMUGGLED}"))
    };
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n27\r\n{SMUGGLED}\r\n0\r\n\r\n");
    vec![
        refused("CL.0 to no route", Refuses(404), "POST /nothing"),
        refused("CL.0 with a GET to no route", Refuses(404), "GET /nothing"),
        refused("CL.0 to a refused path", Refuses(400), "POST /api/../x"),
        attack("TE.0 to no route", Refuses(404), format!("POST /nothing HTTP/1.1\r\nHost: a\r\n{chunked}")),
    ]
}

/// What looks odd and is allowed: whoever refuses it breaks honest clients, whoever reads it otherwise lets requests through.
fn sound() -> Vec<Attack> {
    const HELLO: Expect = Serves(&[("/api", "hello"), ("/api/second", "")]);
    let post = |name, expect, headers: &str, body: &str| {
        let second = "GET /api/second HTTP/1.1\r\nHost: a\r\n\r\n";
        attack(name, expect, format!("POST /api HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}{second}"))
    };
    let get = |name, expect, head: &str| attack(name, expect, format!("{head}\r\n\r\n"));
    const ONE: Expect = Serves(&[("/api", "")]);
    vec![
        post("length", HELLO, "Content-Length: 5", "hello"),
        post("length with zeros", HELLO, "Content-Length: 005", "hello"),
        post("spaces around a length", HELLO, "Content-Length:   5  ", "hello"),
        post("chunks", HELLO, "Transfer-Encoding: chunked", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        post("chunked in another case", HELLO, "transfer-encoding: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"),
        post("chunk size with zeros", HELLO, "Transfer-Encoding: chunked", "0005\r\nhello\r\n000\r\n\r\n"),
        post("chunk extension", HELLO, "Transfer-Encoding: chunked", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        post(
            "trailers with the names of what was checked",
            HELLO,
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\nContent-Length: 99\r\nAuthorization: Bearer x\r\n\r\n",
        ),
        post("empty body", Serves(&[("/api", ""), ("/api/second", "")]), "Content-Length: 0", ""),
        post(
            "body that looks like a request",
            Serves(&[("/api", SMUGGLED), ("/api/second", "")]),
            "Content-Length: 39",
            SMUGGLED,
        ),
        get("upgrade without connection", ONE, "GET /api HTTP/1.1\r\nHost: a\r\nUpgrade: websocket"),
        get(
            "upgrade to HTTP/2",
            ONE,
            "GET /api HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c",
        ),
        get("whole target", ONE, "GET http://a/api HTTP/1.1\r\nHost: a"),
        get("empty lines before the request", ONE, "\r\n\r\nGET /api HTTP/1.1\r\nHost: a"),
        get("header with Latin-1", ONE, "GET /api HTTP/1.1\r\nHost: a\r\nX-A: é"),
        get("empty header", ONE, "GET /api HTTP/1.1\r\nHost: a\r\nX-A:"),
        get("encoded letter", ONE, "GET /%61pi HTTP/1.1\r\nHost: a"),
        attack(
            "body of a GET",
            Serves(&[("/api", "hi")]),
            "GET /api HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        ),
        get(
            "connection that names a credential",
            ONE,
            "GET /api HTTP/1.1\r\nHost: a\r\nConnection: authorization, content-length, host",
        ),
    ]
}
