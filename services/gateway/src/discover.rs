//! Discovery: the apps and components that this key may use, and nothing of the rest.
//!
//! What a key was granted and the catalog no longer has is left out.

use std::collections::BTreeSet;

use axum::{Json, extract::State};
use keystile_apps::FRESH;
use keystile_catalog::{App, Catalog};
use keystile_domain::{AppKey, Grant};
use keystile_runtime::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Service,
    enforce::{Permit, unavailable},
    item::Item,
    key::Key,
    openapi::{ComponentProblems, KeyProblems},
    query::{NoParameters, StrictQuery},
};

/// An app.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = App)]
pub(crate) struct AppView {
    /// What a person calls it.
    #[schema(example = "Gmail")]
    name: String,
    /// An image as a data URI, or an SVG to be shown as an image and never as markup.
    icon: Option<String>,
    /// Its key.
    #[schema(example = "gmail")]
    key: String,
}

impl From<&App> for AppView {
    fn from(app: &App) -> Self {
        Self { name: app.name.clone(), icon: app.icon.clone(), key: app.key.to_string() }
    }
}

/// An action or trigger.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Component)]
pub(crate) struct ComponentView {
    /// Its id.
    #[schema(example = "action.gmail.send-email")]
    id: String,
    /// What a person calls it.
    name: String,
    /// What it does, in one line.
    desc: String,
    /// The app.
    #[schema(example = "gmail")]
    app_key: String,
    /// What a person calls the app.
    app_name: String,
    /// The app's icon.
    icon: Option<String>,
    /// JSON Schema 2020-12 of the inputs: an object without other properties, and without `$ref`.
    inputs: Value,
    /// JSON Schema 2020-12 of what it answers or delivers.
    outputs: Value,
    /// The inputs that must be there.
    required: Vec<String>,
}

impl From<&Item> for ComponentView {
    fn from(item: &Item) -> Self {
        let (app, component) = (item.app(), item.component());
        Self {
            id: component.id.to_string(),
            name: component.name.clone(),
            desc: component.description.lines().next().unwrap_or_default().to_owned(),
            app_key: app.key.to_string(),
            app_name: app.name.clone(),
            icon: app.icon.clone(),
            inputs: component.inputs.clone(),
            outputs: component.outputs.clone(),
            required: component.required.clone(),
        }
    }
}

/// An action or trigger with everything that is known about it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComponentDetails {
    #[serde(flatten)]
    component: ComponentView,
    /// What it does, in full.
    description: String,
    /// `action`: run it. `trigger`: it delivers events.
    #[schema(example = "action", pattern = "^(action|trigger)$")]
    kind: &'static str,
    /// The provider's own page about it.
    #[schema(example = "https://developers.google.com/gmail/api/reference/rest")]
    reference: Option<String>,
    /// The OAuth scopes that the connected account must have granted.
    scopes: Vec<String>,
}

/// What `list` may be narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only components of this app.
    #[param(value_type = Option<String>, example = "gmail")]
    app: Option<AppKey>,
}

/// The apps that the key's grants can name. Its team's own are asked for only if one is not shipped.
async fn catalog(service: &Service, key: &Key) -> Result<Catalog, Problem> {
    let shipped = service.apps().shipped();
    if key.grants.iter().all(|grant| shipped.app(grant.app()).is_some()) {
        return Ok(shipped.clone());
    }
    let own = service.apps().own(key.team, FRESH).await.map_err(|why| unavailable(&why))?;
    Ok(Catalog::sharing(own.apps().chain(shipped.apps()).cloned()))
}

/// The apps that this key may use, by key.
#[utoipa::path(
    get,
    path = "/api/v1/components/apps",
    operation_id = "listApps",
    tag = "components",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = OK, description = "The apps.", body = Vec<AppView>), KeyProblems)
)]
pub(crate) async fn apps(
    State(service): State<Service>,
    key: Key,
    _: StrictQuery<NoParameters>,
) -> Result<Json<Vec<AppView>>, Problem> {
    let granted: BTreeSet<&AppKey> = key.grants.iter().map(Grant::app).collect();
    let catalog = catalog(&service, &key).await?;
    let known = granted.into_iter().filter_map(|app| catalog.app(app));
    Ok(Json(known.map(|app| AppView::from(&**app)).collect()))
}

/// The components that this key may use, by id.
#[utoipa::path(
    get,
    path = "/api/v1/components/list",
    operation_id = "listComponents",
    tag = "components",
    params(ListQuery),
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (status = OK, description = "The components.", body = Vec<ComponentView>),
        KeyProblems
    )
)]
pub(crate) async fn list(
    State(service): State<Service>,
    key: Key,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Vec<ComponentView>>, Problem> {
    let wanted = |app: &AppKey| query.app.as_ref().is_none_or(|only| only == app);
    let granted = key.grants.iter().filter(|grant| wanted(grant.app()));
    let granted: BTreeSet<_> = granted.flat_map(Grant::components).collect();
    let catalog = catalog(&service, &key).await?;
    let known = granted.into_iter().filter_map(|id| Item::of(&catalog, id));
    Ok(Json(known.map(|item| ComponentView::from(&item)).collect()))
}

/// One component that this key may use.
#[utoipa::path(
    get,
    path = "/api/v1/components/details/{componentId}",
    operation_id = "getComponent",
    tag = "components",
    params(("componentId" = String, Path, example = "action.gmail.send-email")),
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (status = OK, description = "The component.", body = ComponentDetails),
        ComponentProblems
    )
)]
pub(crate) async fn details(
    permit: Permit,
    _: StrictQuery<NoParameters>,
) -> Json<ComponentDetails> {
    let component = permit.item().component();
    Json(ComponentDetails {
        component: permit.item().into(),
        description: component.description.clone(),
        kind: component.kind.as_str(),
        reference: component.reference.as_ref().map(ToString::to_string),
        scopes: component.scopes.clone(),
    })
}
