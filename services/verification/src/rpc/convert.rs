//! Questions and answers as messages.

use keystile_contract::{
    Failure,
    convert::{
        environment, from_position, grant, limits, parse_optional, position, refusal, timestamp,
    },
    proto::{
        common::v1::Sealed,
        verification::v1::{
            self as proto, VerifyRequest, VerifyResponse, verify_response::Verdict,
        },
    },
};
use keystile_domain::{
    ComponentId, ConnectionId, Position,
    facts::{KeyFacts, Request},
};

use crate::{Allowed, Answer, Question, Refused};

/// A request's fields, read.
pub(super) struct Asked {
    component: Option<ComponentId>,
    connection: Option<ConnectionId>,
    source_ip: Option<std::net::IpAddr>,
    at_least: Option<Position>,
}

impl Asked {
    pub(super) fn read(request: &VerifyRequest) -> Result<Self, Failure> {
        let at_least = request.at_least.as_ref();
        Ok(Self {
            component: parse_optional("component", &request.component)?,
            connection: parse_optional("connection_id", &request.connection_id)?,
            source_ip: parse_optional("source_ip", &request.source_ip)?,
            at_least: at_least.map(|value| from_position("at_least", value)).transpose()?,
        })
    }

    pub(super) fn component(&self) -> Option<&ComponentId> {
        self.component.as_ref()
    }

    pub(super) fn question<'q>(&'q self, token: &'q str) -> Question<'q> {
        Question {
            token,
            request: Request {
                component: self.component.as_ref(),
                connection: self.connection,
                source_ip: self.source_ip,
            },
            at_least: self.at_least,
        }
    }
}

pub(super) fn response(
    answer: &Answer,
    component: Option<&ComponentId>,
    capability: Option<Sealed>,
) -> VerifyResponse {
    match answer {
        Answer::Allowed(answer) => VerifyResponse {
            verdict: Some(Verdict::Allowed(allowed(answer, capability))),
            as_of: Some(position(&answer.as_of())),
        },
        Answer::Refused(answer) => VerifyResponse {
            verdict: Some(Verdict::Refused(refused(answer, component))),
            as_of: answer.as_of.as_ref().map(position),
        },
    }
}

fn allowed(answer: &Allowed, capability: Option<Sealed>) -> proto::Allowed {
    let facts = answer.facts();
    let grants = match answer.grant() {
        Some(allowing) => vec![grant(allowing)],
        None => facts.grants.iter().map(|held| grant(&held.grant)).collect(),
    };
    proto::Allowed {
        key_id: facts.key.to_string(),
        team_id: facts.team.to_string(),
        name: facts.name.to_string(),
        environment: environment(facts.environment).into(),
        expires_at: facts.expires_at.map(timestamp),
        grants,
        limits: Some(limits(facts.limits)),
        // Nothing is counted yet.
        remaining: None,
        capability,
    }
}

fn refused(answer: &Refused, component: Option<&ComponentId>) -> proto::Refused {
    let reason = refusal(answer.reason).into();
    let Some(facts) = answer.facts() else {
        return proto::Refused { reason, ..proto::Refused::default() };
    };
    proto::Refused {
        reason,
        key_id: facts.key.to_string(),
        team_id: facts.team.to_string(),
        held_components: component.map(|asked| held_of(facts, asked.app())).unwrap_or_default(),
        retry_at: None,
    }
}

fn held_of(facts: &KeyFacts, app: &str) -> Vec<String> {
    let grants = facts.grants.iter().filter(|held| held.grant.app().as_str() == app);
    grants.flat_map(|held| held.grant.components()).map(ToString::to_string).collect()
}
