//! `/tokens`: management tokens of the team.

use axum::{Json, extract::State, http::StatusCode};
use keystile_domain::{ManagementTokenId, MemberRole};
use keystile_runtime::http::StrictJson;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    extract::{NoBody, NoIdempotencyKey, NoQuery, PathId, StrictQuery},
    openapi::Problems,
    page::{Page, PageSize, invalid_cursor},
};
use crate::{Service, store, token_use::Caller, tokens::NewToken};

/// A role in a team.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RoleName {
    Viewer,
    Developer,
    Admin,
    Owner,
}

impl RoleName {
    const fn of(role: MemberRole) -> Self {
        match role {
            MemberRole::Viewer => Self::Viewer,
            MemberRole::Developer => Self::Developer,
            MemberRole::Admin => Self::Admin,
            MemberRole::Owner => Self::Owner,
        }
    }

    const fn role(self) -> MemberRole {
        match self {
            Self::Viewer => MemberRole::Viewer,
            Self::Developer => MemberRole::Developer,
            Self::Admin => MemberRole::Admin,
            Self::Owner => MemberRole::Owner,
        }
    }
}

/// A management token. Its text is told once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Token {
    /// `mtok_…`
    id: String,
    /// What people call it.
    name: String,
    /// The most it is worth; never more than its creator's role.
    role: RoleName,
    /// `user_…` who made it.
    created_by: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it stops by itself.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

impl Token {
    fn of(token: store::Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            role: RoleName::of(token.role),
            created_by: token.created_by.to_string(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// A page of tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListTokens {
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// 1 to 200.
    #[serde(default)]
    #[param(value_type = u32)]
    page_size: PageSize,
}

/// Lists management tokens, newest first, revoked ones included.
#[utoipa::path(
    get, path = "/tokens", operation_id = "listTokens", tag = "tokens", params(ListTokens),
    responses((status = OK, body = Page<Token>), Problems)
)]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ListTokens>,
) -> Answer<Json<Page<Token>>> {
    let after = query.cursor.map(|text| text.parse::<ManagementTokenId>()).transpose();
    let after = after.map_err(|_| invalid_cursor())?;
    let size = query.page_size.get();
    // One more than asked for tells whether there is another page.
    let mut tokens = service.list_tokens(&caller, after, u64::from(size) + 1).await?;
    let more = tokens.len() > size as usize;
    tokens.truncate(size as usize);
    let next_cursor = tokens.last().filter(|_| more).map(|token| token.id.to_string());
    Ok(Json(Page { items: tokens.into_iter().map(Token::of).collect(), next_cursor }))
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateToken {
    /// 1 to 200 characters.
    name: String,
    /// The most it shall be worth; not above your own role.
    role: RoleName,
    /// In the future; absent is never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// A token and its text.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedToken {
    #[serde(flatten)]
    info: Token,
    /// `ksm_…`: shown here and never again.
    token: String,
}

/// Makes a management token.
#[utoipa::path(
    post, path = "/tokens", operation_id = "createToken", tag = "tokens", request_body = CreateToken,
    responses((status = CREATED, body = CreatedToken), Problems)
)]
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    _: NoIdempotencyKey,
    StrictJson(body): StrictJson<CreateToken>,
) -> Answer<(StatusCode, Json<CreatedToken>)> {
    let new = NewToken { name: body.name, role: body.role.role(), expires_at: body.expires_at };
    let (token, text) = service.create_token(&caller, new).await?;
    let body = CreatedToken { info: Token::of(token), token: text.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Revokes a management token: it opens nothing from the next request on.
#[utoipa::path(
    delete, path = "/tokens/{id}", operation_id = "revokeToken", tag = "tokens",
    params(("id" = String, Path, description = "`mtok_…`")),
    responses((status = OK, body = Token), Problems)
)]
pub(super) async fn revoke(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathId(id): PathId<ManagementTokenId>,
    _: NoBody,
) -> Answer<Json<Token>> {
    let token = service.revoke_token(&caller, id).await?;
    Ok(Json(Token::of(token)))
}
