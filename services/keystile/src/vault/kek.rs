//! `keystile vault keys` and `keystile vault rotate-kek`.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use keystile_runtime::SystemEntropy;
use keystile_vault::{
    Rotation,
    rotation::{Progress, State},
};
use serde::Serialize;

use super::{plural, progress::Shown};
use crate::{
    Settings,
    advice::Advice,
    wire::{self, Origin},
};

/// How often it asks whether every process has a key.
const POLL: Duration = Duration::from_millis(200);
/// For how long it asks. A process that was killed counts as one that runs for the first minute.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) struct Options {
    pub(super) rewrap_only: bool,
    pub(super) prune: bool,
    pub(super) json: bool,
}

/// What `keys` says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InUse {
    /// The version that wraps.
    version: u32,
    versions: Vec<u32>,
    /// How many each version wraps.
    data_keys: BTreeMap<u32, u64>,
    unneeded: Vec<u32>,
    /// How many run.
    processes: usize,
}

pub(super) async fn show(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let (rotation, _) = wire::rotation(settings).await?;
    let state = rotation.state().await?;
    let (processes, _) = rotation.processes(state.wrapping).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let unneeded = state.unneeded();
        let State { wrapping: version, versions, data_keys, .. } = state;
        let keys = InUse { version, versions, data_keys, unneeded, processes };
        writeln!(out, "{}", serde_json::to_string(&keys)?)?;
        return Ok(());
    }
    for version in &state.versions {
        let count = state.data_keys.get(version).copied().unwrap_or_default();
        let note = match version {
            version if *version == state.wrapping => ", wraps new ones",
            version if *version > state.wrapping => ", not in use yet",
            _ if count == 0 => ", not needed any more",
            _ => "",
        };
        writeln!(out, "key-encryption key {version}: {}{note}", plural(count, "data key"))?;
    }
    writeln!(out, "{} of vault", plural(processes as u64, "running process"))?;
    Ok(())
}

/// What `rotate-kek` did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    /// The version that every data key is under.
    version: u32,
    /// Did this run make it?
    made: bool,
    /// How many data keys this run re-wrapped.
    rewrapped: u64,
    /// How many there are.
    data_keys: u64,
    /// The processes that run, which have it.
    processes: usize,
    /// Older versions that no data key needs.
    unneeded: Vec<u32>,
    /// Those of them that this run removed.
    removed: Vec<u32>,
}

pub(super) async fn rotate(settings: &Settings, options: Options) -> anyhow::Result<()> {
    let (rotation, origin) = wire::rotation(settings).await?;
    let shown = Shown::new("data keys", options.json);
    let state = rotation.state().await?;
    if state.wrapping == 0 {
        let hint = "start vault once: it chooses the first key-encryption key";
        return Err(Advice::new("vault has never run on this database", hint).into());
    }
    let (version, made) = next(&rotation, &origin, &state, options.rewrap_only, &shown).await?;
    rotation.announce(version).await?;
    let processes = wait(&rotation, version, &origin, &shown).await?;
    rotation.raise(version).await?;
    let rewrapped = rotation.rewrap(&|progress: Progress| shown.at(progress)).await;
    shown.end();
    let rewrapped = rewrapped?;

    let state = rotation.state().await?;
    let data_keys = state.data_keys.values().sum();
    let mut unneeded = state.unneeded();
    let mut removed = Vec::new();
    if options.prune && !unneeded.is_empty() {
        removed = remove(&origin, std::mem::take(&mut unneeded))?;
    }
    tell(
        &Rotated { version, made, rewrapped, data_keys, processes, unneeded, removed },
        &origin,
        options.json,
    )
}

