use async_graphql::{Context, ID, Object, Result};

use super::{
    inputs::{CreateUserInput, UpdateUserInput},
    sources::UserApi,
    user::User,
};
use crate::contract::rest::CreateUser;

/// The schema's mutations.
#[derive(Debug, Clone, Copy)]
pub struct Mutation;

#[Object]
impl Mutation {
    async fn create_user(&self, ctx: &Context<'_>, input: CreateUserInput) -> Result<User> {
        let input = CreateUser::from(input);
        let user = ctx.data::<UserApi>()?.create_user(&input).await?;
        Ok(User::created(user, input.profile))
    }

    async fn update_user(&self, ctx: &Context<'_>, id: ID, input: UpdateUserInput) -> Result<User> {
        Ok(ctx.data::<UserApi>()?.update_user(&id, &input).await?.into())
    }

    async fn delete_user(&self, ctx: &Context<'_>, id: ID) -> Result<bool> {
        ctx.data::<UserApi>()?.delete_user(&id).await?;
        Ok(true)
    }
}
