//! The notes API. Every answer is of the account that the token opens.

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::IntoResponse,
    routing::{get, post},
};
use http::StatusCode;
use keystile_domain::{base62, entropy};
use keystile_runtime::{Problem, http::StrictJson, problem::Fault};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    Answer, Server,
    bearer::{Holder, Reader, Writer},
    notes::Note,
};

const MAX_TITLE: usize = 200;
const MAX_TEXT: usize = 10_000;
const MAX_TAG: usize = 40;
const MAX_TAGS: usize = 10;
const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: usize = 100;

pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/notes", get(list_notes).post(create_note))
        .route("/notes/{noteId}", get(get_note).delete(delete_note))
        .route("/echo", post(echo))
        .route("/me", get(who_am_i))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListNotes {
    limit: Option<usize>,
    tag: Option<String>,
}

#[derive(Serialize)]
struct Notes {
    notes: Vec<Note>,
}

async fn list_notes(
    State(server): State<Server>,
    Reader(account): Reader,
    query: Result<Query<ListNotes>, QueryRejection>,
) -> Answer<Json<Notes>> {
    let Ok(Query(query)) = query else { return Err(bad_query("limit and tag only")) };
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad_query("limit must be from 1 to 100"));
    }
    if query.tag.as_ref().is_some_and(|tag| !length(tag, 1, MAX_TAG)) {
        return Err(bad_query("tag must have 1 to 40 characters"));
    }
    let notes = server.accounts().newest(&account, query.tag.as_deref(), limit);
    Ok(Json(Notes { notes }))
}

fn bad_query(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNote {
    title: String,
    body: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl NewNote {
    fn check(&self) -> Answer<()> {
        let mut faults = Vec::new();
        let mut fault = |pointer: String, detail: &str| {
            faults.push(Fault { pointer, detail: detail.to_owned() });
        };
        if !length(&self.title, 1, MAX_TITLE) {
            fault("/title".to_owned(), "must have 1 to 200 characters");
        }
        if self.body.as_ref().is_some_and(|body| !length(body, 0, MAX_TEXT)) {
            fault("/body".to_owned(), "must have at most 10000 characters");
        }
        if self.tags.len() > MAX_TAGS {
            fault("/tags".to_owned(), "must have at most 10 items");
        }
        for (at, tag) in self.tags.iter().enumerate().take(MAX_TAGS) {
            if !length(tag, 1, MAX_TAG) {
                fault(format!("/tags/{at}"), "must have 1 to 40 characters");
            } else if self.tags[..at].contains(tag) {
                fault(format!("/tags/{at}"), "must not repeat");
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Problem::faults(&faults)) }
    }
}

/// JSON Schema counts characters.
fn length(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count())
}

async fn create_note(
    State(server): State<Server>,
    Writer(account): Writer,
    StrictJson(new): StrictJson<NewNote>,
) -> Answer<impl IntoResponse> {
    new.check()?;
    let digits = base62::encode::<8, 11>(&entropy::bytes(&*server.0.entropy));
    let note = Note {
        id: "note_".chars().chain(digits.into_iter().map(char::from)).collect(),
        title: new.title,
        body: new.body,
        tags: new.tags,
        created_at: server.0.clock.now(),
    };
    server.accounts().add(&account, note.clone());
    Ok((StatusCode::CREATED, Json(note)))
}

async fn get_note(
    State(server): State<Server>,
    Reader(account): Reader,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<Note>> {
    let id = id.map_err(|_| no_such_note())?;
    server.accounts().get(&account, &id).map(Json).ok_or_else(no_such_note)
}

async fn delete_note(
    State(server): State<Server>,
    Writer(account): Writer,
    id: Result<Path<String>, PathRejection>,
) -> Answer<StatusCode> {
    let id = id.map_err(|_| no_such_note())?;
    let removed = server.accounts().remove(&account, &id);
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_note()) }
}

fn no_such_note() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such note")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Echoed {
    message: String,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
}

async fn echo(
    State(server): State<Server>,
    _: Holder,
    StrictJson(echo): StrictJson<Echo>,
) -> Answer<Json<Echoed>> {
    if !length(&echo.message, 0, MAX_TEXT) {
        let detail = "must have at most 10000 characters".to_owned();
        return Err(Problem::faults(&[Fault { pointer: "/message".to_owned(), detail }]));
    }
    Ok(Json(Echoed { message: echo.message, received_at: server.0.clock.now() }))
}

#[derive(Serialize)]
struct Me {
    account: String,
}

async fn who_am_i(Holder(account): Holder) -> Json<Me> {
    Json(Me { account })
}
