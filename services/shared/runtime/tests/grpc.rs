//! The gRPC stack, over the transport of one process and over a socket.

use std::{future::pending, time::Duration};

use keystile_contract::{
    Failure, Identity, Transport,
    proto::triggers::v1::{
        GetStatusRequest, GetStatusResponse,
        trigger_service_client::TriggerServiceClient,
        trigger_service_server::{TriggerService, TriggerServiceServer},
    },
    transport::{local, remote},
};
use keystile_domain::{ErrorKind, Role};
use keystile_runtime::{
    Drain,
    grpc::{Callers, Limits, NotLoopback, serve, stack},
    health::Readiness,
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

enum Behaviour {
    Answers,
    Panics,
    Hangs,
}

#[tonic::async_trait]
impl TriggerService for Behaviour {
    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        match self {
            Self::Answers => {
                assert!(request.extensions().get::<Identity>().is_some());
                Ok(Response::new(GetStatusResponse { lease_current: true, ..Default::default() }))
            }
            Self::Panics => panic!("hunter2"),
            Self::Hangs => pending().await,
        }
    }
}

fn routes(behaviour: Behaviour) -> Routes {
    Routes::new(TriggerServiceServer::new(behaviour))
}

async fn call(
    transport: Transport,
    timeout: Option<Duration>,
) -> Result<GetStatusResponse, Failure> {
    let mut request = Request::new(GetStatusRequest {});
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let answer = TriggerServiceClient::new(transport).get_status(request).await;
    answer.map(Response::into_inner).map_err(Failure::from)
}

fn as_gateway(behaviour: Behaviour) -> Transport {
    let stack = stack(routes(behaviour), Limits::default());
    local(stack, Identity::Role(Role::Gateway))
}

#[tokio::test]
async fn an_identity_that_may_call_is_answered() {
    let answer = call(as_gateway(Behaviour::Answers), None).await.expect("answers");
    assert!(answer.lease_current);
}

#[tokio::test]
async fn an_identity_that_may_not_call_is_refused() {
    let stack = stack(routes(Behaviour::Panics), Limits::default());
    for identity in [Identity::Role(Role::Vault), Identity::Caller("loopback".to_owned())] {
        let refused = call(local(stack.clone(), identity), None).await.expect_err("refuses");
        assert_eq!(refused.kind, ErrorKind::Forbidden);
        assert_eq!(refused.reason, "method_not_allowed");
    }
    let nobody = call(remote(stack), None).await.expect_err("refuses");
    assert_eq!(nobody.kind, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_panic_is_internal_and_says_nothing() {
    let failure = call(as_gateway(Behaviour::Panics), None).await.expect_err("fails");
    assert_eq!(failure, Failure::internal());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_also_within_one_process() {
    let asked = Some(Duration::from_millis(50));
    for (asked, waits) in [(asked, 50), (None, 10_000), (Some(Duration::from_hours(5)), 310_000)] {
        let transport = as_gateway(Behaviour::Hangs);
        let ended = call(transport, asked);
        let millis = Duration::from_millis(waits);
        let failure = tokio::time::timeout(millis + Duration::from_millis(5), ended).await;
        let failure = failure.expect("ends in time").expect_err("fails");
        assert_eq!(failure.reason, "deadline_exceeded");
    }
}

#[tokio::test]
async fn over_a_socket_a_caller_is_who_the_listener_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let drain = Drain::new();
    let readiness = Readiness::new(drain.stopping());
    let serving = serve(
        listener,
        stack(routes(Behaviour::Answers), Limits::default()),
        Callers::Loopback(Identity::Caller("loopback".to_owned())),
        readiness,
        drain.clone(),
        Limits::default(),
    );
    drain.spawn(async move { serving.await.expect("is loopback") });

    let channel = Endpoint::from_shared(format!("http://{addr}")).expect("an address");
    let channel = channel.connect().await.expect("connects");
    let refused = call(remote(channel.clone()), None).await.expect_err("refuses");
    assert_eq!(refused.kind, ErrorKind::Forbidden);

    let mut health = HealthClient::new(channel);
    let watched = health.watch(HealthCheckRequest::default()).await.expect("answers");
    let mut watched = watched.into_inner();
    while watched.message().await.expect("goes on").expect("goes on").status()
        != ServingStatus::Serving
    {}
    drop((watched, health));
    drain.stop(Duration::from_secs(5), pending()).await;
}

#[tokio::test]
async fn plaintext_is_for_loopback_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let drain = Drain::new();
    let refused = serve(
        listener,
        stack(routes(Behaviour::Answers), Limits::default()),
        Callers::Loopback(Identity::Caller("loopback".to_owned())),
        Readiness::new(drain.stopping()),
        drain,
        Limits::default(),
    );
    assert_eq!(refused.await, Err(NotLoopback(addr)));
}
