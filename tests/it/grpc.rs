//! Internal services verify keys over gRPC.

use keystile_contract::proto::{
    common::v1::Refusal,
    issuance::v1::{LookupRequest, fact_service_client::FactServiceClient},
    verification::v1::{VerifyRequest, VerifyResponse, verify_response::Verdict},
};
use keystile_tests::Cluster;
use serde_json::json;
use tonic::Code;

fn refusal(response: &VerifyResponse) -> Option<Refusal> {
    match response.verdict.as_ref()? {
        Verdict::Allowed(_) => None,
        Verdict::Refused(refused) => Some(refused.reason()),
    }
}

#[tokio::test]
async fn a_service_learns_what_a_key_may_do_and_when_it_no_longer_may() {
    let cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let (id, token) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let mut client = cluster.verification();
    let ask = |component: &str| VerifyRequest {
        token: token.clone(),
        component: component.to_owned(),
        ..VerifyRequest::default()
    };
    let allowed = client.verify(ask("action.sandbox.echo")).await.expect("an answer").into_inner();
    let Some(Verdict::Allowed(facts)) = &allowed.verdict else { panic!("{allowed:?}") };
    assert_eq!((facts.key_id.as_str(), facts.name.as_str()), (id.as_str(), "test key"));
    assert_eq!(facts.grants.len(), 1);
    assert!(facts.capability.is_none());
    assert!(!format!("{allowed:?}").contains(&token[25..]), "an answer repeats the token");

    let other = client.verify(ask("action.sandbox.delete-note")).await.expect("an answer");
    assert_eq!(refusal(other.get_ref()), Some(Refusal::ComponentNotAllowed));
    let unknown = VerifyRequest { token: "ks_dev_nothing".to_owned(), ..VerifyRequest::default() };
    let unknown = client.verify(unknown).await.expect("an answer").into_inner();
    assert_eq!(refusal(&unknown), Some(Refusal::Invalid));

    let path = format!("/api/manage/v1/keys/{id}/revoke");
    let _ = manage.post(&path, &json!({})).await.expect(200);
    let revoked = client.verify(ask("action.sandbox.echo")).await.expect("an answer");
    assert_eq!(refusal(revoked.get_ref()), Some(Refusal::Revoked));
}

#[tokio::test]
async fn a_caller_gets_no_capability_and_reaches_no_other_service() {
    let cluster = Cluster::start().await;
    let mut client = cluster.verification();
    let ask = VerifyRequest {
        token: cluster.demo("KEYSTILE_DEMO_TOKEN"),
        component: "action.sandbox.echo".to_owned(),
        capability_audience: "vault".to_owned(),
        ..VerifyRequest::default()
    };
    let refused = client.verify(ask).await.expect_err("not for callers");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");

    let mut facts = FactServiceClient::new(cluster.caller());
    let lookup = LookupRequest { kid: "0123456789abcdef".to_owned() };
    let refused = facts.lookup(lookup).await.expect_err("not for callers");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
}
