//! What a session lets go of once it only absorbs: a server has far more calls that have just ended than live ones.
//!
//! What stays answers what may still come: the ACKs that are sent again, our last responses, the identity of each INVITE (from
//! which the ACK, the CANCEL and the BYE of a late answer are made), how far the CSeq of each early dialog has come, and whose
//! messages are listened to. Descriptions, finished requests and dialogs that are gone do not.
use super::{Core, InviteSession};
use crate::sip::usage::InviteUsage;

impl InviteSession {
    /// To be called once [`Self::only_absorbs`] holds; before that it does nothing, and again it costs little.
    pub fn shed(&mut self) {
        if self.only_absorbs() {
            self.core.shed();
        }
    }

    /// Whether a target that gave no answer may still be heard: only then can [`super::Event::LateResponse`] come.
    #[must_use]
    pub fn may_answer_late(&self) -> bool {
        !self.core.late.is_empty() || self.core.targets.has_left_one()
    }
}

impl Core {
    /// The INVITE has its answer: every further telephone that answers is hung up at once.
    pub(super) fn settle_on_answer(&mut self) {
        self.offer = Vec::new();
        self.fallback = None;
        self.targets.shed();
        self.ua.transactions.shed();
    }

    fn shed(&mut self) {
        self.settle_on_answer();
        let (spent, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.legs)
            .into_iter()
            .partition(InviteUsage::is_spent);
        self.legs = kept;
        for leg in &spent {
            self.ua.keep_listening_to(&leg.dialog);
        }
        for usage in &mut self.retired {
            usage.shed();
        }
        for late in &mut self.late {
            late.shed();
        }
        for leg in &mut self.acked {
            leg.ack.bytes.shrink_to_fit();
        }
        self.acked.shrink_to_fit();
        self.late.shrink_to_fit();
    }
}
