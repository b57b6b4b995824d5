//! The fence is asked again right before dialling: what it passed at first may be over by then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use keystile_domain::{Clock, ErrorKind, Tick};
use keystile_testkit::MockClock;
use serde_json::json;
use time::OffsetDateTime;

use crate::world::{CANARY, World, bearer};

tokio::task_local! {
    /// How often the scope's own task has read the clock; what runs in the background is not in it.
    static READ: Arc<AtomicUsize>;
}

/// Reads of one action: at its start, by the fence, for what is left of its time before it waits its
/// turn and before it is sent, by the fence.
const AT_THE_SECOND_FENCE: usize = 5;

/// Time that passes all at once, so that the lease is over when the fence is asked again.
struct Jumping(MockClock);

impl Clock for Jumping {
    fn now(&self) -> OffsetDateTime {
        self.0.now()
    }

    fn tick(&self) -> Tick {
        let before = READ.try_with(|read| read.fetch_add(1, Ordering::SeqCst));
        if before.is_ok_and(|before| before + 1 == AT_THE_SECOND_FENCE) {
            self.0.advance(Duration::from_hours(1));
        }
        self.0.tick()
    }
}

#[tokio::test]
async fn a_lease_that_ends_while_an_action_is_prepared_stops_it_before_it_dials() {
    let world = World::new().await;
    let vault = world.start_on(Arc::new(Jumping(world.clock.clone()))).await;
    let connection = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let capability = vault.capability("action.bearer.read-echo", Some(connection));
    let read = Arc::default();
    let run = READ.scope(Arc::clone(&read), vault.run(&capability, json!({})));
    let refused = run.await.expect_err("no lease any more");
    assert_eq!((refused.kind, refused.reason.as_str()), (ErrorKind::Unavailable, "no_lease"));
    assert_eq!(read.load(Ordering::SeqCst), AT_THE_SECOND_FENCE);
    assert!(world.upstream.received().is_empty());
    vault.stop().await;
}
