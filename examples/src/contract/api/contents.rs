use sap_comm::rest::{
    cursor::{CursorPageResponse, CursorQuery},
    error_codes,
    operation::{Contract, Operation, ResourceId},
    server::{Created, Deprecation, Json, PageResponse, Paged, Path, Valid},
};

use super::ADMIN;
use crate::contract::rest::{Content, CreateContent};

error_codes! {
    /// Why the content service refuses.
    pub enum ContentError {
        /// There is no such content.
        NotFound = "CONTENT_NOT_FOUND",
        /// It is published already.
        Published = "CONTENT_CONFLICT",
    }
}

/// The content service.
pub const CONTENT_SERVICE: Contract = Contract::new(
    "content-service",
    &[
        LIST_CONTENTS.definition(),
        LIST_CONTENTS_V2.definition(),
        GET_CONTENT.definition(),
        CREATE_CONTENT.definition(),
        PUBLISH_CONTENT.definition(),
    ],
)
.description("Content: drafted, published, announced");

/// Lists content by page and limit.
pub const LIST_CONTENTS: Operation<(Paged,), PageResponse<Content>> = Operation::get("/api/v1/contents")
    .id("listContents")
    .summary("Lists content, newest first")
    .tag("contents")
    .deprecated(Deprecation::since(2026, 12, 1).sunset(2027, 12, 1).successor("/api/v2/contents"));

/// Lists content by cursor.
pub const LIST_CONTENTS_V2: Operation<(CursorQuery,), CursorPageResponse<Content>> = Operation::get("/api/v2/contents")
    .id("listContentsV2")
    .summary("Lists content, newest first; what is drafted meanwhile moves nothing")
    .tag("contents");

/// One piece of content.
pub const GET_CONTENT: Operation<(Path<ResourceId>,), Json<Content>, ContentError> =
    Operation::get("/api/v1/contents/{id}")
        .id("getContent")
        .summary("One piece of content")
        .tag("contents")
        .errors(&[ContentError::NotFound]);

/// Drafts content.
pub const CREATE_CONTENT: Operation<(Valid<CreateContent>,), Created<Content>> =
    Operation::post("/api/v1/contents").id("createContent").summary("Drafts content").tag("contents").roles(ADMIN);

/// Publishes a draft.
pub const PUBLISH_CONTENT: Operation<(Path<ResourceId>,), Json<Content>, ContentError> =
    Operation::post("/api/v1/contents/{id}/publish")
        .id("publishContent")
        .summary("Publishes a draft, and tells its audience")
        .tag("contents")
        .roles(ADMIN)
        .errors(&[ContentError::NotFound, ContentError::Published]);
