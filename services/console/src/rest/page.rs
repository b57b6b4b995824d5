//! Pages of lists.

use axum::http::StatusCode;
use keystile_runtime::Problem;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// How many items a page has: 1 to 200, 50 unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageSize(u32);

impl PageSize {
    const MOST: u32 = 200;

    /// `size`, if a page can have so many.
    pub(super) fn new(size: u32) -> Option<Self> {
        (1..=Self::MOST).contains(&size).then_some(Self(size))
    }

    /// The number.
    pub(super) const fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for PageSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let size = u32::deserialize(from)?;
        Self::new(size).ok_or_else(|| serde::de::Error::custom("must be between 1 and 200"))
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    /// The items.
    pub(super) items: Vec<T>,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page of a service that writes an empty token on its last page.
    pub(super) fn new(items: Vec<T>, next_page_token: String) -> Self {
        let next_cursor = Some(next_page_token).filter(|token| !token.is_empty());
        Self { items, next_cursor }
    }

    /// The page of a list that is never longer than one.
    pub(super) const fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// A cursor that this API did not give.
pub(super) fn invalid_cursor() -> Problem {
    let detail = "the cursor is not one that this list gave";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_cursor", detail)
}
