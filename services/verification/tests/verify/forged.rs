//! Threat 1: what Keystile did not mint is refused by arithmetic alone.

use keystile_domain::{Entropy, base62, entropy, token};
use keystile_testkit::SeededEntropy;
use keystile_verification::{Answer, Config, Counts};

use crate::Rig;

/// Refused, and nothing was done for it.
async fn costs_nothing(rig: &Rig, text: &str) {
    match rig.verify(text).await {
        Ok(Answer::Refused(refused)) => {
            assert_eq!(refused.reason.code(), "invalid");
            assert!(refused.as_of.is_none() && refused.facts().is_none());
        }
        other => panic!("{text}: {other:?}"),
    }
    assert_eq!(rig.counts(), Counts::default(), "{text}");
}

/// A node that knows nothing yet: anything but a refusal by the tag shows as a look-up.
fn rig() -> (Rig, Vec<String>) {
    let rig = Rig::without_lease(Config::default());
    let tokens = (0..4).map(|_| rig.issuance.create(|_| {}).1).collect();
    (rig, tokens)
}

#[tokio::test]
async fn a_token_altered_in_any_one_character_is_refused_without_one_look_up() {
    let (rig, tokens) = rig();
    let token = &tokens[0];
    let mut tried = 0;
    for at in 0..token.len() {
        for byte in 0x20..0x7f_u8 {
            let mut altered = token.clone().into_bytes();
            if std::mem::replace(&mut altered[at], byte) != byte {
                costs_nothing(&rig, &String::from_utf8(altered).expect("ASCII")).await;
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 76 * 94);
    assert!(matches!(rig.verify(token).await, Ok(Answer::Allowed(_))));
    assert_eq!(rig.lookups(), 1, "the real one is looked up");
}

#[tokio::test]
async fn what_is_no_token_or_too_long_costs_nothing() {
    let (rig, tokens) = rig();
    let token = &tokens[0];
    let long = [token.as_str(), &"0".repeat(181)].concat();
    let padded = format!(" {token}");
    for text in
        ["", "ks_", "ks_prod_", "é", "\0", &token[..75], &padded, &long, &"k".repeat(1 << 20)]
    {
        costs_nothing(&rig, text).await;
    }
}

#[tokio::test]
async fn a_hundred_thousand_mutants_of_real_tokens_are_refused_and_cost_nothing() {
    mutants(100_000).await;
}

/// The full size of threat 1, for `tests/deep`.
#[tokio::test]
#[ignore = "minutes; tests/deep runs it"]
async fn ten_million_mutants_of_real_tokens_are_refused_and_cost_nothing() {
    mutants(10_000_000).await;
}

async fn mutants(count: usize) {
    let (rig, tokens) = rig();
    let random = SeededEntropy::new(3);
    let (mut tried, mut well_formed) = (0, 0);
    while tried < count {
        let mutant = mutant(&tokens, &random);
        if tokens.contains(&mutant) {
            continue;
        }
        costs_nothing(&rig, &mutant).await;
        well_formed += usize::from(token::is_well_formed(&mutant));
        tried += 1;
    }
    println!("{tried} mutants, {well_formed} of them with a correct checksum");
    assert!(well_formed > count / 3, "{well_formed}: the tag was hardly tried");
}

/// A real token with up to eight changes; two of three times with its checksum repaired, so that
/// only the tag can tell.
fn mutant(tokens: &[String], random: &dyn Entropy) -> String {
    let below = |bound: usize| {
        let value = u32::from_le_bytes(entropy::bytes(random)) as usize;
        value % bound
    };
    let mut text = tokens[below(tokens.len())].clone().into_bytes();
    // Past the head "ks_prod_", which has hardly a variant that is a token.
    for _ in 0..=below(8) {
        let at = 8 + below(text.len() - 8);
        match below(8) {
            0 => {
                let other = 8 + below(text.len() - 8);
                text.swap(at, other);
            }
            1 => text[at] = tokens[below(tokens.len())].as_bytes()[at.min(75)],
            2 => {
                let donor = tokens[below(tokens.len())].as_bytes();
                let end = text.len().min(76);
                text[at.min(end)..end].copy_from_slice(&donor[at.min(end)..end]);
            }
            3 => text[at] ^= 1 << below(7),
            4 if below(16) == 0 => text.truncate(text.len() - 1),
            5 if below(16) == 0 => text.push(b'0'),
            _ => {
                let digit = u8::try_from(below(62)).expect("below 62");
                text[at] = base62::digit(digit);
            }
        }
    }
    if below(3) != 0 && text.len() > 14 {
        let end = text.len() - 6;
        let crc = crc32fast::hash(&text[..end]).to_be_bytes();
        text[end..].copy_from_slice(&base62::encode::<4, 6>(&crc));
    }
    String::from_utf8_lossy(&text).into_owned()
}
