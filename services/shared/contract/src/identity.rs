//! Who calls, and the one table of what each may call. Denied by default.
//!
//! Over TCP the identity comes from the peer's certificate; in one process the transport carries
//! it. Either way it is a request extension that no request can set from outside.

use keystile_domain::Role;

/// The peer of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// One of the six services: `keystile://role/<role>`.
    Role(Role),
    /// A program outside that verifies keys: `keystile://caller/<name>`.
    Caller(String),
}

const SCHEME: &str = "keystile://";
/// Long enough for a service's full name, short enough for a log line.
const MAX_CALLER: usize = 64;

impl Identity {
    /// A program outside. Its name is 1 to 64 letters, digits, `-`, `_` and `.`.
    #[must_use]
    pub fn caller(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let named = (1..=MAX_CALLER).contains(&name.len()) && name.bytes().all(plain);
        named.then(|| Self::Caller(name.to_owned()))
    }

    /// As certificates carry it, among their subject alternative names.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// Reads what [`Identity::uri`] writes; nothing else is an identity.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        match uri.strip_prefix(SCHEME)?.split_once('/')? {
            ("role", role) => Role::parse(role).map(Self::Role),
            ("caller", name) => Self::caller(name),
            _ => None,
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(role) => write!(f, "role/{role}"),
            Self::Caller(name) => write!(f, "caller/{name}"),
        }
    }
}

/// Who may call some methods of a service.
struct Rule {
    service: &'static str,
    methods: &'static [&'static str],
    roles: &'static [Role],
    callers: bool,
}

const fn rule(
    service: &'static str,
    methods: &'static [&'static str],
    roles: &'static [Role],
) -> Rule {
    Rule { service, methods, roles, callers: false }
}

/// Every method by its name: one that is new is nobody's until it is written here.
const RULES: &[Rule] = &[
    rule(
        "keystile.issuance.v1.KeyService",
        &[
            "CreateKey",
            "GetKey",
            "ListKeys",
            "UpdateKey",
            "PutGrant",
            "RemoveGrant",
            "DisableKey",
            "EnableKey",
            "RegenerateKey",
            "RotateKey",
            "EndOverlap",
            "RevokeKey",
            "DeleteKey",
            "GetCut",
            "ListAudit",
        ],
        &[Role::Console],
    ),
    rule(
        "keystile.issuance.v1.TeamService",
        &["CreateTeam", "GetTeam", "SetPlan", "SuspendTeam", "ResumeTeam", "RetireTokenKey"],
        &[Role::Console],
    ),
    rule("keystile.issuance.v1.FactService", &["Lookup"], &[Role::Verification]),
    rule("keystile.issuance.v1.FactService", &["Authorize"], &[Role::Triggers]),
    rule(
        "keystile.issuance.v1.FactService",
        &["SetScopeStatus", "ReleaseComponents"],
        &[Role::Vault],
    ),
    rule(
        "keystile.issuance.v1.LogService",
        &["Register", "Renew", "Watch"],
        &[Role::Verification, Role::Vault, Role::Triggers],
    ),
    Rule {
        service: "keystile.verification.v1.VerificationService",
        methods: &["Verify", "VerifyStream"],
        roles: &[Role::Gateway],
        callers: true,
    },
    rule("keystile.vault.v1.ConnectionService", &["CheckGrant"], &[Role::Issuance]),
    rule(
        "keystile.vault.v1.ConnectionService",
        &[
            "CreateConnection",
            "ListConnections",
            "GetConnection",
            "BatchGetConnections",
            "MatchConnections",
            "TestConnection",
            "DeleteConnection",
            "ListAudit",
        ],
        &[Role::Console],
    ),
    rule(
        "keystile.vault.v1.IntegrationService",
        &[
            "CreateIntegration",
            "ListIntegrations",
            "GetIntegration",
            "UpdateIntegration",
            "CheckIntegration",
            "DisableIntegration",
            "EnableIntegration",
            "DeleteIntegration",
        ],
        &[Role::Console],
    ),
    rule(
        "keystile.vault.v1.AppService",
        &["AddApp", "ListApps", "GetApp", "RemoveApp"],
        &[Role::Console],
    ),
    rule("keystile.vault.v1.AppService", &["FetchApps"], &[Role::Gateway, Role::Console]),
    rule("keystile.vault.v1.ConnectService", &["StartConnect"], &[Role::Console]),
    rule(
        "keystile.vault.v1.ConnectService",
        &["OpenConnect", "BeginConnect", "CompleteConnect"],
        &[Role::Gateway],
    ),
    rule("keystile.vault.v1.ActionService", &["RunAction"], &[Role::Gateway, Role::Triggers]),
    rule("keystile.triggers.v1.TriggerService", &["GetStatus"], &[Role::Gateway, Role::Console]),
];

