"""The guards, each with the test that must fail when it is gone. Read by guards.py."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    threat: str             # the row of threats.md
    name: str               # what is removed
    file: str               # where it stands
    edits: dict[str, str]   # texts, each of which stands there once, and what stands there without it
    package: str            # whose tests
    test: str               # which test must fail


DOMAIN = "services/shared/domain/src"
CONTRACT = "services/shared/contract/src"
SEAL = "services/shared/seal/src"
SQL = "services/shared/sql/src"
EGRESS = "services/shared/egress/src"
CATALOG = "services/shared/catalog/src"
FOLLOWER = "services/shared/follower/src"
RUNTIME = "services/shared/runtime/src"
ISSUANCE = "services/issuance/src"
VERIFICATION = "services/verification/src"
VAULT = "services/vault/src"
GATEWAY = "services/gateway/src"
CONSOLE = "services/console/src"

# In the order of the floors, so that what is rebuilt is rebuilt once.
GUARDS = [
    # domain
    Guard("1", "the token's tag", f"{DOMAIN}/token.rs",
          {".filter(|mac| bool::from(mac[..TAG_LEN].ct_eq(tag)))": ""},
          "keystile-domain", "a_repaired_checksum_does_not_repair_the_tag"),
    Guard("1", "the token's checksum", f"{DOMAIN}/token.rs",
          {"if crc(&text.as_bytes()[..text.len() - CRC_LEN]) != checksum {": "if false {"},
          "keystile-domain", "every_change_of_one_character_is_refused"),
    Guard("1", "the tag covers the kid", f"{DOMAIN}/token.rs",
          {"        message[4..4 + KID_LEN].copy_from_slice(&kid.0);\n": ""},
          "keystile-domain", "a_repaired_checksum_does_not_repair_the_tag"),
    Guard("1", "the tag covers the environment", f"{DOMAIN}/token.rs",
          {"        message[3] = environment.code();\n": ""},
          "keystile-domain", "a_token_of_one_environment_is_none_of_another"),
    Guard("12", "Debug of a digest", f"{DOMAIN}/token.rs",
          {'f.write_str("Digest([redacted])")': 'write!(f, "Digest({:?})", self.0)'},
          "keystile-domain", "debug_shows_no_key_and_no_token"),
    Guard("30", "the closed grammar of names", f"{DOMAIN}/component.rs",
          {"&& parts.next().is_some_and(|name| is_slug(name, Self::MAX_NAME_LEN));": "&& parts.next().is_some();"},
          "keystile-domain", "what_breaks_the_grammar_is_refused"),
    Guard("30", "letters outside ASCII are no letters", f"{DOMAIN}/component.rs",
          {"word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())":
           "word.chars().all(|char| char.is_lowercase() || char.is_numeric())"},
          "keystile-domain", "what_breaks_the_grammar_is_refused"),

    # contract
    Guard("7", "the seal of sealed messages", f"{CONTRACT}/seal.rs",
          {"if !bool::from(expected.ct_eq(&sealed.mac)) {": "if false {"},
          "keystile-contract", "no_field_can_be_changed"),
    Guard("12", "Debug of a message with a token", f"{CONTRACT}/redacted.rs",
          {"    issuance::v1::RegenerateKeyResponse,\n": "",
           "use crate::proto::{common, issuance, vault, verification};":
           "use crate::proto::{common, issuance, vault, verification};\n"
           "impl fmt::Debug for issuance::v1::RegenerateKeyResponse {\n"
           "    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.token) }\n}"},
          "keystile-contract", "no_message_shows_its_secret"),
    Guard("40", "methods are denied by default", f"{CONTRACT}/identity.rs",
          {"path == rule.prefix": "path.starts_with(rule.prefix)"},
          "keystile-contract", "what_no_rule_names_is_denied"),

    # seal
    Guard("14", "a ciphertext is bound to its team", f"{SEAL}/aad.rs",
          {"        out.extend_from_slice(self.team.as_uuid().as_bytes());\n": ""},
          "keystile-seal", "a_value_opens_only_in_its_place"),
    Guard("14", "a ciphertext is bound to its row", f"{SEAL}/aad.rs",
          {"        lengthened(&mut out, self.row)?;\n": ""},
          "keystile-seal", "a_value_opens_only_in_its_place"),
    Guard("14", "a ciphertext is bound to its version", f"{SEAL}/aad.rs",
          {"        out.extend_from_slice(&self.version.to_be_bytes());\n": ""},
          "keystile-seal", "a_value_opens_only_in_its_place"),
    Guard("14", "a data key is bound to its team and id", f"{SEAL}/kek.rs",
          {"Aad { purpose: DATA_KEY, team, row: &id.to_string(), version: version.into() }.encode(id)":
           "let _ = (team, id, version, DATA_KEY); Ok(Vec::new())"},
          "keystile-seal", "a_wrapped_key_opens_only_as_itself"),

    # sql
    Guard("45", "a Postgres that could lose a cut is refused", f"{SQL}/connect.rs",
          {"            postgres::check_durable(&connection).await?;\n": ""},
          "keystile-sql", "a_server_that_could_lose_what_it_acknowledged_is_refused"),

    # egress
    Guard("12", "answers are scrubbed of the credential", f"{EGRESS}/client.rs",
          {"patterns.map(Scrubber::new)": "None"},
          "keystile-egress", "an_echoed_credential_is_never_seen"),
    Guard("12", "headers of answers are scrubbed", f"{EGRESS}/client.rs",
          {"            patterns.scrub_headers(&mut headers);\n": "            let _ = patterns;\n"},
          "keystile-egress", "an_echoed_credential_is_never_seen"),
    Guard("12", "a secret that is cut in two pieces", f"{EGRESS}/scrub.rs",
          {"let until = (self.held.len() + 1).saturating_sub(self.patterns.longest);": "let until = self.held.len();"},
          "keystile-egress", "where_a_body_is_cut_changes_nothing"),
    Guard("21", "an address is checked before it is dialled", f"{EGRESS}/dial.rs",
          {"Err(error) => refusal = error,": "Err(_) => addresses.push(address),"},
          "keystile-egress", "no_spelling_of_a_forbidden_address_is_dialled"),
    Guard("21", "private addresses", f"{EGRESS}/address.rs",
          {"    (v4(10, 0, 0, 0, 8), Rule::Private),\n": ""},
          "keystile-egress", "no_spelling_of_a_forbidden_address_is_dialled"),
    Guard("21", "metadata in public space", f"{EGRESS}/address.rs",
          {"(v4(168, 63, 129, 16, 32), Rule::Metadata),": ""},
          "keystile-egress", "no_spelling_of_a_forbidden_address_is_dialled"),
    Guard("21", "IPv4 behind 6to4", f"{EGRESS}/address.rs",
          {"    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Rule::SixToFour),\n": ""},
          "keystile-egress", "no_spelling_of_a_forbidden_address_is_dialled"),
    Guard("21", "IPv6 outside global unicast: mapped, NAT64, local", f"{EGRESS}/address.rs",
          {"(!GLOBAL_UNICAST.contains(&address)).then_some(Rule::Reserved)": "None",
           "    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), Rule::Mapped),\n": "",
           "    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), Rule::Nat64),\n": ""},
          "keystile-egress", "no_spelling_of_a_forbidden_address_is_dialled"),
    Guard("22", "a name's address is checked, too", f"{EGRESS}/dial.rs",
          {"        match policy.check(scheme, address) {":
           "        match policy.check(scheme, address).or(if literal(host).is_none() { Ok(()) } else { Err(Error::Unresolved) }) {"},
          "keystile-egress", "a_name_that_moves_inside_is_not_followed"),
    Guard("23", "a redirect stays on its origin", f"{EGRESS}/redirect.rs",
          {"if target.origin() != url.origin() {": "if false {"},
          "keystile-egress", "a_redirect_to_elsewhere_is_refused_and_nobody_is_dialled"),
    Guard("29", "what Connection names does not leave", f"{EGRESS}/headers.rs",
          {".chain(&named)": ""},
          "keystile-egress", "what_connection_names_does_not_travel"),
    Guard("31", "a compressed answer", f"{EGRESS}/client.rs",
          {"if headers::is_encoded(&headers) {": "if false {"},
          "keystile-egress", "a_compressed_answer_is_refused"),
    Guard("31", "the size of an answer", f"{EGRESS}/body.rs",
          {"let Some(left) = self.left.checked_sub(data.len()) else {":
           "let Some(left) = Some(self.left.saturating_sub(data.len())) else {"},
          "keystile-egress", "an_answer_may_be_as_large_as_the_limit_and_no_larger"),

    # catalog
    Guard("31", "the size of a document once its aliases are built", f"{CATALOG}/document/bounded.rs",
          {"let limit = if self.nodes.get() > limits::DOCUMENT_NODES {": "let limit = if false {"},
          "keystile-catalog", "yaml_bombs_are_refused"),

    # follower
    Guard("9", "the lease", f"{FOLLOWER}/lib.rs",
          {"        if !line.lease.is_current(now) {\n            return Err(Rejected::NoLease);": 
           "        if false && !line.lease.is_current(now) {\n            return Err(Rejected::NoLease);"},
          "keystile-follower", "lost_renewals_end_the_lease_and_one_that_arrives_brings_it_back"),
    Guard("9", "the lease counts from when it was asked for", f"{FOLLOWER}/session.rs",
          {"self.line.lease.extend(sent_at, self.terms.lease_ttl);":
           "let _ = sent_at; self.line.lease.extend(self.shared.clock.tick(), self.terms.lease_ttl);"},
          "keystile-follower", "the_lease_counts_from_when_the_renewal_was_sent"),
    Guard("9", "the tail is applied before the lease is extended", f"{FOLLOWER}/session.rs",
          {"        if !self.accept(&tail.head.history, &tail.rows).await? {":
           "        self.line.lease.extend(sent_at, self.terms.lease_ttl);\n"
           "        if !self.accept(&tail.head.history, &tail.rows).await? {"},
          "keystile-follower", "the_tail_is_applied_before_the_lease_is_extended"),
    Guard("9", "tombstones", f"{FOLLOWER}/tombstones.rs",
          {"if self.sieve[slot(scope)].load(Ordering::Acquire) > seq {": "if false {"},
          "keystile-follower", "facts_older_than_a_row_of_their_scope_are_refused_and_no_others"),
    Guard("9", "a tombstone that goes raises the floor", f"{FOLLOWER}/tombstones.rs",
          {"            self.floor.fetch_max(seq, Ordering::AcqRel);\n": ""},
          "keystile-follower", "a_tombstone_goes_only_by_raising_the_floor"),
    Guard("9", "a tombstone stands before its row is applied", f"{FOLLOWER}/session.rs",
          {"        self.line.tombstones.install(rows, self.shared.clock.tick());\n": "",
           "        self.nonce = last.nonce;\n":
           "        self.line.tombstones.install(rows, self.shared.clock.tick());\n        self.nonce = last.nonce;\n"},
          "keystile-follower", "a_row_is_a_tombstone_before_it_is_applied_and_acknowledged_only_after"),
    Guard("9", "rows continue what was applied", f"{FOLLOWER}/session.rs",
          {"|| row.previous != before.1 {": "{"},
          "keystile-follower", "a_row_onto_another_nonce_makes_it_drop_everything_and_register_anew"),
    Guard("45", "facts of another history", f"{FOLLOWER}/session.rs",
          {"if *history != self.line.history() {": "if false {"},
          "keystile-follower", "another_history_drops_everything_of_the_old_one"),

    # runtime
    Guard("12", "the log has the route and not the path or query", f"{RUNTIME}/http/harden.rs",
          {"http.route = route,": "http.route = %request.uri(),"},
          "keystile-runtime", "the_log_has_neither_path_query_header_nor_what_a_panic_quotes"),
    Guard("12", "a panic's formatted text stays out of the log", f"{RUNTIME}/http/harden.rs",
          {'panic.downcast_ref::<&\'static str>().copied().unwrap_or("formatted message")':
           'panic.downcast_ref::<String>().map_or("", |text| Box::leak(text.clone().into_boxed_str()))'},
          "keystile-runtime", "the_log_has_neither_path_query_header_nor_what_a_panic_quotes"),
    Guard("12", "no filter makes libraries log headers", f"{RUNTIME}/telemetry.rs",
          {"CAPPED.iter().try_fold(filter, |filter, cap| Ok(filter.add_directive(cap.parse()?)))": "Ok(filter)"},
          "keystile-runtime", "a_filter_cannot_lift_the_caps"),
    Guard("12", "a bad member's value is not repeated", f"{RUNTIME}/http/json/fault.rs",
          {'shortened(&without_value(&message, "JSON object"))': "shortened(&message)"},
          "keystile-runtime", "the_value_is_not_repeated"),
    Guard("16", "a lost key is not made anew over what is stored", f"{RUNTIME}/secrets.rs",
          {"if self.absent == Absent::Refuse {": "if false {"},
          "keystile-runtime", "a_lost_key_is_not_replaced_while_something_is_stored"),
    Guard("29", "one of each header that decides", f"{RUNTIME}/http/harden.rs",
          {".find(|name| headers.get_all(*name).iter().nth(1).is_some())": ".find(|_| false)"},
          "keystile-runtime", "a_second_field_that_decides_who_calls_is_refused"),
    Guard("29", "hop-by-hop and internal headers are dropped", f"{RUNTIME}/http/harden.rs",
          {"            strip(request.headers_mut());\n": ""},
          "keystile-runtime", "hop_by_hop_and_internal_fields_do_not_reach_a_handler"),
    Guard("29", "internal headers are dropped", f"{RUNTIME}/http/harden.rs",
          {".filter(|name| name.as_str().starts_with(INTERNAL))": ".filter(|_| false)"},
          "keystile-runtime", "hop_by_hop_and_internal_fields_do_not_reach_a_handler"),
    Guard("29", "Connection may not name the credential", f"{RUNTIME}/http/harden.rs",
          {".find(|name| END_TO_END.contains(name))": ".find(|_| false)"},
          "keystile-runtime", "hop_by_hop_and_internal_fields_do_not_reach_a_handler"),
    Guard("31", "the depth of JSON", f"{RUNTIME}/http/json/parse.rs",
          {"if self.depth == MAX_DEPTH {": "if false {"},
          "keystile-runtime", "nesting_ends_at_the_limit"),
    Guard("31", "a member named twice", f"{RUNTIME}/http/json/parse.rs",
          {"if object.contains_key(&name) {": "if false {"},
          "keystile-runtime", "what_two_readers_could_read_differently_is_refused"),
    Guard("31", "the size of a body as it comes", f"{RUNTIME}/http/harden.rs",
          {"Limited::new(body, limits.body_bytes)": "Limited::new(body, usize::MAX)"},
          "keystile-runtime", "a_body_beyond_the_limit_is_413_announced_or_not"),
    Guard("31", "the size of a body as announced", f"{RUNTIME}/http/harden.rs",
          {"if announced.is_some_and(|length| length > limits.body_bytes as u64) {": "if false {"},
          "keystile-runtime", "a_body_beyond_the_limit_is_413_announced_or_not"),
    Guard("31", "the size of headers", f"{RUNTIME}/http/harden.rs",
          {"if headers.len() > limits.header_count || bytes > limits.header_bytes {": "if false {"},
          "keystile-runtime", "too_many_or_too_large_headers_are_431_and_long_paths_414"),
    Guard("34", "an unknown member is told by its place", f"{RUNTIME}/http/json/fault.rs",
          {'("unknown field `", "is unknown")': '("no such text", "is unknown")'},
          "keystile-runtime", "each_fault_has_its_place"),

    # issuance
    Guard("9", "a cut waits for who has not acknowledged", f"{ISSUANCE}/barrier.rs",
          {"let missing = change.followers.len() - acknowledged;": "let missing = 0_usize;"},
          "keystile-issuance", "a_cut_waits_w_for_a_follower_that_does_not_acknowledge_and_no_longer"),
    Guard("9", "an acknowledgement must reach the cut", f"{ISSUANCE}/barrier.rs",
          {".is_some_and(|at| at.reaches(&change.position))": ".is_some()"},
          "keystile-issuance", "an_acknowledgement_of_less_or_of_another_history_counts_for_nothing"),
    Guard("9", "W counts from the commit", f"{ISSUANCE}/barrier.rs",
          {"let over = change.since + self.wait;": "let over = change.since;"},
          "keystile-issuance", "a_cut_waits_w_for_a_follower_that_does_not_acknowledge_and_no_longer"),
    Guard("9", "a cut past the deadline is pending and never done", f"{ISSUANCE}/change.rs",
          {"return Outcome { operation, receipt, pending: receipt.is_none() };": 
           "return Outcome { operation, receipt, pending: false };"},
          "keystile-issuance", "past_the_callers_deadline_a_cut_is_pending_and_can_be_resumed"),
    Guard("45", "a new history waits W once", f"{ISSUANCE}/barrier.rs",
          {"if epoch.settled == epoch.history {": "if true {"},
          "keystile-issuance", "in_a_new_history_no_cut_returns_before_w_has_passed_once"),
    Guard("10", "the row's version", f"{ISSUANCE}/store/sql/tx.rs",
          {"            .filter(key::Column::Version.eq(before.version))\n": ""},
          "keystile-issuance", "a_key_is_replaced_only_in_the_version_that_was_read"),
    Guard("11", "a create's repeat returns no token", f"{ISSUANCE}/keys/create.rs",
          {"Err(Error::OperationRepeated(subject(made.scope)))":
           "let _ = subject(made.scope); Ok(After::Key(Box::new(self.key.clone())))"},
          "keystile-issuance", "a_retried_create_is_refused_with_the_keys_id_and_no_token"),
    Guard("11", "a regenerate's repeat returns no token", f"{ISSUANCE}/keys.rs",
          {"if E::ISSUES {": "if false {"},
          "keystile-issuance", "a_retried_regenerate_or_rotate_never_returns_a_token"),
    Guard("11", "an operation is made once", f"{ISSUANCE}/change.rs",
          {"tx.operation(ask.team, ask.operation).await? {": "tx.operation(ask.team, ask.operation).await?.filter(|_| false) {"},
          "keystile-issuance", "a_retried_create_is_refused_with_the_keys_id_and_no_token"),
    Guard("11", "an operation's id names one change", f"{ISSUANCE}/change.rs",
          {"if !change.is_repeat_of(&made) {": "if false {"},
          "keystile-issuance", "a_retried_create_is_refused_with_the_keys_id_and_no_token"),
    Guard("12", "a token is stored as its hash", f"{ISSUANCE}/keys/mint.rs",
          {".map(|phc| phc.to_string())": '.map(|phc| format!("{phc} {}", token.expose_secret()))'},
          "keystile-issuance", "after_create_regenerate_and_rotate_no_file_answer_or_log_has_the_secret"),
    Guard("12", "no line of the log has the token", f"{ISSUANCE}/keys/create.rs",
          {"        let (token, secret) = self.mint(new.environment, &kid, now).await?;\n":
           "        let (token, secret) = self.mint(new.environment, &kid, now).await?;\n"
           '        tracing::debug!(token = secrecy::ExposeSecret::expose_secret(&token), "minted");\n'},
          "keystile-issuance", "after_create_regenerate_and_rotate_no_file_answer_or_log_has_the_secret"),
    Guard("33", "a key is found in its team", f"{ISSUANCE}/store/sql.rs",
          {"    let row = key::Entity::find_by_id(id.as_uuid())\n        .filter(key::Column::TeamId.eq(team.as_uuid()))\n":
           "    let _ = team;\n    let row = key::Entity::find_by_id(id.as_uuid())\n"},
          "keystile-issuance", "another_teams_key_is_answered_exactly_as_one_that_never_was"),
    Guard("33", "keys are listed of one team", f"{ISSUANCE}/store/sql/list.rs",
          {"        .filter(key::Column::TeamId.eq(query.team.as_uuid()))\n": ""},
          "keystile-issuance", "another_teams_changes_team_keys_and_trail_are_not_to_be_seen"),
    Guard("33", "the trail is of one team", f"{ISSUANCE}/store/sql.rs",
          {"            .filter(audit::Column::TeamId.eq(query.team.as_uuid()))\n": ""},
          "keystile-issuance", "another_teams_changes_team_keys_and_trail_are_not_to_be_seen"),
    Guard("33", "a change is found in its team", f"{ISSUANCE}/store/sql.rs",
          {"operation::Entity::find_by_id((team.as_uuid(), id.as_uuid())).one(database).await?;":
           "{ let _ = team; operation::Entity::find().filter(operation::Column::Id.eq(id.as_uuid())).one(database).await? };"},
          "keystile-issuance", "another_teams_changes_team_keys_and_trail_are_not_to_be_seen"),
    Guard("33", "a team is read by itself", f"{ISSUANCE}/teams/get.rs",
          {"if named.is_some_and(|named| named != own) {": "if false {",
           "                own\n": "                named.unwrap_or(own)\n"},
          "keystile-issuance", "another_teams_changes_team_keys_and_trail_are_not_to_be_seen"),
    Guard("35", "the plan's number of keys", f"{ISSUANCE}/keys/create.rs",
          {"&& tx.count_keys(self.team).await? >= u64::from(max)": "&& false"},
          "keystile-issuance", "of_a_hundred_creates_at_once_no_more_succeed_than_the_plan_allows"),
    Guard("35", "keys are counted inside the transaction", f"{ISSUANCE}/keys/create.rs",
          {"        let change = CreateKey { team, key };":
           "        let counted = self.store.count_keys(team).await?;\n"
           "        let change = CreateKey { team, key, counted };",
           "    key: KeyRecord,\n}": "    key: KeyRecord,\n    counted: u64,\n}",
           "tx.count_keys(self.team).await? >= u64::from(max)": "self.counted >= u64::from(max)"},
          "keystile-issuance", "of_a_hundred_creates_at_once_no_more_succeed_than_the_plan_allows"),
    Guard("35", "a plan without API access makes no key", f"{ISSUANCE}/keys/create.rs",
          {"if !team.plan.api_access {": "if false {"},
          "keystile-issuance", "without_api_access_no_secret_is_made_and_losing_it_is_a_cut"),
    Guard("35", "a plan without API access makes no secret", f"{ISSUANCE}/keys/regenerate.rs",
          {"if !given.team.plan.api_access {": "if false {"},
          "keystile-issuance", "without_api_access_no_secret_is_made_and_losing_it_is_a_cut"),

    # verification
    Guard("1", "the tag spares every look-up", f"{DOMAIN}/token.rs",
          {".filter(|mac| bool::from(mac[..TAG_LEN].ct_eq(tag)))": ""},
          "keystile-verification", "a_hundred_thousand_mutants_of_real_tokens_are_refused_and_cost_nothing"),
    Guard("1", "the whole token proves the secret", f"{VERIFICATION}/prove.rs",
          {"if Argon2::default().verify_password(text, &hash).is_ok() {":
           "if Argon2::default().verify_password(text, &hash).is_ok() || true {"},
          "keystile-verification", "regenerated_twice_only_the_newest_token_works_and_the_others_cost_nothing"),
    Guard("4", "who joins a look-up starts none", f"{VERIFICATION}/flight.rs",
          {"if let Some(flight) = flights.get(&digest) {": "if let Some(flight) = flights.get(&digest).filter(|_| false) {"},
          "keystile-verification", "a_hundred_cold_questions_at_once_are_one_look_up_and_one_hash"),
    Guard("4", "what opens nothing is remembered", f"{VERIFICATION}/lookup.rs",
          {"        self.caches.negatives.insert(genuine.digest, negative);\n": "        let _ = genuine;\n"},
          "keystile-verification", "regenerated_twice_only_the_newest_token_works_and_the_others_cost_nothing"),
    Guard("5", "look-ups are admitted", f"{VERIFICATION}/lookup.rs",
          {"let _admitted = self.admission.try_acquire().map_err(|_| Error::Overloaded)?;": 
           "let _admitted = self.admission.try_acquire();"},
          "keystile-verification", "one_look_up_more_than_are_admitted_is_no_verdict"),
    Guard("8", "the full digest is the index", f"{VERIFICATION}/l1.rs",
          {"        self.0.get(digest)\n": "        self.0.get(&Self::short(digest))\n",
           "        self.0.insert(digest, entry);\n    }\n":
           "        self.0.insert(Self::short(&digest), entry);\n    }\n\n"
           "    fn short(digest: &Digest) -> Digest {\n        let mut bytes = [0; 32];\n"
           "        bytes[..16].copy_from_slice(&digest.as_bytes()[..16]);\n        Digest::from_bytes(bytes)\n    }\n"},
          "keystile-verification", "digests_that_share_a_prefix_do_not_mix"),
    Guard("8", "facts are kept and never decisions", f"{VERIFICATION}/verify.rs",
          {"return Some(self.decide(entry, question));": "return Some(Answer::Allowed(Allowed { entry, grant: None }));"},
          "keystile-verification", "random_grants_and_requests_agree_with_the_reference_model"),
    Guard("8", "expiry is judged at each question", f"{VERIFICATION}/verify.rs",
          {"let now = if entry.ends { self.clock.now() } else { OffsetDateTime::UNIX_EPOCH };": 
           "let now = OffsetDateTime::UNIX_EPOCH;"},
          "keystile-verification", "expiry_is_judged_at_each_question_on_the_wall_clock"),
    Guard("8", "facts are of the key that was asked about", f"{VERIFICATION}/lookup.rs",
          {"if facts.kid != genuine.kid || facts.environment != genuine.environment {": "if false {"},
          "keystile-verification", "facts_of_another_key_are_a_defect_and_no_verdict"),
    Guard("9", "without a lease nothing is shared", f"{VERIFICATION}/verify.rs",
          {"match (self.follower.lease_current(), attempt) {": "match (true, attempt) {"},
          "keystile-verification", "without_a_lease_every_question_is_a_look_up_of_its_own"),
    Guard("9", "what is kept is used under the lease alone", f"{VERIFICATION}/verify.rs",
          {"        self.follower.admit_at(now, &entry.as_of, entry.facts.scopes())?;\n":
           "        self.follower.check(&entry.as_of, entry.facts.scopes())?;\n"},
          "keystile-verification", "without_a_lease_every_question_is_a_look_up_of_its_own"),
    Guard("9", "what is kept is held against the tombstones", f"{VERIFICATION}/verify.rs",
          {"        self.follower.admit_at(now, &entry.as_of, entry.facts.scopes())?;\n": ""},
          "keystile-verification", "a_revoked_key_is_refused_as_soon_as_its_cut_is_acknowledged"),
    Guard("9", "an answer is held against the tombstones", f"{VERIFICATION}/verify.rs",
          {"                    };\n                    if usable.is_ok() && reaches(&entry.as_of, question) {":
           "                    };\n                    let _ = usable;\n                    if reaches(&entry.as_of, question) {"},
          "keystile-verification", "an_answer_older_than_a_tombstone_is_fetched_again_and_never_used"),
    Guard("9", "a joined look-up needs the lease at its end", f"{VERIFICATION}/verify.rs",
          {"Began::Earlier => self.admit(self.clock.tick(), &entry),":
           "Began::Earlier => self.follower.check(&entry.as_of, entry.facts.scopes()),"},
          "keystile-verification", "who_joined_a_look_up_and_lost_the_lease_meanwhile_asks_anew"),
    Guard("9", "at_least", f"{VERIFICATION}/verify.rs",
          {"question.at_least.as_ref().is_none_or(|at_least| as_of.reaches(at_least))": "{ let _ = (as_of, question); true }"},
          "keystile-verification", "facts_older_than_at_least_count_as_missing"),
    Guard("9", "an entry lives an hour", f"{VERIFICATION}/verify.rs",
          {"if now >= entry.ends_at {": "if false {"},
          "keystile-verification", "an_entry_lives_an_hour_from_its_reading"),
    Guard("7", "the seal of an entry of L2", f"{VERIFICATION}/l2.rs",
          {"let (_, payload) = self.keys.open(SealKind::Entry, &sealed, now).ok()?;": "let payload: &[u8] = &sealed.payload;"},
          "keystile-verification", "an_entry_with_any_byte_changed_is_none"),
    Guard("7", "an entry of L2 is of one token", f"{VERIFICATION}/l2.rs",
          {"if kept.digest != genuine.digest.as_bytes() {": "if false {"},
          "keystile-verification", "an_entry_of_one_token_under_another_s_digest_is_none"),
    Guard("7", "an entry of L2 is over when its hour is", f"{VERIFICATION}/l2.rs",
          {"let left = Duration::try_from(ends_at - now).ok()?.min(caches::TTL);": "let left = { let _ = ends_at; caches::TTL };"},
          "keystile-verification", "an_entry_is_over_an_hour_after_issuance_was_asked_however_often_it_moves"),
    Guard("7", "L2 is used under the lease alone", f"{VERIFICATION}/verify.rs",
          {"match (self.follower.lease_current(), attempt) {": "match (true, attempt) {",
           "        self.follower.admit_at(now, &entry.as_of, entry.facts.scopes())?;\n":
           "        self.follower.check(&entry.as_of, entry.facts.scopes())?;\n"},
          "keystile-verification", "without_a_lease_l2_is_not_asked"),
    Guard("7", "L2 is held against the tombstones", f"{FOLLOWER}/tombstones.rs",
          {"if self.sieve[slot(scope)].load(Ordering::Acquire) > seq {": "if false {"},
          "keystile-verification", "an_entry_from_before_a_cut_is_not_used_whoever_puts_it_back"),
    Guard("7", "L2 is held against at_least", f"{VERIFICATION}/verify.rs",
          {"question.at_least.as_ref().is_none_or(|at_least| as_of.reaches(at_least))": "{ let _ = (as_of, question); true }"},
          "keystile-verification", "an_entry_older_than_at_least_is_asked_about_again"),
    Guard("12", "Debug of a question", f"{VERIFICATION}/verify.rs",
          {'f.debug_struct("Question").field(': 'f.debug_struct("Question").field("token", &self.token).field('},
          "keystile-verification", "a_question_does_not_show_its_token"),
    Guard("40", "capabilities are for the gateway", f"{VERIFICATION}/rpc.rs",
          {"if identity != Some(&Identity::Role(Role::Gateway)) {": "if false {"},
          "keystile-verification", "the_gateway_gets_a_capability_for_what_is_allowed_and_nobody_else_does"),

    # vault
    Guard("9", "the fence", f"{VAULT}/fence.rs",
          {"follower.admit(&capability.as_of, capability.scopes())": "Ok::<(), Rejected>(())"},
          "keystile-vault", "a_capability_older_than_a_cut_is_refused_with_what_is_needed"),
    Guard("9", "the lease before anything starts", f"{VAULT}/fence.rs",
          {"follower.admit(&capability.as_of, capability.scopes())": "follower.check(&capability.as_of, capability.scopes())"},
          "keystile-vault", "without_a_lease_nothing_starts"),
    Guard("9", "the fence right before dialling", f"{VAULT}/run_action.rs",
          {"        fence::admit(&self.follower, capability)?;\n        if let Some(connection)":
           "        if let Some(connection)"},
          "keystile-vault", "a_lease_that_ends_while_an_action_is_prepared_stops_it_before_it_dials"),
    Guard("8", "a capability is for one component", f"{VAULT}/run_action.rs",
          {"if capability.component != *component {": "if false {"},
          "keystile-vault", "only_a_capability_for_that_component_sealed_for_vault_is_taken"),
    Guard("14", "a credential is for its app", f"{VAULT}/outside.rs",
          {"if credential.app != connection.app {": "if false {"},
          "keystile-vault", "a_credential_moved_to_another_place_does_not_open"),
    Guard("16", "vault starts with the keys that it needs", f"{VAULT}/keys.rs",
          {"record.unwrap(&*kek).await.map_err(Error::KeyEncryption)?;": "let _ = record.unwrap(&*kek).await;"},
          "keystile-vault", "without_the_key_encryption_key_in_use_vault_does_not_start"),
    Guard("16", "vault starts with the right key of a version", f"{VAULT}/keys.rs",
          {"            record.unwrap(&*kek).await.map_err(Error::KeyEncryption)?;\n":
           "            if let Err(gone @ keystile_seal::Error::UnknownVersion(_)) = record.unwrap(&*kek).await {\n"
           "                return Err(Error::KeyEncryption(gone));\n            }\n"},
          "keystile-vault", "without_the_key_encryption_key_in_use_vault_does_not_start"),
    Guard("33", "a connection is found in its team", f"{VAULT}/store/sql.rs",
          {"            .filter(connection::Column::TeamId.eq(team.as_uuid()))\n            .filter(connection::Column::DeletedAt.is_null())\n            .one(self.database.read())":
           "            .filter(connection::Column::DeletedAt.is_null())\n            .one(self.database.read())"},
          "keystile-vault", "another_team_s_connection_is_not_there"),
    Guard("33", "a connection is changed in its team", f"{VAULT}/store/sql.rs",
          {"            .filter(connection::Column::TeamId.eq(team.as_uuid()))\n            .lock_exclusive()": "            .lock_exclusive()"},
          "keystile-vault", "another_team_s_connection_is_not_there"),
    Guard("33", "connections are listed of one team", f"{VAULT}/store/sql.rs",
          {"        let mut query = connection::Entity::find()\n            .filter(connection::Column::TeamId.eq(team.as_uuid()))\n":
           "        let mut query = connection::Entity::find()\n"},
          "keystile-vault", "another_team_s_connection_is_not_there"),
    Guard("33", "vault's trail is of one team", f"{VAULT}/store/sql.rs",
          {"audit::Entity::find().filter(audit::Column::TeamId.eq(team.as_uuid()));": "audit::Entity::find();"},
          "keystile-vault", "another_team_s_connection_is_not_there"),

    # gateway
    Guard("29", "one credential", f"{GATEWAY}/auth.rs",
          {"(Some(_), Some(_)) => return Err(code::AMBIGUOUS_CREDENTIALS.problem()),": "(Some(value), Some(_)) => bearer(value)?,"},
          "keystile-gateway", "anything_else_has_its_own_code"),
    Guard("29", "a credential once", f"{GATEWAY}/auth.rs",
          {"if values.next().is_some() { Err(code::AMBIGUOUS_CREDENTIALS.problem()) } else { Ok(first) }": "Ok(first)"},
          "keystile-gateway", "anything_else_has_its_own_code"),
    Guard("30", "the path is the id and nothing beside it", f"{GATEWAY}/enforce.rs",
          {"    text.parse().ok()\n": "    text.split(['%', '/', ';', ' ']).next()?.parse().ok()\n"},
          "keystile-gateway", "no_spelling_of_a_path_reaches_another_component"),
    Guard("34", "an unknown member of a run", f"{GATEWAY}/run.rs",
          {"#[serde(deny_unknown_fields)]\n": ""},
          "keystile-gateway", "a_bad_body_runs_nothing_and_is_told_where_it_is_bad"),
    Guard("34", "an input that the component does not take", f"{GATEWAY}/run.rs",
          {"    permit.item().component.validate(&inputs).map_err(|faults| invalid(&faults))?;\n":
           "    let _ = permit.item().component.validate(&inputs).map_err(|faults| invalid(&faults));\n"},
          "keystile-gateway", "a_bad_body_runs_nothing_and_is_told_where_it_is_bad"),
    Guard("34", "an unknown query parameter", f"{GATEWAY}/query.rs",
          {"#[serde(deny_unknown_fields)]\n": ""},
          "keystile-gateway", "a_query_parameter_that_nobody_knows_is_told"),

    # console
    Guard("11", "a repeat is the same operation", f"{CONSOLE}/rest/extract.rs",
          {"let Some(key) = &self.0 else {": "let Some(key) = self.0.as_ref().filter(|_| false) else {"},
          "keystile-console", "a_created_token_is_told_once"),
    Guard("11", "a name is a team's own", f"{CONSOLE}/rest/extract.rs",
          {"        digest.update(team.as_uuid().as_bytes());\n": "        let _ = team;\n"},
          "keystile-console", "a_created_token_is_told_once"),
    Guard("33", "a management token is found in its team", f"{CONSOLE}/store/sql.rs",
          {"    entity::token::Entity::find_by_id(id.as_uuid())\n        .filter(entity::token::Column::TeamId.eq(team.as_uuid()))\n":
           "    let _ = team;\n    entity::token::Entity::find_by_id(id.as_uuid())\n"},
          "keystile-console", "the_sql_store_conforms_on_sqlite"),
    Guard("33", "management tokens are listed of one team", f"{CONSOLE}/store/sql.rs",
          {"        let mut query = entity::token::Entity::find()\n            .filter(entity::token::Column::TeamId.eq(team.as_uuid()))\n":
           "        let _ = team;\n        let mut query = entity::token::Entity::find()\n"},
          "keystile-console", "the_sql_store_conforms_on_sqlite"),
    Guard("33", "the console's trail is of one team", f"{CONSOLE}/store/sql.rs",
          {"            .filter(entity::audit::Column::TeamId.eq(team.as_uuid()))\n": ""},
          "keystile-console", "the_sql_store_conforms_on_sqlite"),
    Guard("34", "an unknown member of a new key", f"{CONSOLE}/rest/keys/body.rs",
          {'#[serde(rename_all = "camelCase", deny_unknown_fields)]\npub(in crate::rest) struct CreateKey {':
           '#[serde(rename_all = "camelCase")]\npub(in crate::rest) struct CreateKey {'},
          "keystile-console", "what_nobody_asked_for_is_refused"),
    Guard("34", "an unknown member of a new grant", f"{CONSOLE}/rest/keys/body.rs",
          {'#[serde(rename_all = "camelCase", deny_unknown_fields)]\n#[schema(as = NewGrant)]':
           '#[serde(rename_all = "camelCase")]\n#[schema(as = NewGrant)]'},
          "keystile-console", "what_nobody_asked_for_is_refused"),
    Guard("34", "a body where none belongs", f"{CONSOLE}/rest/extract.rs",
          {"#[serde(deny_unknown_fields)]\npub(super) struct Nothing {}": "pub(super) struct Nothing {}"},
          "keystile-console", "what_nobody_asked_for_is_refused"),
]
