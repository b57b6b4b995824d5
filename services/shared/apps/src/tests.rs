use std::sync::{
    Mutex as StdMutex,
    atomic::{AtomicUsize, Ordering},
};

use keystile_contract::{
    Identity,
    proto::vault::v1::{
        AddAppRequest, AddAppResponse, GetAppRequest, GetAppResponse, ListAppsRequest,
        ListAppsResponse, RemoveAppRequest, RemoveAppResponse,
        app_service_server::{AppService, AppServiceServer},
    },
    transport,
};
use keystile_domain::Role;
use keystile_testkit::MockClock;
use tonic::{Response, Status, async_trait, service::Routes};

use super::*;

/// Vault's apps of every team, and how often it was asked.
#[derive(Clone, Default)]
struct Vault {
    apps: Arc<StdMutex<BTreeMap<String, (u64, String)>>>,
    asked: Arc<AtomicUsize>,
    down: Arc<StdMutex<bool>>,
}

fn document(title: &str) -> String {
    format!("openapi: 3.1.0\ninfo: {{ title: {title}, version: '1' }}\npaths: {{}}\n")
}

impl Vault {
    fn put(&self, key: &str, version: u64, title: &str) {
        self.apps.lock().unwrap().insert(key.to_owned(), (version, document(title)));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl AppService for Vault {
    async fn fetch_apps(
        &self,
        request: Request<FetchAppsRequest>,
    ) -> Result<Response<FetchAppsResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.down.lock().unwrap() {
            return Err(Status::unavailable("down"));
        }
        let known = request.into_inner().known;
        let has = |key: &str, version| {
            known.iter().any(|known| known.app_key == key && known.version == version)
        };
        // One document an answer.
        let (mut apps, mut more, mut sent) = (Vec::new(), false, false);
        for (key, (version, text)) in self.apps.lock().unwrap().iter() {
            let known = has(key, *version);
            if !known && sent {
                more = true;
                continue;
            }
            sent |= !known;
            let document = if known { String::new() } else { text.clone() };
            apps.push(FetchedApp { app_key: key.clone(), version: *version, document });
        }
        Ok(Response::new(FetchAppsResponse { apps, more }))
    }

    async fn add_app(&self, _: Request<AddAppRequest>) -> Result<Response<AddAppResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn list_apps(
        &self,
        _: Request<ListAppsRequest>,
    ) -> Result<Response<ListAppsResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn get_app(&self, _: Request<GetAppRequest>) -> Result<Response<GetAppResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn remove_app(
        &self,
        _: Request<RemoveAppRequest>,
    ) -> Result<Response<RemoveAppResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

fn world() -> (Vault, MockClock, Apps) {
    let (vault, clock) = (Vault::default(), MockClock::default());
    let routes = Routes::new(AppServiceServer::new(vault.clone())).prepare();
    let way = transport::local(routes, Identity::Role(Role::Gateway));
    let apps = Apps::new(Catalog::default(), way, Arc::new(clock.clone()));
    (vault, clock, apps)
}

fn team() -> TeamId {
    TeamId::from_uuid(uuid::Uuid::from_u128(1))
}

async fn names(apps: &Apps, age: Duration) -> Result<Vec<String>, ErrorKind> {
    let own = apps.own(team(), age).await.map_err(|failure| failure.kind)?;
    Ok(own.apps().map(|app| app.name.clone()).collect())
}

fn texts(texts: &[&str]) -> Result<Vec<String>, ErrorKind> {
    Ok(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[tokio::test]
async fn a_copy_is_as_young_as_it_is_asked_to_be() {
    let (vault, clock, apps) = world();
    vault.put("a", 1, "First");
    assert_eq!(names(&apps, FRESH).await, texts(&["First"]));
    vault.put("a", 2, "Second");
    vault.put("b", 1, "Other");
    assert_eq!(names(&apps, FRESH).await, texts(&["First"]));
    assert_eq!(vault.asked(), 1);
    clock.advance(FRESH + Duration::from_millis(1));
    // Two documents that are not known, in two answers.
    assert_eq!(names(&apps, FRESH).await, texts(&["Second", "Other"]));
    assert_eq!(vault.asked(), 3);
    vault.apps.lock().unwrap().remove("a");
    clock.advance(Duration::from_millis(1));
    assert_eq!(names(&apps, Duration::ZERO).await, texts(&["Other"]));
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let (vault, _, apps) = world();
    vault.put("a", 1, "First");
    let asks = (0..50).map(|_| names(&apps, Duration::ZERO));
    for answer in futures::future::join_all(asks).await {
        assert_eq!(answer, texts(&["First"]));
    }
    assert_eq!(vault.asked(), 1);
}

#[tokio::test]
async fn without_vault_what_is_known_serves_for_a_while() {
    let (vault, clock, apps) = world();
    *vault.down.lock().unwrap() = true;
    assert_eq!(names(&apps, FRESH).await, Err(ErrorKind::Unavailable));
    *vault.down.lock().unwrap() = false;
    vault.put("a", 1, "First");
    assert_eq!(names(&apps, FRESH).await, texts(&["First"]));
    *vault.down.lock().unwrap() = true;
    clock.advance(Duration::from_mins(9));
    assert_eq!(names(&apps, FRESH).await, texts(&["First"]));
    clock.advance(Duration::from_mins(2));
    assert_eq!(names(&apps, FRESH).await, Err(ErrorKind::Unavailable));
}
