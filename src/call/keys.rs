//! The press that may decide: its length is known only when it ends, and that may be after the verdict.
use crate::media::press::Press;
use crate::model::{Digit, KeyTransport};

#[derive(Debug, Clone, Copy)]
pub(super) struct LastPress {
    digit: Digit,
    transport: KeyTransport,
    duration_ms: Option<u32>,
}

impl LastPress {
    pub(super) const fn new(press: &Press) -> Self {
        Self {
            digit: press.digit,
            transport: press.transport,
            duration_ms: press.duration_ms,
        }
    }

    /// Its end was reported; that of another press changes nothing.
    pub(super) fn ended(&mut self, digit: Digit, transport: KeyTransport, duration_ms: u32) {
        if (self.digit, self.transport) == (digit, transport) {
            self.duration_ms.get_or_insert(duration_ms);
        }
    }

    /// How long it lasted, if it was this key and has ended.
    pub(super) fn duration_ms_of(&self, digit: Digit, transport: KeyTransport) -> Option<u32> {
        self.duration_ms
            .filter(|_| (self.digit, self.transport) == (digit, transport))
    }
}
