//! The gRPC service, as its peers see it.

use futures::{StreamExt, stream};
use keystile_contract::{
    Identity, SealKeys, capability, convert,
    proto::{
        common::v1::Refusal,
        verification::v1::{
            Allowed, Refused, VerifyRequest, VerifyStreamRequest,
            verification_service_client::VerificationServiceClient, verify_response::Verdict,
            verify_stream_response::Outcome,
        },
    },
    transport::{self, Transport},
};
use keystile_domain::{Clock, ConnectionId, Grant, IntegrationId, Role, facts::GrantFacts};
use tonic::{Code, Status, metadata::MetadataMap};
use uuid::Uuid;

use crate::{Rig, SEALING_KEYS, grant};

const SEND: &str = "action.gmail.send-email";

type Client = VerificationServiceClient<Transport>;

fn client(rig: &Rig, identity: Identity) -> Client {
    let routes = rig.service.grpc().prepare();
    VerificationServiceClient::new(transport::local(routes, identity))
}

fn gateway(rig: &Rig) -> Client {
    client(rig, Identity::Role(Role::Gateway))
}

fn asks(token: &str, component: &str) -> VerifyRequest {
    VerifyRequest { token: token.into(), component: component.into(), ..VerifyRequest::default() }
}

async fn verdict(client: &mut Client, request: VerifyRequest) -> Result<Verdict, Status> {
    let response = client.verify(request).await?.into_inner();
    Ok(response.verdict.expect("one of the two"))
}

async fn allowed(client: &mut Client, request: VerifyRequest) -> Allowed {
    match verdict(client, request).await {
        Ok(Verdict::Allowed(allowed)) => allowed,
        other => panic!("{other:?}"),
    }
}

