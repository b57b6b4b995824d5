//! Which token proves which secret, and what the others cost.

use std::time::Duration;

use keystile_domain::{
    Clock, KeyId,
    facts::{Request, SecretFacts},
    log::ChangeKind,
    token::Kid,
};
use keystile_verification::{Answer, Counts, Error, Question};

use crate::{Rig, word};

#[tokio::test(start_paused = true)]
async fn regenerated_twice_only_the_newest_token_works_and_the_others_cost_nothing() {
    let rig = Rig::new().await;
    let (kid, first) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&first).await, Ok("allowed"));
    let (second, secret) = rig.issuance.mint(&kid);
    rig.issuance.change(kid, ChangeKind::KeyRegenerated, |facts| facts.secrets = [secret].into());
    let (third, secret) = rig.issuance.mint(&kid);
    rig.issuance.change(kid, ChangeKind::KeyRegenerated, |facts| facts.secrets = [secret].into());
    rig.issuance.barrier().await;
    for _ in 0..3 {
        assert_eq!(rig.verdict(&first).await, Ok("invalid"));
        assert_eq!(rig.verdict(&second).await, Ok("invalid"));
        assert_eq!(rig.verdict(&third).await, Ok("allowed"));
    }
    assert_eq!(rig.counts(), Counts { cache_misses: 4, lookups: 4, hashes: 4 });
}

#[tokio::test(start_paused = true)]
async fn both_secrets_of_a_rotation_work_until_the_overlap_ends() {
    let rig = Rig::new().await;
    let (kid, first) = rig.issuance.create(|_| {});
    let end = rig.clock.now() + Duration::from_mins(1);
    let (second, secret) = rig.issuance.mint(&kid);
    rig.issuance.change(kid, ChangeKind::KeyRotated, |facts| {
        let old = SecretFacts { not_after: Some(end), ..facts.secrets[0].clone() };
        facts.secrets = [old, secret].into();
    });
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&first).await, Ok("allowed"));
    assert_eq!(rig.verdict(&second).await, Ok("allowed"));
    rig.clock.set_wall(end);
    assert_eq!(rig.verdict(&first).await, Ok("expired"));
    assert_eq!(rig.verdict(&second).await, Ok("allowed"));
    assert_eq!(rig.lookups(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_refused_before_it_was_given_to_its_key_is_allowed_after() {
    let rig = Rig::new().await;
    let (kid, _) = rig.issuance.create(|_| {});
    let (token, secret) = rig.issuance.mint(&kid);
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("invalid"));
    rig.issuance.change(kid, ChangeKind::KeyRegenerated, |facts| facts.secrets = [secret].into());
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
}

#[tokio::test(start_paused = true)]
async fn who_did_not_prove_the_secret_is_told_only_invalid() {
    let rig = Rig::new().await;
    let (kid, token) = rig.issuance.create(|facts| facts.team_suspended = true);
    let (unproven, _) = rig.issuance.mint(&kid);
    let (unknown, _) = rig.issuance.mint(&Kid::generate(&*rig.issuance.entropy));
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("suspended"));
    for token in [unproven, unknown] {
        let Ok(Answer::Refused(refused)) = rig.verify(&token).await else { panic!("allowed") };
        assert_eq!(refused.reason.code(), "invalid");
        assert!(refused.facts().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_is_asked_about_once_and_again_when_a_key_was_created() {
    let rig = Rig::new().await;
    let kid = Kid::generate(&*rig.issuance.entropy);
    let (token, secret) = rig.issuance.mint(&kid);
    for _ in 0..3 {
        assert_eq!(rig.verdict(&token).await, Ok("invalid"));
    }
    assert_eq!(rig.counts(), Counts { cache_misses: 1, lookups: 1, hashes: 0 });
    rig.issuance.create_as(kid, |facts| facts.secrets = [secret].into());
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
}

#[tokio::test(start_paused = true)]
async fn what_opens_nothing_is_forgotten_with_the_lease_and_after_its_hour() {
    let rig = Rig::new().await;
    let (token, _) = rig.issuance.mint(&Kid::generate(&*rig.issuance.entropy));
    assert_eq!(rig.verdict(&token).await, Ok("invalid"));
    rig.clock.advance(Duration::from_hours(1));
    rig.renewed().await;
    assert_eq!(rig.verdict(&token).await, Ok("invalid"));
    assert_eq!(rig.lookups(), 2);
    rig.lose_lease().await;
    assert_eq!(rig.verdict(&token).await, Ok("invalid"));
    assert_eq!(rig.lookups(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_whose_kids_share_all_but_the_last_character_do_not_mix() {
    let rig = Rig::new().await;
    let kids: Vec<Kid> = (b'A'..=b'Z')
        .map(|last| format!("sharedprefix123{}", last as char))
        .map(|kid| kid.parse().expect("a kid"))
        .collect();
    let mut tokens: Vec<(String, KeyId)> = Vec::new();
    for kid in kids {
        let token = rig.issuance.create_as(kid, |_| {});
        tokens.push((token, rig.issuance.state().keys[&kid].key));
    }
    rig.issuance.barrier().await;
    for _ in 0..2 {
        for (token, key) in &tokens {
            let Ok(Answer::Allowed(allowed)) = rig.verify(token).await else { panic!("refused") };
            assert_eq!(allowed.facts().key, *key);
        }
    }
    assert_eq!(rig.lookups(), 26);
}

#[tokio::test(start_paused = true)]
async fn facts_of_another_key_are_a_defect_and_no_verdict() {
    let rig = Rig::new().await;
    let (_, token) = rig.issuance.create(|_| {});
    let (other, _) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    {
        let mut state = rig.issuance.state();
        let facts = state.keys[&other].clone();
        let head = rig.issuance.log.head().seq;
        state.lagging = vec![(head, facts)];
    }
    assert!(matches!(rig.verify(&token).await, Err(Error::Defect(_))));
    assert_eq!(rig.verify(&token).await.as_ref().map(word), Ok("allowed"));
}

#[test]
fn a_question_does_not_show_its_token() {
    let token = "ks_prod_0123456789abcdef_canary";
    let question = Question { token, request: Request::default(), at_least: None };
    let shown = format!("{question:?}");
    assert!(shown.starts_with("Question") && !shown.contains("canary"), "{shown}");
}
