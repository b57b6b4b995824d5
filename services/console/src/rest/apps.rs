//! `/apps`: what a grant can name.

use std::time::Duration;

use axum::{Json, extract::State};
use keystile_catalog::{App, AuthScheme, Catalog, Component, KeyPlace, OAuth2, Server};
use keystile_contract::Failure;
use keystile_domain::{AppKey, Permission};
use keystile_runtime::Problem;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Answer,
    extract::{NoQuery, PathApp},
    openapi::Problems,
    page::Page,
    problem::{self, not_found},
};
use crate::{Error, Service, token_use::Caller};

/// An app.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppSummary {
    key: String,
    name: String,
    description: String,
    /// A `data:image/` URI or the text of an SVG, to be shown as an image.
    icon: Option<String>,
    /// Does an action need a connection?
    needs_connection: bool,
    auth_schemes: Vec<Scheme>,
    component_count: usize,
}

/// One way to connect.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AuthScheme)]
pub(super) enum Scheme {
    /// A secret in a header or in the query.
    ApiKey {
        /// `header` or `query`.
        place: &'static str,
        name: String,
    },
    /// Several secrets, all of them together.
    Fields {
        /// Each of them.
        fields: Vec<SchemeField>,
    },
    /// User and password.
    Basic,
    /// A token in `Authorization`.
    Bearer,
    /// OAuth 2, through an integration.
    #[serde(rename_all = "camelCase")]
    Oauth2 {
        /// What the app offers: `authorization_code`, `client_credentials`.
        grant_types: Vec<&'static str>,
        /// What can be asked for.
        scopes: Vec<Scope>,
    },
    /// `OpenID` Connect, through an integration. Its provider says what it offers only when an
    /// integration is checked.
    OpenIdConnect { url: String },
}

/// One secret of several.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthField)]
pub(super) struct SchemeField {
    /// What the app's document calls it: its name in `credential.fields`.
    label: String,
    /// `header` or `query`.
    place: &'static str,
    /// The header or parameter.
    name: String,
}

/// A permission that can be asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthScope)]
pub(super) struct Scope {
    scope: String,
    /// What it allows, as the app's document says; may be empty.
    description: String,
}

const fn place(place: KeyPlace) -> &'static str {
    match place {
        KeyPlace::Header => "header",
        KeyPlace::Query => "query",
    }
}

fn grant_types(oauth: &OAuth2) -> Vec<&'static str> {
    let code = oauth.authorization_code.as_ref().map(|_| "authorization_code");
    let client = oauth.client_credentials.as_ref().map(|_| "client_credentials");
    code.into_iter().chain(client).collect()
}

impl Scheme {
    fn of(scheme: &AuthScheme) -> Self {
        match scheme {
            AuthScheme::ApiKey { place: at, name } => {
                Self::ApiKey { place: place(*at), name: name.clone() }
            }
            AuthScheme::Fields(fields) => {
                let fields = fields.iter().map(|field| SchemeField {
                    label: field.label.clone(),
                    place: place(field.place),
                    name: field.name.clone(),
                });
                Self::Fields { fields: fields.collect() }
            }
            AuthScheme::Basic => Self::Basic,
            AuthScheme::Bearer => Self::Bearer,
            AuthScheme::OAuth2(oauth) => {
                let scopes = oauth.scopes().into_iter().map(|(scope, description)| Scope {
                    scope: scope.to_owned(),
                    description: description.to_owned(),
                });
                Self::Oauth2 { grant_types: grant_types(oauth), scopes: scopes.collect() }
            }
            AuthScheme::OpenIdConnect(connect) => {
                Self::OpenIdConnect { url: connect.url.to_string() }
            }
        }
    }
}

impl AppSummary {
    fn of(app: &App) -> Self {
        Self {
            key: app.key.to_string(),
            name: app.name.clone(),
            description: app.description.clone(),
            icon: app.icon.clone(),
            needs_connection: app.needs_connection(),
            auth_schemes: app.security.iter().map(Scheme::of).collect(),
            component_count: app.components.len(),
        }
    }
}

/// One action or trigger.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Component)]
pub(super) struct ComponentView {
    /// For example `action.gmail.send-email`.
    id: String,
    /// `action` or `trigger`.
    kind: &'static str,
    name: String,
    description: String,
    /// JSON Schema of the inputs.
    #[schema(value_type = Object)]
    inputs: Value,
    /// JSON Schema of what it answers or delivers.
    #[schema(value_type = Object)]
    outputs: Value,
    /// The inputs that must be there.
    required: Vec<String>,
    /// The OAuth scopes that the connection must hold.
    scopes: Vec<String>,
    /// The page of the provider's reference.
    reference: Option<String>,
}

