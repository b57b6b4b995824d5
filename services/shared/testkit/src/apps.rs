//! A double of vault's apps: what roles follow that serve them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use keystile_contract::proto::vault::v1::{
    AddAppRequest, AddAppResponse, FetchAppsRequest, FetchAppsResponse, FetchedApp, GetAppRequest,
    GetAppResponse, ListAppsRequest, ListAppsResponse, RemoveAppRequest, RemoveAppResponse,
    app_service_server::AppService,
};
use tonic::{Request, Response, Status, async_trait};

/// The apps of every team. Each answer brings at most one document. Clones share everything.
#[derive(Clone, Default)]
pub struct AppsDouble {
    apps: Arc<Mutex<BTreeMap<String, (u64, String)>>>,
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl AppsDouble {
    fn apps(&self) -> MutexGuard<'_, BTreeMap<String, (u64, String)>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a version of an app.
    pub fn put(&self, key: &str, version: u64, document: &str) {
        self.apps().insert(key.to_owned(), (version, document.to_owned()));
    }

    /// Removes an app.
    pub fn remove(&self, key: &str) {
        self.apps().remove(key);
    }

    /// From now on it answers, or not.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl AppService for AppsDouble {
    async fn fetch_apps(
        &self,
        request: Request<FetchAppsRequest>,
    ) -> Result<Response<FetchAppsResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("down"));
        }
        let known = request.into_inner().known;
        let has = |key: &str, version| {
            known.iter().any(|known| known.app_key == key && known.version == version)
        };
        let (mut apps, mut more, mut sent) = (Vec::new(), false, false);
        for (key, (version, text)) in self.apps().iter() {
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
        Err(Status::unimplemented("nobody asks this double"))
    }

    async fn list_apps(
        &self,
        _: Request<ListAppsRequest>,
    ) -> Result<Response<ListAppsResponse>, Status> {
        Err(Status::unimplemented("nobody asks this double"))
    }

    async fn get_app(&self, _: Request<GetAppRequest>) -> Result<Response<GetAppResponse>, Status> {
        Err(Status::unimplemented("nobody asks this double"))
    }

    async fn remove_app(
        &self,
        _: Request<RemoveAppRequest>,
    ) -> Result<Response<RemoveAppResponse>, Status> {
        Err(Status::unimplemented("nobody asks this double"))
    }
}
