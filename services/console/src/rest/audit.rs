//! `/audit`: the trails of issuance, vault and the console as one, newest first.
//!
//! Each trail keeps its own order and its own pages. The cursor says, for each, which page is being
//! read and which row of it was shown last, so that rows which are added meanwhile neither repeat
//! nor hide others.

use std::collections::VecDeque;

use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keystile_contract::{
    Failure, convert,
    proto::{common::v1::AuditEntry, issuance::v1 as issuance, vault::v1 as vault},
};
use keystile_domain::{AuditId, Permission, Role};
use keystile_runtime::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    extract::StrictQuery,
    openapi::Problems,
    outcome::Receipt,
    page::{Page, PageSize, invalid_cursor},
    problem,
};
use crate::{Service, error::Error, store, token_use::Caller};

/// One change.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub(super) struct Entry {
    /// `aud_…`
    id: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// Whose trail it is from: `issuance`, `vault` or `console`.
    role: &'static str,
    /// Who: `user_…`, `mtok_…` or `operator`.
    actor: String,
    /// Who, as shown.
    actor_label: String,
    /// What, for example `key.revoked`.
    action: String,
    /// On what: a prefixed id.
    subject_id: String,
    /// What the subject was called then.
    subject_label: String,
    /// What changed, before; null if nothing was there.
    #[schema(value_type = Object)]
    before: Value,
    /// What changed, after; null if nothing is left.
    #[schema(value_type = Object)]
    after: Value,
    /// The request.
    request_id: String,
    /// Where it came from.
    source_ip: Option<String>,
    /// The change's row in issuance's log.
    seq: Option<u64>,
    /// Of a cut that returned: what it waited for.
    receipt: Option<Receipt>,
}

impl Entry {
    fn key(&self) -> (OffsetDateTime, &str) {
        (self.at, &self.id)
    }

    fn of(role: Role, entry: AuditEntry) -> Result<Self, Problem> {
        let at = entry.at.as_ref().and_then(convert::wall).ok_or_else(Problem::internal)?;
        Ok(Self {
            id: entry.id,
            at,
            role: role.as_str(),
            actor: entry.actor,
            actor_label: entry.actor_label,
            action: entry.action,
            subject_id: entry.subject_id,
            subject_label: entry.subject_label,
            before: json(&entry.before)?,
            after: json(&entry.after)?,
            request_id: entry.request_id,
            source_ip: Some(entry.source_ip).filter(|ip| !ip.is_empty()),
            seq: Some(entry.seq).filter(|seq| *seq != 0),
            receipt: entry.receipt.as_ref().map(Receipt::of),
        })
    }

    fn of_row(row: store::Audit) -> Result<Self, Problem> {
        Ok(Self {
            id: row.id.to_string(),
            at: row.at,
            role: Role::Console.as_str(),
            actor: row.actor,
            actor_label: row.actor_label,
            action: row.action,
            subject_id: row.subject_id,
            subject_label: row.subject_label,
            before: json(&row.before)?,
            after: json(&row.after)?,
            request_id: row.request_id,
            source_ip: Some(row.source_ip).filter(|ip| !ip.is_empty()),
            seq: None,
            receipt: None,
        })
    }
}

fn json(text: &str) -> Result<Value, Problem> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|_| Problem::internal())
}

/// A page of the trail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAudit {
    /// `nextCursor` of the page before; the filter and the size must be the same.
    cursor: Option<String>,
    /// 1 to 200.
    #[serde(default)]
    #[param(value_type = u32)]
    page_size: PageSize,
    /// Only changes of this id.
    subject: Option<String>,
}

/// Where the reading of one trail stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// The page being read.
    #[serde(rename = "p", default, skip_serializing_if = "String::is_empty")]
    page: String,
    /// The row of it that was shown last; empty before the first.
    #[serde(rename = "l", default, skip_serializing_if = "String::is_empty")]
    last: String,
    /// Is the trail read to its end?
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

/// The three trails, in the order of a cursor.
const TRAILS: [Role; 3] = [Role::Issuance, Role::Vault, Role::Console];

type Cursor = [Place; TRAILS.len()];

fn read_cursor(text: Option<&str>) -> Result<Cursor, Problem> {
    let Some(text) = text else { return Ok(Cursor::default()) };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid_cursor())?;
    serde_json::from_slice(&bytes).map_err(|_| invalid_cursor())
}

fn write_cursor(cursor: &Cursor) -> Result<String, Problem> {
    let bytes = serde_json::to_vec(cursor).map_err(|_| Problem::internal())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// One page of one trail, and the token of the next.
struct Slice {
    entries: Vec<Entry>,
    next: String,
}

/// The rows of one trail that are still to be shown, from its place on.
struct Rest {
    place: Place,
    entries: VecDeque<Entry>,
    next: String,
}

struct Reader<'r> {
    service: &'r Service,
    caller: &'r Caller,
    size: u32,
    subject: &'r str,
}

