//! Real-time priority for a media thread, where the system grants it.
//!
//! Among threads of one priority the kernel lets the one that runs go on for its whole slice, 100 ms with round robin: a
//! packet that is due waits behind a request. One step above the process, a media thread has its millisecond when it is due,
//! and is done within a part of it.
use thread_priority::{
    RealtimeThreadSchedulePolicy, ScheduleParams, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy_param,
};

/// Of a process that has no real-time priority itself.
const FIRST: u8 = 1;
/// The highest that Linux knows.
const LAST: u8 = 99;

/// Puts the calling thread one step above the process; returns where it stands. An error is the system's refusal.
pub(super) fn raise() -> Result<u8, String> {
    let thread = thread_native_id();
    let (policy, now) = thread_schedule_policy_param(thread).map_err(|error| error.to_string())?;
    let wanted = step_above(policy, now);
    let value = ThreadPriorityValue::try_from(wanted).map_err(|error| error.to_owned())?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set_thread_priority_and_policy(thread, ThreadPriority::Crossplatform(value), policy)
        .map_err(|error| error.to_string())?;
    Ok(wanted)
}

fn step_above(policy: ThreadSchedulePolicy, now: ScheduleParams) -> u8 {
    match policy {
        ThreadSchedulePolicy::Realtime(_) => {
            let now = u8::try_from(now.sched_priority).unwrap_or(0);
            now.saturating_add(1).clamp(FIRST, LAST)
        }
        ThreadSchedulePolicy::Normal(_) => FIRST,
    }
}

#[cfg(test)]
mod tests {
    use thread_priority::NormalThreadSchedulePolicy;

    use super::*;

    #[test]
    fn one_step_above_the_process_and_never_out_of_range() {
        let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        let real_time = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
        let at = |policy, sched_priority| step_above(policy, ScheduleParams { sched_priority });
        assert_eq!(at(normal, 0), 1);
        assert_eq!(at(real_time, 10), 11);
        assert_eq!(at(real_time, 99), 99);
        assert_eq!(at(real_time, -1), 1);
    }

    #[test]
    fn a_thread_that_may_stands_above_the_process_and_one_that_may_not_is_told_why() {
        let said = std::thread::spawn(|| {
            let before = thread_schedule_policy_param(thread_native_id()).unwrap();
            let said = raise();
            let after = thread_schedule_policy_param(thread_native_id()).unwrap();
            match &said {
                Ok(step) => assert_eq!(u8::try_from(after.1.sched_priority), Ok(*step)),
                Err(why) => assert!(!why.is_empty() && after == before),
            }
        });
        said.join().unwrap();
    }
}
