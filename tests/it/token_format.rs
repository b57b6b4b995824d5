//! Golden tokens, made by other code from the description of the format: `fixtures/tokens.py`.

use std::sync::Mutex;

use keystile_domain::{Entropy, Environment, token::TokenKeyRing};
use secrecy::ExposeSecret;
use serde_json::Value;

/// Gives out the bytes it was given.
struct Fixed(Mutex<Vec<u8>>);

impl Entropy for Fixed {
    fn fill(&self, out: &mut [u8]) {
        let mut left = self.0.lock().expect("not poisoned");
        for (place, byte) in out.iter_mut().zip(left.drain(..)) {
            *place = byte;
        }
    }
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal digits");
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a byte")).collect()
}

#[test]
fn golden_tokens_are_read_and_minted_to_the_letter() {
    let fixture: Value =
        serde_json::from_str(include_str!("../fixtures/tokens.json")).expect("JSON");
    let keys: Vec<(u8, [u8; 32])> = fixture["ring"]
        .as_object()
        .expect("a ring")
        .iter()
        .map(|(version, key)| {
            (version.parse().expect("a version"), bytes(key).try_into().expect("32"))
        })
        .collect();
    let ring = TokenKeyRing::new(keys.clone()).expect("a ring");
    let tokens = fixture["tokens"].as_array().expect("tokens");
    assert_eq!(tokens.len(), 9);
    for case in tokens {
        let text = case["token"].as_str().expect("a token");
        let environment =
            Environment::parse(case["environment"].as_str().expect("one")).expect("one");
        let version = u8::try_from(case["version"].as_u64().expect("a version")).expect("a byte");
        let genuine = ring.authenticate(text).expect("genuine");
        assert_eq!(genuine.environment, environment);
        assert_eq!(genuine.kid.as_str(), case["kid"].as_str().expect("a kid"));
        assert_eq!(genuine.token_key_version, version);
        assert_eq!(genuine.digest.as_bytes().as_slice(), bytes(&case["digest"]));

        let minting = TokenKeyRing::new(keys.iter().copied().filter(|(held, _)| *held <= version))
            .expect("a ring whose newest key is the one of the case");
        let entropy = Fixed(Mutex::new(bytes(&case["random"])));
        let minted = minting.mint(environment, &genuine.kid, &entropy);
        assert_eq!(minted.text.expose_secret(), text);
    }
}
