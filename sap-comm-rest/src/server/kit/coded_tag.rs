//! A strong ETag names the very bytes, so that a compressed version has one of its own (RFC 9110, section 8.8.1): `"v7"` becomes
//! `"v7--gzip"`. Clients say such a tag, and handlers see their own; a weak one names all versions alike.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::conditional::{EntityTag, tags_of};

/// Marks an answer that its handler did not encode.
#[derive(Debug, Clone, Copy)]
struct Plain;

/// Inside of compression.
pub(super) async fn mark(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if !response.headers().contains_key(header::CONTENT_ENCODING) {
        response.extensions_mut().insert(Plain);
    }
    response
}

/// Outside of compression.
pub(super) async fn translate(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    // A range is one of the plain bytes.
    if !headers.contains_key(header::RANGE) {
        accept_coded(headers, &header::IF_MATCH, |_| true);
    }
    let accepted = accepted(headers);
    let coded = accept_coded(headers, &header::IF_NONE_MATCH, |coding| accepted.takes(coding));
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_MODIFIED {
        not_modified(response.headers_mut(), &coded);
    } else if response.extensions().get::<Plain>().is_some() {
        name_coded(response.headers_mut());
    }
    response
}

/// The codings that an asker takes: a cache may ask about versions that others have.
struct Accepted(Vec<(String, bool)>);

fn accepted(headers: &HeaderMap) -> Accepted {
    let texts = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings = texts.flat_map(|text| text.split(',')).map(|part| {
        let (coding, quality) = part.split_once(';').unwrap_or((part, "q=1"));
        let quality = quality.trim().strip_prefix("q=").and_then(|quality| quality.trim().parse::<f32>().ok());
        (coding.trim().to_ascii_lowercase(), quality.is_none_or(|quality| quality > 0.0))
    });
    Accepted(codings.collect())
}

impl Accepted {
    fn takes(&self, coding: &str) -> bool {
        let of = |name: &str| self.0.iter().find(|(known, _)| known == name).map(|(_, taken)| *taken);
        of(coding).or_else(|| of("*")).unwrap_or(false)
    }
}

/// Adds what a handler calls a version that the client has compressed, in a coding that counts; gives the client's own names.
fn accept_coded(headers: &mut HeaderMap, name: &HeaderName, counts: impl Fn(&str) -> bool) -> Vec<EntityTag> {
    let counts = |tag: &EntityTag| tag.coding().is_some_and(&counts);
    let coded: Vec<_> = tags_of(headers, name).into_iter().filter(counts).collect();
    let plain: Vec<_> = coded.iter().filter_map(|tag| tag.uncoded()?.header()).collect();
    for tag in plain {
        // Beside the client's: a handler may have named something so itself.
        headers.append(name, tag);
    }
    coded
}

/// Names a version by the coding that it was given.
fn name_coded(headers: &mut HeaderMap) {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
    let Some(tag) = coding.and_then(|coding| tag(headers)?.coded(coding)?.header()) else { return };
    headers.insert(header::ETAG, tag);
}

/// Names the version as the client has it, and says on what it depends, as the whole answer would.
fn not_modified(headers: &mut HeaderMap, coded: &[EntityTag]) {
    let known = tag(headers).and_then(|current| {
        let same = |tag: &&EntityTag| tag.uncoded().is_some_and(|plain| plain.weak_eq(&current));
        coded.iter().find(same)
    });
    if let Some(tag) = known.and_then(EntityTag::header) {
        headers.insert(header::ETAG, tag);
    }
    let varies = headers.get_all(header::VARY).iter().any(|value| {
        value.to_str().is_ok_and(|names| names.to_ascii_lowercase().contains(header::ACCEPT_ENCODING.as_str()))
    });
    if !varies {
        headers.append(header::VARY, HeaderValue::from_name(header::ACCEPT_ENCODING));
    }
}

fn tag(headers: &HeaderMap) -> Option<EntityTag> {
    headers.get(header::ETAG)?.to_str().ok()?.parse().ok()
}
