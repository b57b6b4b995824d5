//! Listing keys, a page at a time.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use keystile_contract::Failure;
use keystile_domain::{Actor, AppKey, Environment, KeyId, Permission, facts::KeyStatus};
use keystile_sql as sql;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Service, page_size,
    store::{After, KeyQuery, KeyRecord, KeySort, fold},
};

/// The longest text to filter by, characters: no name is longer.
const MAX_FILTER: usize = 200;

/// Which page of the list.
#[derive(Debug, Clone)]
pub struct ListKeys {
    /// 1 to 200; 0 is 50.
    pub page_size: u32,
    /// The token of the page before; empty begins.
    pub page_token: String,
    /// Only names that contain this, ignoring case; empty is all.
    pub name_contains: String,
    /// Only this environment.
    pub environment: Option<Environment>,
    /// Only this state.
    pub status: Option<KeyStatus>,
    /// Only keys with a grant for this app.
    pub app: Option<AppKey>,
    /// The order.
    pub sort: KeySort,
}

/// A page of keys.
#[derive(Debug, Clone)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<KeyRecord>,
    /// Empty on the last page.
    pub next_page_token: String,
}

/// A page token: where the next page begins. Opaque to callers and worth nothing to them: the team
/// comes from the actor.
#[derive(Serialize, Deserialize)]
enum Cursor {
    Created(i64, KeyId),
    Name(String, KeyId),
}

impl Service {
    /// A page of the keys of the actor's team that are not deleted.
    ///
    /// # Errors
    /// A refusal that names the field at fault.
    #[tracing::instrument(name = "issuance.list_keys", skip_all)]
    pub async fn list_keys(&self, actor: &Actor, list: ListKeys) -> Result<KeyPage, Error> {
        let team = actor.require(Permission::Read)?;
        let limit = page_size(list.page_size)?;
        let after = match list.page_token.as_str() {
            "" => None,
            token => Some(read(token, list.sort)?),
        };
        let query = KeyQuery {
            team,
            // One more, to know whether there is a next page.
            limit: limit + 1,
            after,
            name_contains: filter(&list.name_contains)?,
            environment: list.environment,
            status: list.status,
            app: list.app,
            sort: list.sort,
        };
        let mut keys = self.store.list_keys(&query).await?;
        let more = keys.len() as u64 > limit;
        keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let last = keys.last().filter(|_| more);
        let next_page_token = last.map(|last| write(last, list.sort)).unwrap_or_default();
        Ok(KeyPage { keys, next_page_token })
    }
}

fn filter(text: &str) -> Result<Option<String>, Failure> {
    if text.chars().count() > MAX_FILTER {
        return Err(Failure::invalid("name_contains", "must have at most 200 characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(Failure::invalid("name_contains", "must not contain control characters"));
    }
    Ok((!text.is_empty()).then(|| fold(text)))
}

fn write(last: &KeyRecord, sort: KeySort) -> String {
    let cursor = match sort {
        KeySort::CreatedDesc | KeySort::CreatedAsc => {
            Cursor::Created(sql::micros(last.created_at), last.id)
        }
        KeySort::NameAsc | KeySort::NameDesc => Cursor::Name(fold(last.name.as_str()), last.id),
    };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
}

fn read(token: &str, sort: KeySort) -> Result<After, Failure> {
    let cursor = URL_SAFE_NO_PAD.decode(token).ok().and_then(|json| {
        let cursor: Cursor = serde_json::from_slice(&json).ok()?;
        match (cursor, sort) {
            (Cursor::Created(at, id), KeySort::CreatedDesc | KeySort::CreatedAsc) => {
                sql::from_micros(at).ok().map(|at| After::Created(at, id))
            }
            (Cursor::Name(name, id), KeySort::NameAsc | KeySort::NameDesc)
                if !name.chars().any(char::is_control) =>
            {
                Some(After::Name(name, id))
            }
            _ => None,
        }
    });
    cursor.ok_or_else(|| Failure::invalid("page_token", "is not a token of this list"))
}
