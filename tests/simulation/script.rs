//! What a trunk and a callee are going to do, as data: drawn before the run, so that a seed says it all.
use ringproof::model::KeyTransport;

/// One INVITE as the trunk treats it.
#[derive(Debug, Clone)]
pub(crate) struct CallScript {
    pub(crate) challenge: Option<Challenge>,
    /// Answers to the first INVITE (after the challenge) that are cured by sending it again.
    pub(crate) first: Option<FirstTry>,
    /// Each after a pause, milliseconds since the step before; the first since the INVITE.
    pub(crate) steps: Vec<(u64, Step)>,
    pub(crate) on_cancel: OnCancel,
    pub(crate) on_bye: OnBye,
    /// A key's INFO leaves when the one before it was answered, else at once.
    pub(crate) info_waits: bool,
    /// A proxy stays in the path: its address is in Record-Route.
    pub(crate) record_route: bool,
    pub(crate) callee: CalleeScript,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// 401 or 407.
    pub(crate) status: u16,
    pub(crate) with_qop: bool,
    pub(crate) verdict: ChallengeVerdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChallengeVerdict {
    /// The right answer goes on.
    Accepts,
    /// The first right answer is `stale`.
    StaleOnce,
    /// No answer is good enough.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstTry {
    Pending491,
    IntervalTooSmall422,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Provisional {
        leg: usize,
        status: u16,
        media: bool,
        reliable: bool,
    },
    Answer {
        leg: usize,
        form: AnswerForm,
    },
    Refuse {
        status: u16,
        phrase: Option<&'static str>,
        headers: Vec<(&'static str, String)>,
    },
    /// An offer of the callee's side in the answered call.
    Offer {
        leg: usize,
        form: OfferForm,
    },
    Options {
        leg: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerForm {
    Pcmu,
    Pcma,
    WithoutEvents,
    /// No SDP in the 2xx.
    Absent,
    OtherCodec,
    PortZero,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfferForm {
    Hold,
    Resume,
    OtherCodec,
    /// A re-INVITE without SDP: the offer is ours.
    Offerless,
    UpdateRefresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// 200 to the CANCEL, 487 to the INVITE so much later.
    Terminates { after_ms: u64 },
    /// The phone is picked up as the CANCEL arrives.
    AnswersFirst,
    /// 200 to the CANCEL, and on with the script.
    Ignores,
    /// No answer to the CANCEL, and on with the script.
    Deaf,
    /// 481 to the CANCEL, and on with the script.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnBye {
    Ok,
    /// Challenged once.
    Challenges,
    /// The trunk has forgotten the dialog.
    Unknown,
    Deaf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CalleeScript {
    pub(crate) habit: Habit,
    /// Whether any RTP comes from there.
    pub(crate) sends_rtp: bool,
    pub(crate) transport: KeyTransport,
    /// From what is heard to the key.
    pub(crate) reaction_ms: u64,
    pub(crate) tone_ms: u64,
    /// Between two keys of a row.
    pub(crate) gap_ms: u64,
}

/// What the person, or the machine, does once the phone is picked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Listens to the end.
    Nothing,
    /// Does what it is told, after doing it wrong so often.
    Obeys {
        wrong_first: u8,
    },
    /// Asks for it once more, then obeys.
    RepeatsThenObeys,
    ReportsFraud,
    /// Keys before the sentence that names them, milliseconds after the answer; then obeys.
    EarlyKeys {
        at_ms: Vec<u64>,
        keys: String,
    },
    HangsUp {
        at_ms: u64,
    },
    /// Obeys and hangs up so soon after.
    ObeysAndHangsUp {
        after_ms: u64,
    },
    /// A greeting with all twelve tones, again and again.
    TwelveTones,
    /// Tones in early media, which stop before the answer or not.
    TonesBeforeAnswer {
        goes_on: bool,
    },
    /// Keys at any time, milliseconds after the answer.
    Mashes {
        keys: Vec<(u64, char)>,
    },
}

impl CalleeScript {
    pub(crate) fn silent() -> Self {
        Self {
            habit: Habit::Nothing,
            sends_rtp: true,
            transport: KeyTransport::Rfc4733,
            reaction_ms: 500,
            tone_ms: 100,
            gap_ms: 300,
        }
    }
}