/// May `identity` call the gRPC method at `path`?
#[must_use]
pub fn may_call(identity: &Identity, path: &str) -> bool {
    let named = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    named.is_some_and(|(service, method)| {
        let covers = |rule: &&Rule| rule.service == service && rule.methods.contains(&method);
        RULES.iter().filter(covers).any(|rule| match identity {
            Identity::Role(role) => rule.roles.contains(role),
            Identity::Caller(_) => rule.callers,
        })
    })
}

/// May `identity` call any method of `role`? Whoever may not has no reason to connect.
#[must_use]
pub fn may_reach(identity: &Identity, role: Role) -> bool {
    let of_role = |rule: &&Rule| {
        let package = rule.service.strip_prefix("keystile.");
        package.and_then(|rest| rest.split_once('.')).is_some_and(|(of, _)| of == role.as_str())
    };
    RULES.iter().filter(of_role).any(|rule| match identity {
        Identity::Role(caller) => rule.roles.contains(caller),
        Identity::Caller(_) => rule.callers,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn every_method_of_every_service_has_somebody_who_may_call_it() {
        let descriptors =
            prost_types::FileDescriptorSet::decode(crate::DESCRIPTORS).expect("valid");
        let mut methods = 0;
        for file in &descriptors.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let callers = Role::ALL
                        .into_iter()
                        .filter(|role| may_call(&Identity::Role(*role), &path));
                    assert_ne!(callers.count(), 0, "{path}");
                    methods += 1;
                }
            }
        }
        assert!(methods >= 30, "{methods}");
    }

    #[test]
    fn an_identity_reads_back_from_its_uri_and_from_nothing_like_it() {
        let roles = Role::ALL.into_iter().map(Identity::Role);
        for identity in roles.chain(Identity::caller("billing-1.eu_x")) {
            assert_eq!(Identity::from_uri(&identity.uri()), Some(identity));
        }
        assert!(Identity::caller(&"x".repeat(MAX_CALLER)).is_some());
        for wrong in [
            String::new(),
            "keystile://".to_owned(),
            "keystile://role/".to_owned(),
            "keystile://role/root".to_owned(),
            "keystile://Role/vault".to_owned(),
            "keystile://role/vault/".to_owned(),
            "KEYSTILE://role/vault".to_owned(),
            "https://role/vault".to_owned(),
            "keystile://caller/".to_owned(),
            "keystile://caller/a b".to_owned(),
            "keystile://caller/a/b".to_owned(),
            format!("keystile://caller/{}", "x".repeat(MAX_CALLER + 1)),
        ] {
            assert_eq!(Identity::from_uri(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_role_is_reached_by_those_that_may_call_it() {
        use Role::{Console, Gateway, Issuance, Triggers, Vault, Verification};

        let callers = |role| -> Vec<Role> {
            let reaches = |from: &Role| may_reach(&Identity::Role(*from), role);
            Role::ALL.into_iter().filter(reaches).collect()
        };
        assert_eq!(callers(Issuance), [Verification, Vault, Triggers, Console]);
        assert_eq!(callers(Verification), [Gateway]);
        assert_eq!(callers(Vault), [Issuance, Triggers, Gateway, Console]);
        assert_eq!(callers(Triggers), [Gateway, Console]);
        assert_eq!(callers(Gateway), []);
        let billing = Identity::caller("billing").expect("a name");
        let reached: Vec<_> =
            Role::ALL.into_iter().filter(|role| may_reach(&billing, *role)).collect();
        assert_eq!(reached, [Verification]);
    }

    #[test]
    fn what_no_rule_names_is_denied() {
        for path in [
            "",
            "/",
            "/keystile.issuance.v1.FactService/",
            "/keystile.vault.v1.ActionService/RunActionX",
        ] {
            for role in Role::ALL {
                assert!(!may_call(&Identity::Role(role), path), "{role} {path}");
            }
        }
        let caller = Identity::Caller("billing".into());
        assert!(may_call(&caller, "/keystile.verification.v1.VerificationService/Verify"));
        assert!(!may_call(&caller, "/keystile.issuance.v1.FactService/Lookup"));
    }
}
