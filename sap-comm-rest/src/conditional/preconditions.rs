use axum::extract::{FromRequestParts, Request};
use http::{HeaderMap, HeaderName, header, request::Parts};
use sap_comm_core::{ApiError, ErrorCode};
use serde_json::json;

use super::EntityTag;
use crate::operation::{Argument, Description, InputPart, RequestParts};

/// On which version of a thing a request depends: its `If-Match` and `If-None-Match`.
///
/// A handler that changes something [checks](Preconditions::check) them against the version that it holds, within the
/// transaction of the change: then no update is lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// [`Preconditions`] that must be there: a request without `If-Match` is `PRECONDITION_REQUIRED` (428).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredPreconditions(pub Preconditions);

/// The value of such a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tags {
    Any,
    List(Vec<EntityTag>),
}

/// What there is of the thing that a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Current<'a> {
    Nothing,
    /// It is there, in a version that has no name.
    Unnamed,
    Version(&'a EntityTag),
}

/// What preconditions say about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// `If-Match` does not hold.
    Changed,
    /// `If-None-Match` does not hold.
    Known,
}

impl Preconditions {
    /// Reads them strictly: what is no list of entity tags is `INVALID_ARGUMENT`.
    ///
    /// # Errors
    /// Names the header that cannot be read.
    pub fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        Self::of(Tags::read(headers, &header::IF_MATCH), Tags::read(headers, &header::IF_NONE_MATCH))
    }

    pub(super) fn of(
        if_match: Result<Option<Tags>, ApiError>,
        if_none_match: Result<Option<Tags>, ApiError>,
    ) -> Result<Self, ApiError> {
        Ok(Self { if_match: if_match?, if_none_match: if_none_match? })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Checks them before a change of the thing, whose version is `current`; `None` when there is no such thing.
    ///
    /// # Errors
    /// `PRECONDITION_FAILED` (412) with the current version in `details.etag`.
    pub fn check(&self, current: Option<&EntityTag>) -> Result<(), ApiError> {
        match self.verdict(current.map_or(Current::Nothing, Current::Version)) {
            Verdict::Go => Ok(()),
            Verdict::Changed => Err(changed(current)),
            Verdict::Known => Err(failed("It is there already", current)),
        }
    }

    /// RFC 9110, section 13.2.2: `If-Match` by strong comparison first, then `If-None-Match` by weak comparison.
    pub(super) fn verdict(&self, current: Current<'_>) -> Verdict {
        let matches = |tags: &Tags, same: fn(&EntityTag, &EntityTag) -> bool| match (tags, current) {
            (_, Current::Nothing) | (Tags::List(_), Current::Unnamed) => false,
            (Tags::Any, _) => true,
            (Tags::List(list), Current::Version(current)) => list.iter().any(|tag| same(tag, current)),
        };
        if self.if_match.as_ref().is_some_and(|tags| !matches(tags, EntityTag::strong_eq)) {
            return Verdict::Changed;
        }
        if self.if_none_match.as_ref().is_some_and(|tags| matches(tags, EntityTag::weak_eq)) {
            return Verdict::Known;
        }
        Verdict::Go
    }
}

/// `If-Match` does not hold for what there is.
pub(super) fn changed(current: Option<&EntityTag>) -> ApiError {
    failed("It has changed since, or is gone", current)
}

fn failed(message: &str, current: Option<&EntityTag>) -> ApiError {
    let error = ApiError::new(ErrorCode::PRECONDITION_FAILED, message);
    match current {
        Some(tag) => error.detail("etag", tag.to_string()),
        None => error,
    }
}

impl Tags {
    pub(super) fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, ApiError> {
        let mut list = Vec::new();
        let mut found = false;
        for value in headers.get_all(name) {
            found = true;
            let text = value.to_str().unwrap_or("\u{fffd}").trim();
            if text == "*" {
                // By itself alone it means anything.
                return if headers.get_all(name).iter().count() == 1 {
                    Ok(Some(Self::Any))
                } else {
                    Err(invalid(name))
                };
            }
            list.extend(read_list(text).ok_or_else(|| invalid(name))?);
        }
        Ok(found.then_some(Self::List(list)))
    }
}

fn invalid(name: &HeaderName) -> ApiError {
    let message = format!("The header {name} must be * or a list of entity tags such as \"v7\"");
    ApiError::new(ErrorCode::INVALID_ARGUMENT, message).detail("header", name.as_str())
}

/// The tags in such headers, as far as they can be read.
#[cfg(feature = "compression")]
pub(crate) fn tags_of(headers: &HeaderMap, name: &HeaderName) -> Vec<EntityTag> {
    let lists = headers.get_all(name).iter().filter_map(|value| read_list(value.to_str().ok()?.trim()));
    lists.flatten().collect()
}

