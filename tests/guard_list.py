"""The guards, each with the test that must fail when it is gone. Read by guards.py."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    threat: str    # the row of threats.md
    name: str      # what is removed
    file: str      # where it stands
    old: str       # its text, which stands there once
    new: str       # the text without it
    package: str   # whose tests
    test: str      # which test must fail


DOMAIN = "services/shared/domain/src"
CONTRACT = "services/shared/contract/src"
SEAL = "services/shared/seal/src"
EGRESS = "services/shared/egress/src"

GUARDS = [
    Guard("1", "the token's tag", f"{DOMAIN}/token.rs",
          ".filter(|mac| bool::from(mac[..TAG_LEN].ct_eq(tag)))", "",
          "keystile-domain", "a_repaired_checksum_does_not_repair_the_tag"),
    Guard("1", "the token's checksum", f"{DOMAIN}/token.rs",
          "if crc(&text.as_bytes()[..text.len() - CRC_LEN]) != checksum {", "if false {",
          "keystile-domain", "every_change_of_one_character_is_refused"),
    Guard("7", "the seal of sealed messages", f"{CONTRACT}/seal.rs",
          "if !bool::from(expected.ct_eq(&sealed.mac)) {", "if false {",
          "keystile-contract", "no_field_can_be_changed"),
    Guard("14", "a ciphertext is bound to its team", f"{SEAL}/aad.rs",
          "        out.extend_from_slice(self.team.as_uuid().as_bytes());\n", "",
          "keystile-seal", "a_value_opens_only_in_its_place"),
    Guard("14", "a ciphertext is bound to its row", f"{SEAL}/aad.rs",
          "        lengthened(&mut out, self.row)?;\n", "",
          "keystile-seal", "a_value_opens_only_in_its_place"),
    Guard("14", "a ciphertext is bound to its version", f"{SEAL}/aad.rs",
          "        out.extend_from_slice(&self.version.to_be_bytes());\n", "",
          "keystile-seal", "a_value_opens_only_in_its_place"),
    Guard("21", "an address is checked before it is dialled", f"{EGRESS}/dial.rs",
          "Err(error) => refusal = error,", "Err(_) => addresses.push(address),",
          "keystile-egress", "no_spelling_of_a_forbidden_address_is_dialled"),
    Guard("22", "a name's address is checked, too", f"{EGRESS}/dial.rs",
          "        match policy.check(scheme, address) {",
          "        match policy.check(scheme, address).or(if literal(host).is_none() { Ok(()) } else { Err(Error::Unresolved) }) {",
          "keystile-egress", "a_name_that_moves_inside_is_not_followed"),
    Guard("23", "a redirect stays on its origin", f"{EGRESS}/redirect.rs",
          "if target.origin() != url.origin() {", "if false {",
          "keystile-egress", "a_redirect_to_elsewhere_is_refused_and_nobody_is_dialled"),
    Guard("30", "the closed grammar of names", f"{DOMAIN}/component.rs",
          "&& parts.next().is_some_and(|name| is_slug(name, Self::MAX_NAME_LEN));",
          "&& parts.next().is_some();",
          "keystile-domain", "what_breaks_the_grammar_is_refused"),
    Guard("40", "methods are denied by default", f"{CONTRACT}/identity.rs",
          "path == rule.prefix", "path.starts_with(rule.prefix)",
          "keystile-contract", "what_no_rule_names_is_denied"),
]