async fn refused(client: &mut Client, request: VerifyRequest) -> Refused {
    match verdict(client, request).await {
        Ok(Verdict::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

async fn code(client: &mut Client, request: VerifyRequest) -> Code {
    verdict(client, request).await.expect_err("no verdict").code()
}

#[tokio::test(start_paused = true)]
async fn an_answer_carries_the_matched_grant_or_all_of_them() {
    let rig = Rig::new().await;
    let (_, token) = rig.issuance.create(|facts| {
        facts.grants = [grant(&[SEND]), grant(&["action.github.list-issues"])].into();
    });
    rig.issuance.barrier().await;
    let mut client = client(&rig, Identity::Caller("billing".into()));
    let about_key = allowed(&mut client, asks(&token, "")).await;
    assert_eq!(about_key.name, "a key");
    assert_eq!(about_key.grants.len(), 2);
    assert_eq!(about_key.remaining, None);
    let about_component = allowed(&mut client, asks(&token, SEND)).await;
    assert_eq!(about_component.grants.len(), 1);
    assert_eq!(about_component.grants[0].app_key, "gmail");
    assert_eq!(about_component.capability, None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_is_held_of_that_app_to_who_proved_the_secret() {
    let rig = Rig::new().await;
    let (kid, token) = rig.issuance.create(|facts| {
        facts.grants = [grant(&[SEND]), grant(&["action.github.list-issues"])].into();
    });
    rig.issuance.barrier().await;
    let (unproven, _) = rig.issuance.mint(&kid);
    let mut client = gateway(&rig);
    let asked = "action.gmail.delete-email";
    let told = refused(&mut client, asks(&token, asked)).await;
    assert_eq!(told.reason(), Refusal::ComponentNotAllowed);
    assert_eq!(told.held_components, [SEND]);
    assert!(told.key_id.starts_with("key_") && told.team_id.starts_with("team_"));
    let kept = refused(&mut client, asks(&unproven, asked)).await;
    assert_eq!(kept, Refused { reason: Refusal::Invalid.into(), ..Refused::default() });
}

#[tokio::test(start_paused = true)]
async fn the_gateway_gets_a_capability_for_what_is_allowed_and_nobody_else_does() {
    let rig = Rig::new().await;
    let connection = ConnectionId::from_uuid(Uuid::from_u128(1));
    let integration = IntegrationId::from_uuid(Uuid::from_u128(2));
    let held = grant(&[SEND]).grant;
    let (kid, token) = rig.issuance.create(|facts| {
        let (app, components) = (held.app().clone(), held.components().clone());
        let grant = Grant::new(app, Some(connection), Some(integration), components);
        facts.grants = [GrantFacts { grant: grant.expect("valid"), usable: true }].into();
    });
    rig.issuance.barrier().await;
    let with = |component: &str, audience: &str| VerifyRequest {
        capability_audience: audience.into(),
        ..asks(&token, component)
    };
    let mut client = gateway(&rig);
    let sealed = allowed(&mut client, with(SEND, "vault")).await.capability.expect("asked for");
    let mut metadata = MetadataMap::new();
    capability::attach(&mut metadata, &sealed);
    let keys = |role| SealKeys::derive(role, &SEALING_KEYS);
    let now = rig.clock.now();
    let opened = capability::of_request(&metadata, &keys(Role::Vault), now).expect("for vault");
    let (key, team) = {
        let facts = &rig.issuance.state().keys[&kid];
        (facts.key, facts.team)
    };
    assert_eq!((opened.key, opened.team), (key, team));
    assert_eq!((opened.connection, opened.integration), (Some(connection), Some(integration)));
    assert_eq!((opened.component.as_str(), opened.as_of.seq), (SEND, 1));
    assert!(capability::of_request(&metadata, &keys(Role::Triggers), now).is_err());
    assert_eq!(allowed(&mut client, with("", "vault")).await.capability, None);
    assert_eq!(code(&mut client, with(SEND, "console")).await, Code::InvalidArgument);
    let forbidden = refused(&mut client, with("action.gmail.delete-email", "vault")).await;
    assert_eq!(forbidden.reason(), Refusal::ComponentNotAllowed);
    for identity in [Identity::Caller("gateway".into()), Identity::Role(Role::Console)] {
        let mut client = self::client(&rig, identity);
        assert_eq!(code(&mut client, with(SEND, "vault")).await, Code::PermissionDenied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_field_is_named_and_a_malformed_token_is_refused() {
    let rig = Rig::new().await;
    let (_, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    let good = asks(&token, "");
    let foreign = convert::position(&rig.issuance.log.head());
    let bad = [
        asks(&token, "action.gmail"),
        asks(&token, "action.gmail.%2e%2e"),
        VerifyRequest { connection_id: "conn_1".into(), ..good.clone() },
        VerifyRequest { source_ip: "192.0.2".into(), ..good.clone() },
        VerifyRequest {
            at_least: Some(keystile_contract::proto::common::v1::Position {
                history: "now".into(),
                ..foreign
            }),
            ..good.clone()
        },
    ];
    let mut client = gateway(&rig);
    for request in bad {
        assert_eq!(code(&mut client, request).await, Code::InvalidArgument);
    }
    for text in ["", "ks_prod_", &token[1..], &"k".repeat(257)] {
        let answer = client.verify(asks(text, "")).await.expect("a verdict").into_inner();
        assert_eq!(answer.as_of, None);
        let Some(Verdict::Refused(told)) = answer.verdict else { panic!("allowed") };
        assert_eq!(told, Refused { reason: Refusal::Invalid.into(), ..Refused::default() });
    }
    assert_eq!(rig.lookups(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_verdict_is_unavailable() {
    let rig = Rig::new().await;
    let (_, token) = rig.issuance.create(|_| {});
    rig.issuance.state().down = true;
    assert_eq!(code(&mut gateway(&rig), asks(&token, "")).await, Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_stream_answers_each_question_once_and_in_order() {
    let rig = Rig::new().await;
    let tokens: Vec<_> = (0..20)
        .map(|at| rig.issuance.create(|facts| facts.name = format!("key {at}").into()).1)
        .collect();
    rig.issuance.barrier().await;
    let mut questions: Vec<_> =
        tokens.iter().map(|token| VerifyStreamRequest { request: Some(asks(token, "")) }).collect();
    questions[7].request = Some(asks(&tokens[7], "nonsense"));
    questions[8].request = None;
    // The sixth is known already and must still wait for its turn.
    allowed(&mut gateway(&rig), asks(&tokens[6], "")).await;
    let answers = gateway(&rig).verify_stream(stream::iter(questions)).await;
    let answers: Vec<_> = answers.expect("open").into_inner().collect().await;
    assert_eq!(answers.len(), 20);
    for (at, answer) in answers.into_iter().enumerate() {
        match answer.expect("an answer").outcome.expect("one of the two") {
            Outcome::Response(response) => match response.verdict {
                Some(Verdict::Allowed(allowed)) => assert_eq!(allowed.name, format!("key {at}")),
                other => panic!("{other:?}"),
            },
            Outcome::ErrorCode(code) => {
                assert!([7, 8].contains(&at));
                assert_eq!(code, i32::from(Code::InvalidArgument));
            }
        }
    }
}