/// Tags separated by commas; a tag may hold a comma itself, and elements may be empty.
fn read_list(text: &str) -> Option<Vec<EntityTag>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(tags);
        }
        let (tag, after) = EntityTag::read(rest)?;
        tags.push(tag);
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(&parts.headers)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequiredPreconditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        required(Preconditions::read(&parts.headers)?)
    }
}

fn required(read: Preconditions) -> Result<RequiredPreconditions, ApiError> {
    if read.if_match.is_some() {
        return Ok(RequiredPreconditions(read));
    }
    Err(ApiError::new(ErrorCode::PRECONDITION_REQUIRED, "Say with If-Match which version this is meant for"))
}

impl InputPart for Preconditions {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        Self::read(request.headers())
    }

    fn describe(description: &mut Description) {
        describe(description, false);
    }
}

impl InputPart for RequiredPreconditions {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        required(Preconditions::read(request.headers())?)
    }

    fn describe(description: &mut Description) {
        describe(description, true);
        description.fails(&ErrorCode::PRECONDITION_REQUIRED, "`If-Match` is missing.");
    }
}

fn describe(description: &mut Description, required: bool) {
    let schema = json!({"type": "string", "pattern": TAGS, "examples": ["\"v7\""]});
    description.header_parameter("If-Match", "Changes it only in one of these versions.", required, schema);
    description.fails(&ErrorCode::INVALID_ARGUMENT, "A header is no list of entity tags.");
    description.fails(&ErrorCode::PRECONDITION_FAILED, "It is in another version, or gone.");
}

/// `*`, or entity tags separated by commas.
pub(super) const TAGS: &str = r#"^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$"#;

/// A client says which version it saw; `None` says nothing.
impl Argument<Preconditions> for Option<&EntityTag> {
    fn fill(self, request: &mut RequestParts) {
        if let Some(tag) = self {
            request.change(|request| request.header(header::IF_MATCH.as_str(), &tag.to_string()));
        }
    }
}

impl Argument<RequiredPreconditions> for &EntityTag {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.header(header::IF_MATCH.as_str(), &self.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(name: &HeaderName, values: &[&'static str]) -> Result<Preconditions, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        Preconditions::read(&headers)
    }

    #[test]
    fn if_match_compares_strongly_and_if_none_match_weakly() {
        let current: EntityTag = "\"v2\"".parse().unwrap();
        let weak: EntityTag = "W/\"v2\"".parse().unwrap();
        for (values, tag, verdict) in [
            (&["\"v2\""][..], Current::Version(&current), Verdict::Go),
            (&["\"v1\", \"v2\""], Current::Version(&current), Verdict::Go),
            (&["\"v1\"", "\"v2\""], Current::Version(&current), Verdict::Go),
            (&["*"], Current::Version(&current), Verdict::Go),
            (&["W/\"v2\""], Current::Version(&current), Verdict::Changed),
            (&["\"v2\""], Current::Version(&weak), Verdict::Changed),
            (&["\"v1\""], Current::Version(&current), Verdict::Changed),
            (&["*"], Current::Nothing, Verdict::Changed),
            (&["*"], Current::Unnamed, Verdict::Go),
            (&["\"v2\""], Current::Unnamed, Verdict::Changed),
        ] {
            assert_eq!(read(&header::IF_MATCH, values).unwrap().verdict(tag), verdict, "{values:?}");
        }
        for (values, tag, verdict) in [
            (&["\"v2\""][..], Current::Version(&current), Verdict::Known),
            (&["W/\"v2\""], Current::Version(&current), Verdict::Known),
            (&["\"a,b\",, W/\"v2\""], Current::Version(&current), Verdict::Known),
            (&["*"], Current::Version(&current), Verdict::Known),
            (&["\"v1\""], Current::Version(&current), Verdict::Go),
            (&["*"], Current::Nothing, Verdict::Go),
            (&["*"], Current::Unnamed, Verdict::Known),
            (&["\"v2\""], Current::Unnamed, Verdict::Go),
        ] {
            assert_eq!(read(&header::IF_NONE_MATCH, values).unwrap().verdict(tag), verdict, "{values:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for values in [&["v2"][..], &[""], &["\"a\" \"b\""], &["*, \"a\""], &["*", "\"a\""], &["\"a"], &["\"a\";"]] {
            let error = read(&header::IF_MATCH, values).unwrap_err();
            assert_eq!((error.status().as_u16(), &error.details()["header"]), (400, &"if-match".into()), "{values:?}");
        }
        assert!(read(&header::IF_MATCH, &[]).unwrap().is_empty());
    }
}
