//! What each process takes when nobody asks it anything, and how long it takes to be ready. A figure
//! for README, no test of anything.

use keystile_domain::Clock as _;
use keystile_runtime::SystemClock;
use keystile_tests::Cluster;

const RUNS: usize = 5;

#[tokio::test]
#[ignore = "deep: tests/deep idle"]
async fn deep_idle_memory_and_start_up() {
    let mut cluster = Cluster::start_set(&[("KEYSTILE_TELEMETRY__LOG", "info")]).await;
    for part in cluster.parts() {
        let Some(memory) = cluster.memory(&part) else { continue };
        let mut times = Vec::new();
        for _ in 0..RUNS {
            cluster.lose(&part);
            let began = SystemClock.tick();
            cluster.restore(&part).await;
            times.push(SystemClock.tick().since(began).as_millis());
        }
        times.sort_unstable();
        let (median, memory) = (times[RUNS / 2], memory / 1024);
        println!("{part}: {memory} MiB resident, ready after {median} ms (median of {RUNS})");
    }
}
