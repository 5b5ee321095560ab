//! What the listeners count; every way a datagram can end has a name.
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(in crate::net) struct Counter(AtomicU64);

impl Counter {
    pub(in crate::net) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub(in crate::net) struct Counters {
            $(pub(in crate::net) $name: Counter,)*
        }

        /// A snapshot of the listeners' counters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct SipUdpMetrics {
            /// Call-IDs registered now.
            pub calls: usize,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(in crate::net) fn snapshot(&self, calls: usize) -> SipUdpMetrics {
                SipUdpMetrics {
                    calls,
                    $($name: self.$name.value(),)*
                }
            }
        }
    };
}

counters! {
    /// Datagrams in, of any kind.
    received,
    /// Datagrams out.
    sent,
    /// Messages handed to a call.
    routed,
    /// Requests handed to the out-of-call queue.
    out_of_call,
    /// Empty datagrams, zeros and line ends.
    keep_alives,
    /// Datagrams that are not SIP.
    unparsable,
    /// Of the unparsable ones, those answered because a known peer sent them.
    refused,
    /// Datagrams of strangers over their allowance.
    strangers_limited,
    /// Responses that belong to no call.
    stray_responses,
    /// Messages that a call's queue had no room for.
    call_queue_dropped,
    /// Requests that the out-of-call queue had no room for.
    out_of_call_dropped,
    receive_errors,
    send_errors,
}