impl ComponentView {
    fn of(component: &Component) -> Self {
        Self {
            id: component.id.to_string(),
            kind: component.kind.as_str(),
            name: component.name.clone(),
            description: component.description.clone(),
            inputs: component.inputs.clone(),
            outputs: component.outputs.clone(),
            required: component.required.clone(),
            scopes: component.scopes.clone(),
            reference: component.reference.as_ref().map(ToString::to_string),
        }
    }
}

/// A variable of an app's address, given with a connection.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerVariable)]
pub(super) struct VariableView {
    name: String,
    description: String,
    /// The allowed values; empty: one DNS label.
    choices: Vec<String>,
    default: Option<String>,
}

/// An app with all that it can do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppDetails {
    #[serde(flatten)]
    summary: AppSummary,
    server_variables: Vec<VariableView>,
    components: Vec<ComponentView>,
}

fn vault_says(failure: Failure) -> Problem {
    problem::of(failure, &[])
}

/// Lists the apps, those of the team among them.
#[utoipa::path(
    get, path = "/apps", operation_id = "listApps", tag = "apps",
    responses((status = OK, body = Page<AppSummary>), Problems)
)]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
) -> Answer<Json<Page<AppSummary>>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let own = service.apps().own(caller.team, Duration::ZERO).await.map_err(vault_says)?;
    let shipped = service.apps().shipped();
    let all = Catalog::sharing(shipped.apps().chain(own.apps()).cloned());
    Ok(Json(Page::whole(all.apps().map(|app| AppSummary::of(app)).collect())))
}

/// One app with its components and their schemas.
#[utoipa::path(
    get, path = "/apps/{appKey}", operation_id = "getApp", tag = "apps",
    params(("appKey" = String, Path, example = "sandbox")),
    responses((status = OK, body = AppDetails), Problems)
)]
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathApp(key): PathApp<AppKey>,
) -> Answer<Json<AppDetails>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let shipped = service.apps().shipped().app(&key).cloned();
    let app = if shipped.is_some() {
        shipped
    } else {
        let own = service.apps().own(caller.team, Duration::ZERO).await;
        own.map_err(vault_says)?.app(&key).cloned()
    };
    let app = app.ok_or_else(not_found)?;
    let variables = app.server.iter().flat_map(Server::variables);
    let variables = variables.map(|variable| VariableView {
        name: variable.name.clone(),
        description: variable.description.clone(),
        choices: variable.choices.clone(),
        default: variable.default.clone(),
    });
    Ok(Json(AppDetails {
        summary: AppSummary::of(&app),
        server_variables: variables.collect(),
        components: app.components.values().map(ComponentView::of).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DOCUMENT: &str = r#"
openapi: 3.1.0
info: { title: All, version: "1" }
servers: [{ url: "https://api.example.com" }]
paths:
  /me:
    get:
      operationId: me
      security:
        - oauth: [read]
        - bearer: []
        - site: []
          key: []
      responses: { "200": { description: You. } }
components:
  securitySchemes:
    bearer: { type: http, scheme: bearer }
    key: { type: apiKey, in: header, name: X-Key }
    site: { type: apiKey, in: query, name: site_id }
    oauth:
      type: oauth2
      flows:
        authorizationCode:
          authorizationUrl: https://example.com/authorize
          tokenUrl: https://example.com/token
          scopes: { read: Read all of it., write: "" }
        clientCredentials:
          tokenUrl: https://example.com/token
          scopes: { read: Read all of it. }
"#;

    #[test]
    fn an_app_says_how_it_is_connected() {
        let key = "all".parse().expect("a key");
        let (app, _) = App::parse(key, DOCUMENT).expect("an app");
        let told = serde_json::to_value(AppSummary::of(&app)).expect("JSON");
        let expected = json!([
            {"type": "bearer"},
            {
                "type": "oauth2",
                "grantTypes": ["authorization_code", "client_credentials"],
                "scopes": [
                    {"scope": "read", "description": "Read all of it."},
                    {"scope": "write", "description": ""},
                ],
            },
            {
                "type": "fields",
                "fields": [
                    {"label": "key", "place": "header", "name": "X-Key"},
                    {"label": "site", "place": "query", "name": "site_id"},
                ],
            },
        ]);
        assert_eq!(told["authSchemes"], expected);
    }
}
