//! What the stream transports count; every way a connection can end for a reason has a name.
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }

        /// A snapshot of the counters of all TCP and TLS connections.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct SipStreamMetrics {
            /// Connections open now.
            pub open: usize,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(super) fn snapshot(&self, open: usize) -> SipStreamMetrics {
                SipStreamMetrics {
                    open,
                    $($name: self.$name.value(),)*
                }
            }
        }
    };
}

counters! {
    /// Whole messages in.
    received,
    /// Messages, pings and pongs out.
    sent,
    /// Connections taken.
    accepted,
    /// Connections made.
    connected,
    /// Connections that could not be made.
    connect_failed,
    /// Connections turned away for want of a place.
    turned_away,
    /// TLS handshakes of others that failed.
    handshakes_failed,
    /// Pings in.
    pings,
    /// Pings out.
    pings_sent,
    /// Messages that are not SIP.
    unparsable,
    /// Of the unparsable ones, those answered because a known peer sent them.
    refused,
    /// Connections closed because the peer did not read.
    slow_readers,
    /// Connections closed because a message or a stranger took too long.
    slow_writers,
    /// Connections closed because of what came.
    garbage,
}
