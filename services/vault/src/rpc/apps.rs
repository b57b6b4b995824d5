//! Apps of teams.

use std::collections::BTreeMap;

use keystile_catalog::{App, Report};
use keystile_contract::{
    convert::{parse, timestamp},
    deadline,
    proto::vault::v1::{
        self as proto, AddAppRequest, AddAppResponse, FetchAppsRequest, FetchAppsResponse,
        FetchedApp, GetAppRequest, GetAppResponse, Holder, ListAppsRequest, ListAppsResponse,
        RemoveAppRequest, RemoveAppResponse, ReportLine, app_service_server::AppService,
    },
};
use tonic::{Request, Response, Status, async_trait};
use tracing::instrument;

use super::{Apps, actor_of, convert, refuse};
use crate::apps::{Add, OwnApp};

type Answer<T> = Result<Response<T>, Status>;

fn shown(own: &OwnApp, name: &str, components: usize) -> proto::OwnApp {
    proto::OwnApp {
        app_key: own.key.to_string(),
        version: own.version,
        name: name.to_owned(),
        component_count: u32::try_from(components).unwrap_or(u32::MAX),
        created_at: Some(timestamp(own.created_at)),
        created_by: own.created_by.clone(),
    }
}

fn shown_app(own: &OwnApp, app: &App) -> proto::OwnApp {
    shown(own, &app.name, app.components.len())
}

fn report(report: &Report) -> Vec<ReportLine> {
    let line = |line: &keystile_catalog::Line| ReportLine {
        pointer: line.pointer.clone(),
        problem: line.problem.clone(),
    };
    let omitted = report.omitted();
    let rest = (omitted > 0).then(|| ReportLine {
        pointer: String::new(),
        problem: format!("and {omitted} more that are not listed"),
    });
    report.lines().iter().map(line).chain(rest).collect()
}

fn holders(holders: Vec<(String, String)>) -> Vec<Holder> {
    holders.into_iter().map(|(key_id, name)| Holder { key_id, name }).collect()
}

#[async_trait]
impl AppService for Apps {
    #[instrument(name = "vault.add_app", skip_all)]
    async fn add_app(&self, request: Request<AddAppRequest>) -> Answer<AddAppResponse> {
        let actor = actor_of(&self.0, &request)?;
        let wait = self.0.config.cut_wait(deadline::asked(request.metadata().as_ref()));
        let request = request.into_inner();
        let add = Add {
            key: parse("app_key", &request.app_key)?,
            document: request.document,
            force: request.force,
            dry_run: request.dry_run,
        };
        let added = self.0.add_app(&actor, add, wait).await.map_err(refuse)?;
        Ok(Response::new(AddAppResponse {
            app: Some(shown(&added.own, &added.name, added.component_count)),
            stored: added.stored,
            report: report(&added.report),
            added: added.new.iter().map(ToString::to_string).collect(),
            removed: added.gone.iter().map(ToString::to_string).collect(),
            holders: holders(added.released.holders),
            holder_count: added.released.count,
            outcome: added.released.cut.as_ref().map(convert::deleted),
        }))
    }

    #[instrument(name = "vault.list_apps", skip_all)]
    async fn list_apps(&self, request: Request<ListAppsRequest>) -> Answer<ListAppsResponse> {
        let actor = actor_of(&self.0, &request)?;
        let apps = self.0.list_apps(&actor).await.map_err(refuse)?;
        let apps = apps.iter().map(|(own, app)| shown_app(own, app)).collect();
        Ok(Response::new(ListAppsResponse { apps }))
    }

    #[instrument(name = "vault.get_app", skip_all)]
    async fn get_app(&self, request: Request<GetAppRequest>) -> Answer<GetAppResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let key = parse("app_key", &request.app_key)?;
        let version = Some(request.version).filter(|version| *version > 0);
        let found = self.0.get_app(&actor, &key, version).await.map_err(refuse)?;
        Ok(Response::new(GetAppResponse {
            app: Some(shown_app(&found.own, &found.app)),
            report: report(&found.report),
            document: found.own.document.unwrap_or_default(),
        }))
    }

    #[instrument(name = "vault.remove_app", skip_all)]
    async fn remove_app(&self, request: Request<RemoveAppRequest>) -> Answer<RemoveAppResponse> {
        let actor = actor_of(&self.0, &request)?;
        let wait = self.0.config.cut_wait(deadline::asked(request.metadata().as_ref()));
        let RemoveAppRequest { app_key, force } = request.into_inner();
        let key = parse("app_key", &app_key)?;
        let removed = self.0.remove_app(&actor, &key, force, wait).await.map_err(refuse)?;
        Ok(Response::new(RemoveAppResponse {
            holders: holders(removed.released.holders),
            holder_count: removed.released.count,
            outcome: removed.released.cut.as_ref().map(convert::deleted),
        }))
    }

    #[instrument(name = "vault.fetch_apps", skip_all)]
    async fn fetch_apps(&self, request: Request<FetchAppsRequest>) -> Answer<FetchAppsResponse> {
        let request = request.into_inner();
        let team = parse("team_id", &request.team_id)?;
        let known = request.known.iter().enumerate().map(|(at, known)| {
            parse(&format!("known[{at}].app_key"), &known.app_key).map(|key| (key, known.version))
        });
        let known: BTreeMap<_, _> = known.collect::<Result<_, _>>()?;
        let fetched = self.0.fetch_apps(team, &known).await.map_err(refuse)?;
        let app = |(key, version, document): (keystile_domain::AppKey, u64, Option<String>)| {
            FetchedApp { app_key: key.to_string(), version, document: document.unwrap_or_default() }
        };
        let apps = fetched.apps.into_iter().map(app).collect();
        Ok(Response::new(FetchAppsResponse { apps, more: fetched.more }))
    }
}
