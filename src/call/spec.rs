//! What one call is to do.
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ivr::{MenuConfig, Script, Task, phrase};
use crate::media::command::{DtmfMode, TapeRules};
use crate::media::voice::{MissingClip, Voice};
use crate::model::{Codec, Digits, Extension, Masked, Method, SrtpPolicy, SrtpProfile};
use crate::sip::invite::InviteConfig;

#[derive(Clone)]
pub struct CallSpec {
    pub invite: InviteConfig,
    /// Where the callee shall send its RTP, as SDP says it.
    pub local_media: SocketAddr,
    /// In order of preference.
    pub codecs: Vec<Codec>,
    /// Offer `a=rtcp-mux`.
    pub rtcp_mux: bool,
    pub srtp: SrtpPolicy,
    pub srtp_profile: SrtpProfile,
    pub dtmf: DtmfMode,
    /// Follow a callee whose RTP first comes from elsewhere than its SDP says.
    pub learn: bool,
    /// Keep the call's packets for the flight recorder.
    pub tape: Option<TapeRules>,
    pub method: Method,
    /// `match_code`: the digits on the screen. `speak_code`: the digits to speak.
    pub code: Option<Masked<Digits>>,
    pub extension: Option<Extension>,
    pub script: Script,
    pub voice: Arc<Voice>,
    pub brand: Option<String>,
    /// `purpose: transaction`: the values to say; empty for every other purpose.
    pub message: BTreeMap<String, String>,
    pub timings: CallTimings,
}

impl fmt::Debug for CallSpec {
    /// Without what is said in the call: amount and payee are nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSpec")
            .field("invite", &self.invite)
            .field("local_media", &self.local_media)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// How long a call may take where the script does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimings {
    /// From the first 18x to the answer.
    pub ring_max: Duration,
    /// From the first 1xx to the answer, when no 18x comes.
    pub trying_max: Duration,
    /// From the INVITE to the answer, whatever comes.
    pub unanswered_max: Duration,
    /// From our CANCEL to the outcome, when its 487 does not come.
    pub cancel_wait: Duration,
    /// From the peer's BYE to the outcome, when the media leg does not report its end.
    pub drain_wait: Duration,
    /// From our BYE to the last report, when the media leg does not report its end.
    pub close_wait: Duration,
}

impl Default for CallTimings {
    fn default() -> Self {
        Self {
            ring_max: Duration::from_secs(30),
            trying_max: Duration::from_secs(20),
            unanswered_max: Duration::from_secs(45),
            cancel_wait: Duration::from_secs(2),
            drain_wait: Duration::from_millis(250),
            close_wait: Duration::from_millis(500),
        }
    }
}

/// Why a call cannot be placed. Asked before the INVITE, so that no phone rings for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("expected a code of 4 to 8 digits 0-9 for {method}, found {found} digits")]
    Code { method: Method, found: usize },
    #[error("expected at least one codec, found none")]
    NoCodec,
    #[error(transparent)]
    Script(#[from] crate::ivr::ScriptError),
    #[error(transparent)]
    Voice(#[from] MissingClip),
}

impl CallSpec {
    /// Whether this call can be placed and can say everything that it may have to say.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.codecs.is_empty() {
            return Err(SpecError::NoCodec);
        }
        self.check_code()?;
        self.script.check()?;
        let vars = self.vars();
        let mut phrases = self.phrases();
        if !self.message.is_empty() {
            phrases.push(phrase::TRANSACTION);
        }
        for name in phrases {
            let mut vars = vars.clone();
            vars.insert(phrase::VAR_KEY.to_owned(), "1".to_owned());
            let code = self
                .code
                .as_ref()
                .map_or_else(String::new, |code| code.reveal().reveal());
            vars.insert(phrase::VAR_CODE.to_owned(), code);
            self.voice.clips(name, &vars)?;
        }
        Ok(())
    }

    fn check_code(&self) -> Result<(), SpecError> {
        match self.method {
            Method::PressKey | Method::RandomKey => Ok(()),
            Method::MatchCode | Method::SpeakCode => {
                let digits = self
                    .code
                    .as_ref()
                    .map(|code| code.reveal().as_slice())
                    .unwrap_or_default();
                let fits = (4..=8).contains(&digits.len()) && digits.iter().all(|d| d.value().is_some());
                if fits {
                    Ok(())
                } else {
                    Err(SpecError::Code {
                        method: self.method,
                        found: digits.len(),
                    })
                }
            }
        }
    }

    fn phrases(&self) -> Vec<&str> {
        let names = &self.script.names;
        let mut phrases = vec![phrase::PLEASE_LISTEN, phrase::WRONG_KEY];
        match self.method {
            Method::PressKey => phrases.push(&names.confirm),
            Method::RandomKey => phrases.push(&names.random),
            Method::MatchCode => phrases.extend([names.match_code.as_str(), phrase::WRONG_CODE_RETRY]),
            Method::SpeakCode => phrases.extend([names.reveal.as_str(), phrase::CODE, phrase::CODE_AGAIN]),
        }
        if self.script.fraud_sentence && self.script.keys.fraud.is_some() {
            phrases.push(&names.fraud);
        }
        if self.script.goodbye {
            phrases.extend([
                phrase::CONFIRMED,
                phrase::FRAUD_REPORTED,
                phrase::NO_INPUT,
                phrase::GOODBYE,
            ]);
        }
        if self.extension.is_some() {
            phrases.push(phrase::ALREADY_AT_EXTENSION);
        }
        phrases
    }

    /// Variables of every phrase.
    pub(super) fn vars(&self) -> BTreeMap<String, String> {
        let mut vars = self.message.clone();
        if let Some(brand) = &self.brand {
            vars.insert("brand".to_owned(), brand.clone());
        }
        vars
    }

    pub(super) fn menu(&self) -> MenuConfig {
        let code = || self.code.clone().unwrap_or_default();
        MenuConfig {
            script: Arc::new(self.script.clone()),
            task: match self.method {
                Method::PressKey => Task::PressKey,
                Method::RandomKey => Task::RandomKey,
                Method::MatchCode => Task::MatchCode { code: code() },
                Method::SpeakCode => Task::SpeakCode { code: code() },
            },
            extension: self.extension.clone(),
            transaction: (!self.message.is_empty()).then(|| Masked::new(self.message.clone())),
        }
    }
}
