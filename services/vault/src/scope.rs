//! OAuth scopes: what is asked for, what was granted, what is missing.

use std::collections::BTreeSet;

use keystile_catalog::App;

/// The longest scope, bytes.
const LONGEST: usize = 200;
/// Scopes of one grant.
const MOST: usize = 200;

/// RFC 6749 section 3.3, without the comma that some providers write between scopes.
pub(crate) fn is_scope(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte))
}

/// What the components of the app ask for together.
pub(crate) fn wanted(app: &App) -> Vec<String> {
    let scopes = app.components.values().flat_map(|component| &component.scopes);
    scopes.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Reads the scopes of a provider's answer: separated by spaces as RFC 6749 has it, or by commas as
/// some have it whatever they are asked with. What is not a scope is left out.
pub(crate) fn granted(answer: &str) -> Vec<String> {
    let texts = answer.split([' ', ',']).filter(|text| is_scope(text)).take(MOST);
    texts.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Those of `needed` that are not `held`.
pub(crate) fn missing(needed: &[String], held: &[String]) -> Vec<String> {
    needed.iter().filter(|scope| !held.contains(scope)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_are_read() {
        assert_eq!(granted("b a"), ["a", "b"]);
        assert_eq!(granted("repo,user:email"), ["repo", "user:email"]);
        assert_eq!(granted(" a  \"x\" , a"), ["a"]);
        assert_eq!(granted(""), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(missing(&texts(&["a", "b"]), &texts(&["b", "c"])), ["a"]);
    }
}