/// The version to bring into use, and whether it was made now.
async fn next(
    rotation: &Rotation,
    origin: &Origin,
    state: &State,
    rewrap_only: bool,
    shown: &Shown,
) -> anyhow::Result<(u32, bool)> {
    if state.is_unfinished() {
        shown.say(&format!("going on with version {}", state.newest));
        return Ok((state.newest, false));
    }
    if rewrap_only {
        return Ok((state.newest, false));
    }
    let next = state.newest.saturating_add(1);
    let hint = match origin {
        Origin::File(file) => {
            let newest = file.add_after(state.newest, &SystemEntropy)?;
            rotation.refresh().await?;
            let path = file.path().display();
            shown.say(&format!("key-encryption key {newest} was made and added to {path}"));
            return Ok((newest, true));
        }
        Origin::Configured => format!(
            "add \"{next}:…\", from `echo {next}:$(openssl rand -base64 32)`, to secrets.keks of \
             every process of vault beside what is there, restart each, then run this again"
        ),
        Origin::Token { token, label } => format!(
            "make an AES-256 key with the label {label}-{next} in the token {token}, for example \
             `pkcs11-tool --login --token-label {token} --keygen --key-type AES:32 --label \
             {label}-{next} --sensitive`, then run this again"
        ),
    };
    let message = format!("there is no key-encryption key that is newer than {}", state.newest);
    Err(Advice::new(message, hint).into())
}

/// Waits until every process that runs has the version; how many these are.
async fn wait(
    rotation: &Rotation,
    version: u32,
    origin: &Origin,
    shown: &Shown,
) -> anyhow::Result<usize> {
    let mut told = false;
    let waiting = async {
        loop {
            let (running, without) = rotation.processes(version).await?;
            if without == 0 {
                return anyhow::Ok(running);
            }
            if !std::mem::replace(&mut told, true) {
                let running = plural(running as u64, "running process");
                shown.say(&format!("waiting for {without} of {running} to have version {version}"));
            }
            tokio::time::sleep(POLL).await;
        }
    };
    if let Ok(running) = tokio::time::timeout(PATIENCE, waiting).await {
        return running;
    }
    let (running, without) = rotation.processes(version).await?;
    let running = plural(running as u64, "running process");
    let message = format!("{without} of {running} of vault have no key-encryption key {version}");
    let hint = match origin {
        Origin::File(file) => format!(
            "copy {} to the data directories of the other hosts, then run this again",
            file.path().display()
        ),
        Origin::Configured => {
            format!("restart each with version {version} in secrets.keks, then run this again")
        }
        Origin::Token { token, label } => {
            format!(
                "see to it that {label}-{version} is in their token {token}, then run this again"
            )
        }
    };
    Err(Advice::new(message, hint).into())
}

fn remove(origin: &Origin, unneeded: Vec<u32>) -> anyhow::Result<Vec<u32>> {
    let Origin::File(file) = origin else {
        let hint = match origin {
            Origin::Token { token, .. } => format!("remove them from the token {token} yourself"),
            _ => "remove them from secrets.keks yourself".to_owned(),
        };
        let message = format!("{} cannot be removed from here", versions(&unneeded));
        return Err(Advice::new(message, hint).into());
    };
    file.remove(&unneeded)?;
    Ok(unneeded)
}

fn versions(versions: &[u32]) -> String {
    let list: Vec<_> = versions.iter().map(ToString::to_string).collect();
    let noun = if list.len() == 1 { "version" } else { "versions" };
    format!("{noun} {}", list.join(", "))
}

fn tell(rotated: &Rotated, origin: &Origin, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(rotated)?)?;
        return Ok(());
    }
    let Rotated { version, rewrapped, data_keys, processes, unneeded, removed, .. } = rotated;
    let rewrapped = plural(*rewrapped, "data key");
    writeln!(
        out,
        "re-wrapped {rewrapped}; every data key ({data_keys}) is under version {version}"
    )?;
    if *processes > 0 {
        let processes = plural(*processes as u64, "running process");
        writeln!(out, "version {version} is known to {processes} of vault")?;
    }
    if !removed.is_empty() {
        writeln!(out, "removed {}", versions(removed))?;
    }
    if !unneeded.is_empty() {
        let how = match origin {
            Origin::File(_) => {
                "`keystile vault rotate-kek --rewrap-only --prune` removes what is not needed"
            }
            Origin::Configured => "remove what is not needed from secrets.keks",
            Origin::Token { .. } => "remove what is not needed from where it is",
        };
        let unneeded = versions(unneeded);
        writeln!(out, "no data key needs {unneeded}, but backups from before do; {how}")?;
    }
    Ok(())
}
