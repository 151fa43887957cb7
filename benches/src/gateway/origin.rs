//! The service behind every proxy: one thread that answers from memory.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::{ITEM, JWKS, STREAM, UPLOAD, workers};
use crate::BenchError;

/// 100 bytes.
const ANSWER: &str =
    r#"{"id":"itm_01JB2Z9Y6Q8W7T5R4E3W2Q1P0N","name":"An item of the origin","price":1299,"inStock":true}  "#;
const PIECE: usize = 64 * 1024;

type Answer = Response<Either<Full<Bytes>, Pieces>>;

pub(super) fn run(port: u16, jwks: &Value) -> Result<(), BenchError> {
    let jwks = Bytes::from(jwks.to_string());
    workers::run(1, move || serve(port, jwks.clone()))
}

async fn serve(port: u16, jwks: Bytes) -> Result<(), BenchError> {
    let listener = workers::listen(port)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(BenchError::refused("accept"))?;
        stream.set_nodelay(true).map_err(BenchError::refused("set up a connection"))?;
        let jwks = jwks.clone();
        let answer = service_fn(move |request| answer(request, jwks.clone()));
        // A proxy that drops a connection is its own affair.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(request: Request<Incoming>, jwks: Bytes) -> Result<Answer, Infallible> {
    let (parts, mut body) = request.into_parts();
    let mut came = 0;
    while let Some(Ok(frame)) = body.frame().await {
        came += frame.data_ref().map_or(0, Bytes::len);
    }
    let path = parts.uri.path();
    let body = match path.strip_prefix(STREAM).map(str::parse) {
        Some(Ok(left)) => Either::Right(Pieces { left, piece: Bytes::from(vec![b'x'; PIECE]) }),
        _ if path == ITEM => Either::Left(Full::from(ANSWER)),
        _ if path == UPLOAD => Either::Left(Full::from(came.to_string())),
        _ if path == JWKS => Either::Left(Full::from(jwks)),
        _ => {
            let mut response = Response::new(Either::Left(Full::default()));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// So many bytes, a piece at a time.
struct Pieces {
    left: u64,
    piece: Bytes,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(self.piece.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_a_hundred_bytes_of_json() {
        assert_eq!(ANSWER.len(), 100);
        assert!(serde_json::from_str::<Value>(ANSWER).is_ok());
    }
}
