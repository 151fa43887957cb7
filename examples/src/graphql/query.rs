use async_graphql::{Context, ID, Object, Result};
use sap_comm::{ApiError, ErrorCode, PageQuery};

use super::{sources::UserApi, user::User};

/// The schema's queries.
#[derive(Debug, Clone, Copy)]
pub struct Query;

#[Object]
impl Query {
    async fn user(&self, ctx: &Context<'_>, id: ID) -> Result<Option<User>> {
        let user = ctx.data::<UserApi>()?.get_user_by_id(&id).await?;
        Ok(user.map(User::from))
    }

    async fn users(&self, ctx: &Context<'_>, page: Option<i32>, limit: Option<i32>) -> Result<Vec<User>> {
        let users = ctx.data::<UserApi>()?.get_users(page_query(page, limit)?).await?;
        Ok(users.into_iter().map(User::from).collect())
    }
}

/// The page asked for; without a wish the specification's: the first ten.
fn page_query(page: Option<i32>, limit: Option<i32>) -> Result<PageQuery, ApiError> {
    let invalid = |field: &str, message: String| {
        ApiError::new(ErrorCode::INVALID_ARGUMENT, format!("{field} {message}")).detail("field", field)
    };
    let positive = |field, value: Option<i32>, default| match value {
        None => Ok(default),
        Some(value) => u32::try_from(value).map_err(|_| invalid(field, format!("must be at least 1, got {value}"))),
    };
    let PageQuery { page: first, limit: ten } = PageQuery::default();
    let query = PageQuery { page: positive("page", page, first)?, limit: positive("limit", limit, ten)? };
    query.validate().map_err(|(field, message)| invalid(field, message))
}
