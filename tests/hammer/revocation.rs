//! Cuts of every kind under every fault: no allow begins after its cut returned, and no refusal
//! after a change that gave access returned and a renewal passed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use keystile_domain::{Clock as _, Role};
use keystile_runtime::SystemClock;
use keystile_tests::Deployment;

use crate::{
    cutter::{Cutter, Scene, given},
    faults::{ALONE, Fault, HEALTHY, ROWS, Saboteur},
    ledger::Question,
    table,
    team::{Console, Team},
    verifiers::Verifiers,
};

/// How much is done.
struct Extent {
    verifiers: usize,
    /// Of them, behind wires that can be cut.
    wired: usize,
    cutters: usize,
    /// How many verifiers are asked about each cut.
    breadth: usize,
    /// Cuts one at a time, before everything else.
    alone: usize,
    /// Cuts in all, at least.
    cuts: usize,
    /// How often each fault is brought about.
    turns: usize,
    /// Keys that are cut during each fault besides.
    doomed: usize,
    lease: Duration,
    /// How long at least a follower is out of reach.
    outage: Duration,
    /// Between questions of the one who asks a verifier all the time.
    pace: Duration,
    /// Is it waited for that a verifier that was killed is forgotten?
    to_the_end: bool,
}

/// Asks one verifier about everything, all the time.
async fn probe(scene: Arc<Scene>, index: usize, standing: Arc<Question>, pace: Duration) {
    let mut turn = index;
    while !scene.over.load(Relaxed) {
        turn = turn.wrapping_mul(0x9e37_79b9).wrapping_add(1);
        let recent = scene.verifiers.recent(turn).filter(|_| !turn.is_multiple_of(4));
        let question = recent.unwrap_or_else(|| Arc::clone(&standing));
        let _ = scene.verifiers.ask(index, &question).await;
        tokio::time::sleep(pace).await;
    }
}

async fn hammer(extent: Extent) {
    let began = SystemClock.tick();
    let lease = extent.lease.as_millis().to_string();
    let renewal = (extent.lease / 4).as_millis().to_string();
    let settings = [
        ("KEYSTILE_TELEMETRY__LOG", "info"),
        ("KEYSTILE_SANDBOX__URL", "http://127.0.0.1:9"),
        ("KEYSTILE_ISSUANCE__LEASE_TTL_MS", &lease),
        ("KEYSTILE_ISSUANCE__RENEW_INTERVAL_MS", &renewal),
    ];
    let roles = [(Role::Issuance, 2), (Role::Vault, 1), (Role::Verification, extent.verifiers)];
    let mut deployment = Deployment::new(&roles, extent.wired, &settings).await;
    deployment.launch(&roles.map(|(role, _)| role)).await;

    let verifiers = Verifiers::new(&deployment, extent.lease);
    let scene = Arc::new(Scene {
        verifiers: Arc::clone(&verifiers),
        row: AtomicUsize::new(ALONE),
        samples: Mutex::default(),
        over: AtomicBool::new(false),
        breadth: extent.breadth,
    });
    let console = Console::new(&deployment);
    let team = Team::create(console.clone()).await;
    let (id, token) = team.key().await.value.expect("nothing is broken yet");
    let standing = Arc::new(Question::new(id, token));
    standing.turn(given(None));
    let new_cutter = async |seed: usize| {
        let team = Team::create(console.clone()).await;
        Cutter::new(Arc::clone(&scene), team, seed as u64)
    };
    new_cutter(0).await.make(extent.alone).await;

    scene.row.store(HEALTHY, Relaxed);
    let mut hands = tokio::task::JoinSet::new();
    for seed in 1..=extent.cutters {
        hands.spawn(new_cutter(seed).await.run());
    }
    for index in 0..extent.verifiers {
        let standing = Arc::clone(&standing);
        hands.spawn(probe(Arc::clone(&scene), index, standing, extent.pace));
    }
    let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
    let mut saboteur = Saboteur {
        deployment: &mut deployment,
        scene: Arc::clone(&scene),
        team,
        standing,
        doomed: extent.doomed,
        outage: extent.outage,
    };
    let steps = extent.turns * Fault::ALL.len();
    let faults = (0..extent.turns).flat_map(|turn| Fault::ALL.map(|fault| (turn, fault)));
    for (step, (turn, fault)) in faults.enumerate() {
        saboteur.healed().await;
        let share = extent.cuts * (step + 1) / steps;
        let still = || scene.cuts() < share && verifiers.tally.wrong().is_empty();
        while still() {
            if let Some(ended) = hands.try_join_next() {
                ended.expect("who hammers goes on");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !verifiers.tally.wrong().is_empty() {
            break;
        }
        saboteur.bring_about(fault, turn).await;
        *counts.entry(fault).or_default() += 1;
        let elapsed = SystemClock.tick().since(began).as_secs();
        eprintln!("{elapsed:>5} s: {} cuts, {fault:?}: {}", scene.cuts(), verifiers.tally);
    }
    if extent.to_the_end {
        saboteur.healed().await;
    }
    scene.over.store(true, Relaxed);
    while let Some(ended) = hands.join_next().await {
        ended.expect("who hammers goes on");
    }
    verifiers.settled().await;

    let samples = scene.samples.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let faults: Vec<_> = counts.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
    println!("{} verifiers, 2 issuance, L = {} ms", extent.verifiers, extent.lease.as_millis());
    println!("cuts {}, faults: {}", samples.len(), faults.join(", "));
    println!("{}", verifiers.tally);
    println!("{}", table::print(&ROWS, &samples));

    let wrong = verifiers.tally.wrong();
    assert!(wrong.is_empty(), "{} wrong answers: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    assert!(samples.len() >= extent.cuts, "{} cuts", samples.len());
    for fault in Fault::ALL {
        assert_eq!(counts.get(&fault), Some(&extent.turns), "{fault:?}");
        let waited = samples.iter().any(|cut| cut.row == fault.row() && cut.waited_out);
        assert!(waited || !fault.has_dead_follower(), "{fault:?} killed no follower");
    }
    for (count, what) in
        [(&verifiers.tally.allowed, "allowed"), (&verifiers.tally.refused, "refused")]
    {
        assert!(count.load(Relaxed) > extent.cuts as u64 / 2, "{what} too seldom");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_begins_after_its_cut_returned_whatever_is_lost_meanwhile() {
    hammer(Extent {
        verifiers: 2,
        wired: 1,
        cutters: 4,
        breadth: 2,
        alone: 5,
        cuts: 200,
        turns: 1,
        doomed: 4,
        lease: Duration::from_secs(1),
        outage: Duration::from_millis(1_500),
        pace: Duration::from_millis(25),
        to_the_end: false,
    })
    .await;
}

/// A number that whoever runs the test sets.
#[expect(clippy::disallowed_methods, reason = "no configuration of Keystile's: the run's own")]
pub(crate) fn asked(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deep: tests/deep hammer"]
async fn deep_hammer_of_a_hundred_thousand_cuts() {
    hammer(Extent {
        verifiers: 8,
        wired: 3,
        cutters: asked("HAMMER_CUTTERS", 24),
        breadth: 3,
        alone: asked("HAMMER_ALONE", 500),
        cuts: asked("HAMMER_CUTS", 100_000),
        turns: asked("HAMMER_TURNS", 2),
        doomed: 32,
        lease: Duration::from_secs(2),
        outage: Duration::from_secs(9),
        pace: Duration::from_millis(5),
        to_the_end: true,
    })
    .await;
}
