//! How the roles reach one another: by a call where they share a process, over mutual TLS where
//! they do not. Either way the same layers stand before the far end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context as _;
use keystile_contract::{
    Identity, Transport,
    transport::{self, Deferred},
};
use keystile_domain::{Clock as _, Role};
use keystile_runtime::{
    SystemClock, SystemEntropy,
    grpc::{self, Peers, Stack},
    mtls::Credentials,
    telemetry::traced,
};

use crate::{Settings, advice::Advice};

/// The ways from the roles of this process.
pub(super) struct Ways<'a> {
    settings: &'a Settings,
    here: &'a BTreeSet<Role>,
    stacks: BTreeMap<Role, Stack>,
    /// To roles that are here and not built yet: issuance asks vault, and vault asks issuance.
    deferred: Vec<(Role, Role, Deferred)>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(settings: &'a Settings, here: &'a BTreeSet<Role>) -> Self {
        Self { settings, here, stacks: BTreeMap::new(), deferred: Vec::new() }
    }

    /// Adds a role of this process.
    pub(super) fn add(&mut self, role: Role, stack: Stack) {
        for (to, from, far) in &self.deferred {
            if *to == role {
                far.connect(transport::local(stack.clone(), Identity::Role(*from)));
            }
        }
        self.stacks.insert(role, stack);
    }

    /// Is that role in this process?
    pub(super) fn leads_inside(&self, to: Role) -> bool {
        self.here.contains(&to)
    }

    /// What answers the calls to each role that was added.
    pub(super) fn into_stacks(self) -> BTreeMap<Role, Stack> {
        self.stacks
    }

    /// The way from one role, which is here, to another.
    pub(super) fn between(&mut self, from: Role, to: Role) -> anyhow::Result<Transport> {
        Ok(traced(self.untraced(from, to)?, to))
    }

    fn untraced(&mut self, from: Role, to: Role) -> anyhow::Result<Transport> {
        if let Some(stack) = self.stacks.get(&to) {
            return Ok(transport::local(stack.clone(), Identity::Role(from)));
        }
        if self.leads_inside(to) {
            let (near, far) = transport::deferred();
            self.deferred.push((to, from, far));
            return Ok(near);
        }
        let credentials = self.credentials(from)?;
        let url = match to {
            Role::Issuance => &self.settings.issuance.url,
            Role::Verification => &self.settings.verification.url,
            Role::Vault => &self.settings.vault.url,
            Role::Triggers => &self.settings.triggers.url,
            Role::Gateway | Role::Console => anyhow::bail!("{to} is not reached over gRPC"),
        };
        let peers: Peers = url.parse().with_context(|| format!("{to}.url"))?;
        Ok(grpc::peer(
            to,
            peers,
            credentials.client(to)?,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        ))
    }

    fn credentials(&self, role: Role) -> anyhow::Result<Credentials> {
        credentials(self.settings, role)?.ok_or_else(|| {
            let others = Role::ALL.into_iter().filter(|role| !self.here.contains(role));
            let others = others.map(Role::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("{others} run in other processes, and tls.dir is not set");
            let hint = "make certificates with keystile certs init and keystile certs issue, or \
                        run every role in this process: leave --roles out";
            Advice::new(message, hint).into()
        })
    }
}

/// The certificate of a role of this process, where there are any.
pub(super) fn credentials(settings: &Settings, role: Role) -> anyhow::Result<Option<Credentials>> {
    let Some(dir) = &settings.tls.dir else { return Ok(None) };
    let credentials = Credentials::read(dir, &Identity::Role(role)).context("tls.dir")?;
    if !credentials.valid_at(SystemClock.now()) {
        let message = format!("{role}'s certificate in {} is not valid now", dir.display());
        let hint = format!("keystile certs issue --role {role} renews one that has expired");
        return Err(Advice::new(message, hint).into());
    }
    Ok(Some(credentials))
}
