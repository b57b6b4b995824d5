//! The runs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    chaos,
    clock::SimClock,
    counts::{Counts, What},
    hands::{Hand, Questions, programs},
    plan::Plan,
    rng::Rng,
    twins::Twin,
    world::World,
};

/// People who work on keys of their own.
const HANDS: u64 = 3;

/// Runs a plan under a seed, and says what was wrong.
fn run(plan: impl FnOnce(&Rng) -> Plan, seed: u64, counts: &Counts) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // One thread that hashes, and what it did is seen when there is nothing else to do: always
        // at the same point.
        .max_blocking_threads(1)
        .global_queue_interval(u32::MAX)
        .build()
        .expect("a runtime");
    counts.one(What::Seed);
    let rng = Rng::new(seed);
    let plan = plan(&rng.fork(0));
    let counts = counts.clone();
    runtime.block_on(async move {
        let run = tokio::spawn(async move { play(plan, &rng, counts).await });
        run.await.unwrap_or_else(|cause| vec![format!("the run died: {cause}")])
    })
}

async fn play(plan: Plan, rng: &Rng, counts: Counts) -> Vec<String> {
    let world = World::new(plan, &rng.fork(1), counts).await;
    let (questions, clock) = (Questions::default(), SimClock::exact());
    let hand = |label, team| Hand::new(&world, &questions, rng.fork(label), clock, team);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..2 {
        let operator = hand(10 + number, None);
        let team = operator.found().await;
        for of in 0..HANDS - number {
            tasks.spawn(hand(20 + 10 * number + of, Some(team.id)).work(team));
        }
        tasks.spawn(operator.govern(team));
    }
    tasks.spawn(programs(world.clone(), questions.clone(), rng.fork(2)));
    tasks.spawn(chaos::rage(world.clone(), rng.fork(3)));
    let end = tokio::time::sleep(plan.length);
    tokio::pin!(end);
    let mut failures = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                if let Err(cause) = ended {
                    failures.push(format!("a hand died: {cause}"));
                }
            }
            () = &mut end => break,
        }
    }
    failures.extend(world.ledger.failures());
    failures
}

/// Counts every panic from now on: a task whose end nobody awaits would take its own to the grave.
fn count_panics() -> Arc<AtomicU64> {
    let panics = Arc::new(AtomicU64::new(0));
    let (counted, told) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::Relaxed);
        told(panic);
    }));
    panics
}

/// Runs seeds from `first` on two threads, and names those that failed.
fn seeds(first: u64, many: u64) {
    let counts = Counts::default();
    let next = AtomicU64::new(first);
    let failed = std::sync::Mutex::new(Vec::new());
    let panics = count_panics();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + many {
                        return;
                    }
                    let failures = run(Plan::drawn, seed, &counts);
                    if !failures.is_empty() {
                        let head: Vec<_> = failures.into_iter().take(5).collect();
                        failed.lock().expect("sound").push((seed, head));
                    }
                }
            });
        }
    });
    counts.print();
    let mut failed = failed.into_inner().expect("sound");
    failed.sort();
    assert!(failed.is_empty(), "seeds that failed: {failed:#?}");
    assert_eq!(panics.load(Ordering::Relaxed), 0, "tasks that nobody waits for panicked");
    assert_eq!(counts.zeroes(), Vec::<&str>::new(), "never happened");
}

#[test]
fn no_allow_begins_after_its_cut_returned_in_two_hundred_seeds() {
    seeds(1, 200);
}

#[test]
#[ignore = "deep: tests/deep simulation"]
fn deep_ten_thousand_seeds() {
    seeds(1_000, 10_000);
}

/// How often one seed is run again.
const REPEATS: u64 = 50;

#[test]
#[ignore = "one seed, named by KEYSTILE_SIM_SEED"]
fn one_seed() {
    #[expect(clippy::disallowed_methods, reason = "how a failure is run again")]
    let seed = std::env::var("KEYSTILE_SIM_SEED").expect("KEYSTILE_SIM_SEED");
    let seed = seed.parse().expect("a number");
    let counts = Counts::default();
    for repeat in 1..=REPEATS {
        let failures = run(Plan::drawn, seed, &counts);
        assert!(failures.is_empty(), "run {repeat}: {failures:#?}");
    }
    counts.print();
}

/// Seeds in which a twin must be caught.
const SEEDS: u64 = 40;

#[test]
fn twins_are_caught() {
    let counts = Counts::default();
    let mut caught = Vec::new();
    for twin in Twin::ALL {
        let guarded = |_: &Rng| Plan { twin: None, ..Plan::of(twin) };
        let found = (1..=SEEDS).find_map(|seed| {
            let failures = run(|_| Plan::of(twin), seed, &counts);
            let i1 = failures.into_iter().find(|text| text.starts_with("I1"))?;
            Some((seed, i1))
        });
        let Some((seed, failure)) = found else {
            println!("without {twin:?}: not caught in {SEEDS} seeds");
            continue;
        };
        println!("without {twin:?}: seed {seed}, {failure}");
        for seed in 1..=seed {
            let failures = run(guarded, seed, &counts);
            assert!(failures.is_empty(), "with {twin:?}, seed {seed}: {failures:#?}");
        }
        caught.push(twin);
    }
    println!("guards listed: {}, twins caught: {}", Twin::ALL.len(), caught.len());
    assert_eq!(caught, Twin::ALL);
}
