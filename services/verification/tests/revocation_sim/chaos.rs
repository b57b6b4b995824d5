//! Faults, one after another and several at a time.

use std::{sync::Arc, time::Duration};

use crate::{
    counts::What,
    l2::Mode,
    plan::Episode,
    rng::Rng,
    world::{ISSUERS, VERIFIERS, World},
};

/// Begins an episode every now and then, for as long as it is planned.
pub(crate) async fn rage(world: Arc<World>, rng: Rng) {
    let episodes = world.plan.episodes;
    if episodes.is_empty() {
        return;
    }
    let over = tokio::time::sleep(world.plan.raging);
    tokio::pin!(over);
    loop {
        tokio::select! {
            biased;
            () = &mut over => return,
            () = tokio::time::sleep(rng.millis(50, world.plan.every)) => {}
        }
        let (world, own) = (Arc::clone(&world), rng.fork(1));
        let episode = episodes[rng.index(episodes.len())];
        if matches!(episode, Episode::Failover | Episode::FailoverLosing | Episode::Restore) {
            // There is one database.
            happen(&world, episode, &own).await;
        } else {
            tokio::spawn(async move { happen(&world, episode, &own).await });
        }
    }
}

/// How long it lasts: mostly around a lease, seldom much longer.
fn length(rng: &Rng) -> Duration {
    match rng.below(20) {
        0 => rng.millis(2_000, 6_000),
        1..8 => rng.millis(10, 300),
        _ => rng.millis(300, 2_500),
    }
}

async fn happen(world: &World, episode: Episode, rng: &Rng) {
    let (verifier, issuer) = (rng.index(VERIFIERS), rng.index(ISSUERS));
    let links = world.links(verifier);
    let length = length(rng);
    match episode {
        Episode::Partition => {
            world.count(What::Partition);
            let one = rng.index(links.len());
            let blocked = if rng.chance(600) { links } else { &links[one..=one] };
            for link in blocked {
                link.set_blocked(true);
            }
            tokio::time::sleep(length).await;
            for link in blocked {
                link.set_blocked(false);
            }
        }
        Episode::PauseVerifier => {
            let Some((process, _)) = world.verifier(verifier) else { return };
            world.count(What::PauseVerifier);
            process.pause();
            tokio::time::sleep(length).await;
            process.resume();
        }
        Episode::PauseIssuance => {
            world.count(What::PauseIssuance);
            let process = world.issuer(issuer);
            process.pause();
            tokio::time::sleep(length).await;
            process.resume();
        }
        Episode::CrashVerifier => {
            if world.verifier(verifier).is_none() {
                return;
            }
            world.count(What::CrashVerifier);
            world.kill_verifier(verifier);
            // At once as often as later: what it left behind is still to be waited for.
            tokio::time::sleep(if rng.chance(500) { Duration::ZERO } else { length }).await;
            world.start_verifier(verifier);
        }
        Episode::CrashIssuance => {
            if world.issuer(issuer).is_dead() {
                return;
            }
            world.count(What::CrashIssuance);
            world.kill_issuer(issuer);
            tokio::time::sleep(length.min(Duration::from_secs(1))).await;
            world.start_issuer(issuer).await;
        }
        Episode::CutStreams => {
            for link in links {
                link.cut_streams();
            }
        }
        Episode::L2Emptied => world.redis.empty(),
        Episode::L2Absent | Episode::L2Slow | Episode::L2Replaying => {
            world.redis.set_mode(match episode {
                Episode::L2Absent => Mode::Absent,
                Episode::L2Slow => Mode::Slow,
                _ => Mode::Replaying,
            });
            tokio::time::sleep(length).await;
            world.redis.set_mode(Mode::Sound);
        }
        Episode::Failover | Episode::FailoverLosing => {
            let doomed = episode == Episode::FailoverLosing;
            let lost = world.database.fail_over(doomed, rng.millis(20, 500)).await;
            world.count(What::Failover);
            if lost {
                world.count(What::RowLost);
            }
        }
        Episode::Restore => {
            world.database.restore().await;
            world.count(What::Restore);
        }
    }
}
