//! `/apps/{appKey}/connections`: which accounts can serve what a grant would allow.

use axum::{Json, extract::State, http::StatusCode};
use keystile_contract::{
    Failure,
    proto::vault::v1::{self as proto, MatchConnectionsRequest},
};
use keystile_domain::{AppKey, ComponentId, Permission, Role};
use keystile_runtime::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::view::Connection;
use crate::{
    Error, Service,
    rest::{
        Answer,
        extract::{PathApp, StrictQuery},
        openapi::Problems,
        page::{Page, PageSize},
        problem,
    },
    token_use::Caller,
};

/// A page of an app's connections, for components of the app.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(try_from = "Vec<(String, String)>")]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct MatchConnections {
    /// What the connection is to serve: ids of the app's components, 1 to 1000, one a parameter.
    component: Vec<String>,
    /// `nextCursor` of the page before; the components must be the same.
    cursor: Option<String>,
    /// 1 to 200.
    #[param(value_type = Option<u32>)]
    page_size: Option<PageSize>,
}

impl TryFrom<Vec<(String, String)>> for MatchConnections {
    type Error = &'static str;

    /// Only `component` may be repeated.
    fn try_from(parameters: Vec<(String, String)>) -> Result<Self, Self::Error> {
        let mut query = Self::default();
        for (name, value) in parameters {
            match name.as_str() {
                "component" => {
                    let id: ComponentId = value.parse().map_err(|_| "not a component")?;
                    query.component.push(id.to_string());
                }
                "cursor" if query.cursor.is_none() => query.cursor = Some(value),
                "page_size" if query.page_size.is_none() => {
                    let size = value.parse().ok().and_then(PageSize::new);
                    query.page_size = Some(size.ok_or("must be between 1 and 200")?);
                }
                _ => return Err("unknown or repeated"),
            }
        }
        Ok(query)
    }
}

/// A connection and what is in its way.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionMatch)]
pub(in crate::rest) struct Match {
    connection: Connection,
    /// Can it serve all of the components?
    usable: bool,
    /// Why not; empty if it can.
    problems: Vec<Obstacle>,
}

/// What is in the way of a connection.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionObstacle)]
pub(in crate::rest) struct Obstacle {
    /// The component; null if it concerns the connection as a whole.
    component: Option<String>,
    /// `expired`, `revoked`, `failing`, `missing_scopes` or `integration_disabled`.
    code: String,
    /// One sentence for a person.
    detail: String,
}

impl Match {
    fn of(found: proto::ConnectionMatch) -> Result<Self, Problem> {
        let problems = found.problems.into_iter().map(|problem| Obstacle {
            component: Some(problem.component).filter(|id| !id.is_empty()),
            code: problem.code,
            detail: problem.detail,
        });
        let problems: Vec<_> = problems.collect();
        let connection = Connection::of(found.connection)?;
        Ok(Self { connection, usable: problems.is_empty(), problems })
    }
}

/// Lists an app's connections, newest first, each with what is in the way of its serving the
/// components: what saving such a grant would be refused for.
#[utoipa::path(
    get, path = "/apps/{appKey}/connections", operation_id = "matchConnections",
    tag = "connections",
    params(("appKey" = String, Path, example = "sandbox"), MatchConnections),
    responses((status = OK, body = Page<Match>), Problems)
)]
pub(in crate::rest) async fn list(
    State(service): State<Service>,
    caller: Caller,
    PathApp(app): PathApp<AppKey>,
    StrictQuery(query): StrictQuery<MatchConnections>,
) -> Answer<Json<Page<Match>>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    if query.component.is_empty() {
        return Err(invalid("is required"));
    }
    let message = MatchConnectionsRequest {
        app_key: app.to_string(),
        components: query.component,
        page_size: query.page_size.unwrap_or_default().get(),
        page_token: query.cursor.unwrap_or_default(),
    };
    let peers = service.peers();
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let answer = peers.answer(peers.connections().match_connections(request)).await;
    let page = answer.map_err(refused)?;
    let items = page.matches.into_iter().map(Match::of);
    Ok(Json(Page::new(items.collect::<Result<_, _>>()?, page.next_page_token)))
}

/// The components are one parameter here, which is repeated.
fn refused(failure: Failure) -> Problem {
    match failure.faults.iter().find(|fault| fault.field.starts_with("components")) {
        Some(fault) => invalid(&fault.message),
        None => problem::of_page(failure),
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", format!("component: {detail}"))
}
