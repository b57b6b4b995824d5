//! `keystile vault rotate-data-keys`.

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;
use keystile_domain::TeamId;
use keystile_vault::{Rotation, rotation::Progress};
use serde::Serialize;

use super::{plural, progress::Shown};
use crate::{Settings, advice::Advice, wire};

/// How long an old data key is kept for calls that read a value just before it was sealed anew: as
/// long as a call may wait for the database.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    teams: u64,
    /// Data keys that this run made; an earlier run made the others.
    made: u64,
    /// Values that this run sealed anew.
    resealed: u64,
    /// Old data keys that this run removed.
    removed: u64,
}

pub(super) async fn rotate(
    settings: &Settings,
    team: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    let (rotation, _) = wire::rotation(settings).await?;
    let mut teams = rotation.teams().await?;
    if let Some(text) = team {
        let team: TeamId = text.parse().with_context(|| format!("{text:?} is no team"))?;
        if !teams.contains(&team) {
            let hint = "only a team that has connected an account has one";
            return Err(Advice::new(format!("{team} has no data key"), hint).into());
        }
        teams = vec![team];
    }
    let shown = Shown::new("sealed values", json);
    let rotated = rotate_each(&rotation, &teams, &shown).await;
    shown.end();
    let rotated = rotated?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&rotated)?)?;
        return Ok(());
    }
    let Rotated { teams, made, resealed, removed } = rotated;
    let (teams, made) = (plural(teams, "team"), plural(made, "data key"));
    let (resealed, removed) = (plural(resealed, "value"), plural(removed, "old data key"));
    writeln!(out, "{teams}: made {made}, sealed {resealed} anew, removed {removed}")?;
    Ok(())
}

async fn rotate_each(
    rotation: &Rotation,
    teams: &[TeamId],
    shown: &Shown,
) -> anyhow::Result<Rotated> {
    let mut rotated = Rotated { teams: teams.len() as u64, ..Rotated::default() };
    for team in teams {
        let before = rotated.resealed;
        let watch = |progress: Progress| {
            shown.at(Progress { done: before + progress.done, left: progress.left });
        };
        let done = rotation.reseal(*team, &watch).await?;
        rotated.made += u64::from(done.replaced);
        rotated.resealed += done.values;
    }
    if teams.is_empty() {
        return Ok(rotated);
    }
    shown.say(&format!("waiting {} s for calls that are under way", UNDER_WAY.as_secs()));
    tokio::time::sleep(UNDER_WAY).await;
    for team in teams {
        rotated.resealed += rotation.reseal_rest(*team).await?;
        rotated.removed += rotation.remove_retired(*team).await?;
    }
    Ok(rotated)
}
