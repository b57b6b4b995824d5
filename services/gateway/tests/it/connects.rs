//! A double of vault's connect flows that knows one ticket and one cookie, and remembers what it was
//! asked.

use std::sync::{Arc, Mutex};

use keystile_contract::{
    Failure,
    convert::timestamp,
    proto::vault::v1::{
        BeginConnectRequest, BeginConnectResponse, CompleteConnectRequest, CompleteConnectResponse,
        ConnectResult, OpenConnectRequest, OpenConnectResponse, RequestedScope,
        StartConnectRequest, StartConnectResponse, connect_service_server::ConnectService,
    },
};
use keystile_domain::ErrorKind;
use tonic::{Request, Response, Status};

pub(crate) const INTEGRATION: &str = "int_0000000000e008000000000004";
pub(crate) const OTHER: &str = "int_0000000000e008000000000005";
pub(crate) const TICKET: &str = "canaryTicket-_x1";
pub(crate) const COOKIE: &str = "canaryCookie-_x2";
pub(crate) const STATE: &str = "canaryState-_x3";
pub(crate) const CODE: &str = "canaryCode/+ x4";
/// The same in a query.
pub(crate) const CODE_IN_QUERY: &str = "canaryCode%2F%2B+x4";
pub(crate) const AUTHORIZE: &str = "https://provider.example/authorize?state=canaryState-_x3";

pub(crate) fn unknown() -> Status {
    Failure::new(ErrorKind::NotFound, "connect_unknown", "unknown").into()
}

type End = Box<dyn Fn(&CompleteConnectRequest) -> Result<CompleteConnectResponse, Status> + Send>;

#[derive(Default)]
struct State {
    opened: Vec<OpenConnectRequest>,
    begun: Vec<BeginConnectRequest>,
    completed: Vec<CompleteConnectRequest>,
    asks: Option<OpenConnectResponse>,
    end: Option<End>,
    trouble: Option<Status>,
}

/// Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Connects(Arc<Mutex<State>>);

/// A consent as people see it.
pub(crate) fn asks() -> OpenConnectResponse {
    let scope = |scope: &str, description: &str| RequestedScope {
        scope: scope.to_owned(),
        description: description.to_owned(),
    };
    OpenConnectResponse {
        cookie: String::new(),
        requester: "ada@example.com".to_owned(),
        app_key: "gmail".to_owned(),
        app_name: "Gmail".to_owned(),
        integration_name: "Gmail for support".to_owned(),
        connection_name: "Support inbox".to_owned(),
        reconnect: false,
        scopes: vec![
            scope("https://www.googleapis.com/auth/gmail.send", "Send email on your behalf"),
            scope("https://www.googleapis.com/auth/gmail.readonly", "View your email messages"),
            scope("profile", ""),
        ],
        expires_at: Some(timestamp(super::support::NOW + time::Duration::seconds(570))),
    }
}

/// A flow that ended well.
pub(crate) fn connected() -> CompleteConnectResponse {
    CompleteConnectResponse {
        result: ConnectResult::Connected.into(),
        connection_id: "conn_0000000000e008000000000003".to_owned(),
        connection_name: "Support inbox".to_owned(),
        app_name: "Gmail".to_owned(),
        ..CompleteConnectResponse::default()
    }
}

/// A flow that did not work.
pub(crate) fn failed(reason: &str, detail: &str) -> CompleteConnectResponse {
    CompleteConnectResponse {
        result: ConnectResult::Failed.into(),
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        app_name: "Gmail".to_owned(),
        ..CompleteConnectResponse::default()
    }
}

impl Connects {
    /// From now on this is asked.
    pub(crate) fn ask(&self, asks: OpenConnectResponse) {
        self.0.lock().unwrap().asks = Some(asks);
    }

    /// From now on flows end so.
    pub(crate) fn end(
        &self,
        end: impl Fn(&CompleteConnectRequest) -> Result<CompleteConnectResponse, Status>
        + Send
        + 'static,
    ) {
        self.0.lock().unwrap().end = Some(Box::new(end));
    }

    /// From now on every call fails so.
    pub(crate) fn trouble(&self, status: Option<Status>) {
        self.0.lock().unwrap().trouble = status;
    }

    /// How many calls there were since this was asked last.
    pub(crate) fn calls(&self) -> usize {
        self.opened().len() + self.begun().len() + self.completed().len()
    }

    pub(crate) fn opened(&self) -> Vec<OpenConnectRequest> {
        std::mem::take(&mut self.0.lock().unwrap().opened)
    }

    pub(crate) fn begun(&self) -> Vec<BeginConnectRequest> {
        std::mem::take(&mut self.0.lock().unwrap().begun)
    }

    pub(crate) fn completed(&self) -> Vec<CompleteConnectRequest> {
        std::mem::take(&mut self.0.lock().unwrap().completed)
    }
}

#[tonic::async_trait]
impl ConnectService for Connects {
    async fn start_connect(
        &self,
        _: Request<StartConnectRequest>,
    ) -> Result<Response<StartConnectResponse>, Status> {
        Err(Status::unimplemented("the gateway starts no flows"))
    }

    async fn open_connect(
        &self,
        request: Request<OpenConnectRequest>,
    ) -> Result<Response<OpenConnectResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.0.lock().unwrap();
        state.opened.push(request.clone());
        if let Some(status) = &state.trouble {
            return Err(status.clone());
        }
        let asks = state.asks.clone().unwrap_or_else(asks);
        let cookie = match (request.ticket.as_str(), request.cookie.as_str()) {
            _ if request.integration_id != INTEGRATION => return Err(unknown()),
            (TICKET, _) => COOKIE.to_owned(),
            (_, COOKIE) => String::new(),
            _ => return Err(unknown()),
        };
        Ok(Response::new(OpenConnectResponse { cookie, ..asks }))
    }

    async fn begin_connect(
        &self,
        request: Request<BeginConnectRequest>,
    ) -> Result<Response<BeginConnectResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.0.lock().unwrap();
        state.begun.push(request.clone());
        if let Some(status) = &state.trouble {
            return Err(status.clone());
        }
        match (request.integration_id.as_str(), request.cookie.as_str()) {
            (INTEGRATION, COOKIE) => {
                Ok(Response::new(BeginConnectResponse { authorization_url: AUTHORIZE.to_owned() }))
            }
            _ => Err(unknown()),
        }
    }

    async fn complete_connect(
        &self,
        request: Request<CompleteConnectRequest>,
    ) -> Result<Response<CompleteConnectResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.0.lock().unwrap();
        state.completed.push(request.clone());
        if let Some(status) = &state.trouble {
            return Err(status.clone());
        }
        if (request.cookie.as_str(), request.state.as_str()) != (COOKIE, STATE) {
            return Err(unknown());
        }
        match &state.end {
            Some(end) => end(&request).map(Response::new),
            None => Ok(Response::new(connected())),
        }
    }
}
