//! How many calls per second the store carries. Each is an accept, a claim, a decision: three synced commits
//! that many calls share.
use std::time::Instant;

use super::*;

const CALLS: u32 = 6000;
const AT_ONCE: usize = 64;

#[expect(clippy::print_stdout, reason = "the figure is the result")]
pub(super) async fn claims_and_completions_per_second(lab: Lab) {
    use futures_util::StreamExt;
    let started = Instant::now();
    let accepts = (0..CALLS).map(|last| lab.created(lab.request(last, 0)));
    let queued: Vec<_> = futures_util::stream::iter(accepts)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let accepted_in = started.elapsed();
    let started = Instant::now();
    let calls = queued.iter().map(|verification| async {
        assert!(matches!(
            lab.claim(verification, at(1)).await,
            Claimed::Dialing(_)
        ));
        let decided = lab
            .decide(finish(verification, Reason::KeyConfirmed), at(9))
            .await;
        assert!(matches!(decided, Decided::Finished { .. }));
    });
    futures_util::stream::iter(calls)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    let completed_in = started.elapsed();
    let per_second = |elapsed: Duration| f64::from(CALLS) / elapsed.as_secs_f64();
    println!("accept: {:.0}/s", per_second(accepted_in));
    println!("claim + complete: {:.0}/s", per_second(completed_in));
}