impl Reader<'_> {
    /// Rows after `place`, unless the trail has ended: at least one.
    async fn rest(&self, role: Role, mut place: Place) -> Result<Rest, Problem> {
        let mut rest = Rest { place: place.clone(), entries: VecDeque::new(), next: String::new() };
        if place.ended {
            return Ok(rest);
        }
        loop {
            let slice = self.slice(role, &place.page).await?;
            let shown = slice.entries.iter().position(|entry| entry.id == place.last);
            let known = place.last.is_empty();
            let skip = match shown {
                Some(at) => at + 1,
                None if known => 0,
                // New rows pushed the last one to a later page.
                None => slice.entries.len(),
            };
            if shown.is_some() {
                place.last.clear();
            }
            rest.entries = slice.entries.into_iter().skip(skip).collect();
            rest.place.page.clone_from(&place.page);
            rest.next = slice.next;
            if !rest.entries.is_empty() {
                return Ok(rest);
            }
            if rest.next.is_empty() {
                rest.place.ended = true;
                return Ok(rest);
            }
            place.page.clone_from(&rest.next);
            if place.last.is_empty() {
                rest.place.last.clear();
            }
        }
    }

    async fn slice(&self, role: Role, page: &str) -> Result<Slice, Problem> {
        let peers = self.service.peers();
        let actor = &self.caller.actor;
        let (page_size, page_token) = (self.size, page.to_owned());
        let subject_id = self.subject.to_owned();
        let (entries, next) = match role {
            Role::Issuance => {
                let message = issuance::ListAuditRequest { page_size, page_token, subject_id };
                let request = peers.request(role, actor, message)?;
                let answer = peers.answer(peers.keys().list_audit(request)).await;
                let page = answer.map_err(told)?;
                (page.entries, page.next_page_token)
            }
            Role::Vault => {
                let message = vault::ListAuditRequest { page_size, page_token, subject_id };
                let request = peers.request(role, actor, message)?;
                let answer = peers.answer(peers.connections().list_audit(request)).await;
                let page = answer.map_err(told)?;
                (page.entries, page.next_page_token)
            }
            Role::Console | Role::Verification | Role::Triggers | Role::Gateway => {
                return self.own(page).await;
            }
        };
        let entries = entries.into_iter().map(|entry| Entry::of(role, entry));
        Ok(Slice { entries: entries.collect::<Result<_, _>>()?, next })
    }

    async fn own(&self, page: &str) -> Result<Slice, Problem> {
        let after = Some(page).filter(|page| !page.is_empty()).map(str::parse::<AuditId>);
        let after = after.transpose().map_err(|_| invalid_cursor())?;
        let subject = Some(self.subject).filter(|subject| !subject.is_empty());
        let store = self.service.store();
        let limit = u64::from(self.size);
        let rows =
            store.audit(self.caller.team, after, subject, limit).await.map_err(Error::from)?;
        let full = rows.len() as u64 == limit;
        let next = rows.last().filter(|_| full).map(|row| row.id.to_string()).unwrap_or_default();
        let entries = rows.into_iter().map(Entry::of_row).collect::<Result<_, _>>()?;
        Ok(Slice { entries, next })
    }
}

fn told(failure: Failure) -> Problem {
    problem::of_page(failure)
}

/// The next `size` rows of all trails, newest first; each trail in its own order.
fn merge(rests: &mut [Rest; TRAILS.len()], size: usize) -> Vec<Entry> {
    let mut merged = Vec::new();
    while merged.len() < size {
        let newest = rests
            .iter_mut()
            .filter(|rest| !rest.entries.is_empty())
            .max_by(|one, other| one.entries[0].key().cmp(&other.entries[0].key()));
        let Some(rest) = newest else { break };
        let Some(entry) = rest.entries.pop_front() else { break };
        rest.place.last.clone_from(&entry.id);
        merged.push(entry);
        if rest.entries.is_empty() {
            // What follows is on the next page of this trail; whether it is newer than the rest of
            // the others is not known yet.
            if rest.next.is_empty() {
                rest.place.ended = true;
            } else {
                rest.place = Place { page: rest.next.clone(), ..Place::default() };
                break;
            }
        }
    }
    merged
}

/// What changed, newest first.
#[utoipa::path(
    get, path = "/audit", operation_id = "listAudit", tag = "team", params(ListAudit),
    responses((status = OK, body = Page<Entry>), Problems)
)]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ListAudit>,
) -> Answer<Json<Page<Entry>>> {
    caller.require(Permission::AuditExport).map_err(Error::from)?;
    let [issuance, vault, console] = read_cursor(query.cursor.as_deref())?;
    let reader = Reader {
        service: &service,
        caller: &caller,
        size: query.page_size.get(),
        subject: query.subject.as_deref().unwrap_or_default(),
    };
    let (issuance, vault, console) = tokio::try_join!(
        reader.rest(TRAILS[0], issuance),
        reader.rest(TRAILS[1], vault),
        reader.rest(TRAILS[2], console),
    )?;
    let mut rests = [issuance, vault, console];
    let items = merge(&mut rests, query.page_size.get() as usize);
    let cursor = rests.map(|rest| rest.place);
    let more = cursor.iter().any(|place| !place.ended);
    let next_cursor = if more { Some(write_cursor(&cursor)?) } else { None };
    Ok(Json(Page { items, next_cursor }))
}
