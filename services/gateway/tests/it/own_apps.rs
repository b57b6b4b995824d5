//! Apps that a team added.

use std::time::Duration;

use keystile_contract::proto::verification::v1::VerifyRequest;

use crate::support::{World, app, decide};

const RUN: &str = "/api/v1/components/action.acme.ping/run";

fn document(operation: &str) -> String {
    format!(
        "openapi: 3.1.0
info: {{ title: Acme, version: '1' }}
servers: [{{ url: 'https://acme.example' }}]
paths: {{ /ping: {{ post: {{ operationId: {operation}, responses: {{ '200': {{ description: ok }} }} }} }} }}
"
    )
}

/// A verification that grants the key all of acme, too.
fn generous(world: &World) {
    world.decide(|question| {
        let shown = match question.component.as_str() {
            id if id.starts_with("action.acme.") => "action.sandbox.echo".to_owned(),
            id => id.to_owned(),
        };
        decide(&VerifyRequest { component: shown, ..question.clone() })
    });
}

#[tokio::test]
async fn a_component_that_was_added_a_moment_ago_runs() {
    let world = World::new().await;
    generous(&world);
    world.act(|ran| app(200, &ran.inputs.to_string()));
    let answer = world.post(RUN, r#"{"inputs":{}}"#).await;
    assert_eq!((answer.status, &*answer.code()), (404, "unknown_component"));
    world.apps.put("acme", 1, &document("ping"));
    world.clock.advance(Duration::from_millis(1));
    let answer = world.post(RUN, r#"{"inputs":{}}"#).await;
    assert_eq!(answer.status, 200);
    // Its schema is held against the inputs.
    let answer = world.post(RUN, r#"{"inputs":{"more":1}}"#).await;
    assert_eq!((answer.status, &*answer.code()), (422, "invalid_inputs"));
    let details = world.get("/api/v1/components/details/action.acme.ping").await;
    assert_eq!(details.json()["appName"], "Acme");
}

#[tokio::test]
async fn who_proved_nothing_has_no_app_looked_up() {
    let world = World::new().await;
    world.apps.put("acme", 1, &document("ping"));
    let answer = world.send("POST", RUN, &[("content-type", "application/json")], "{}").await;
    assert_eq!(answer.status, 401);
    let forged = [("authorization", "Bearer ks_dev_x"), ("content-type", "application/json")];
    assert_eq!(world.send("POST", RUN, &forged, "{}").await.status, 401);
    assert_eq!(world.apps.asked(), 0);
    // Nor for what ships with Keystile, or is no id at all.
    assert_eq!(world.echo().await.status, 200);
    let bad = world.post("/api/v1/components/acme/run", r#"{"inputs":{}}"#).await;
    assert_eq!((bad.status, world.apps.asked()), (404, 0));
}

#[tokio::test]
async fn without_vault_an_app_of_a_team_is_not_there_for_now() {
    let world = World::new().await;
    generous(&world);
    world.apps.set_down(true);
    let answer = world.post(RUN, r#"{"inputs":{}}"#).await;
    assert_eq!((answer.status, &*answer.code()), (503, "vault_unavailable"));
    assert_eq!(world.echo().await.status, 200, "what ships is");
}
