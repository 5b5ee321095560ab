//! Names of the phrases that a menu may play. The prompt catalogue has an entry of the same name for every
//! language that is offered; [`ALL`] is what its check goes through.

/// Brand, then "… press pound to confirm it is you". Names the confirm key.
pub const CONFIRM: &str = "confirm";
/// "If you did not ask for this, press 0 then pound." Names the fraud keys.
pub const FRAUD: &str = "fraud";
/// A key came before the sentence that names it.
pub const PLEASE_LISTEN: &str = "please-listen";
/// Brand, then "… press {key}". Names the key of this call; variable [`VAR_KEY`].
pub const RANDOM: &str = "random";
/// Brand, then "… enter the code on your screen, then press pound". Never speaks the code.
pub const MATCH_CODE: &str = "match-code";
/// Brand, then "… press 1 to hear your code". Names the reveal key.
pub const SPEAK_CODE_INTRO: &str = "speak-code-intro";
/// The code, digit by digit; variable [`VAR_CODE`].
pub const CODE: &str = "code";
/// "Again", then the code, digit by digit; variable [`VAR_CODE`].
pub const CODE_AGAIN: &str = "code-again";
/// The key or the code was received; goodbye.
pub const CONFIRMED: &str = "confirmed";
/// That key is not the one that was asked for; another play follows where one is left.
pub const WRONG_KEY: &str = "wrong-key";
/// That code is not the one on the screen; enter it again, then press pound.
pub const WRONG_CODE_RETRY: &str = "wrong-code-retry";
/// The report was received; goodbye.
pub const FRAUD_REPORTED: &str = "fraud-reported";
/// No key came; goodbye.
pub const NO_INPUT: &str = "no-input";
/// Goodbye, and nothing else.
pub const GOODBYE: &str = "goodbye";
/// "If you are already at this extension…", after the extension's digits were sent.
pub const ALREADY_AT_EXTENSION: &str = "already-at-extension";
/// Brand, then what is being confirmed; variables `amount` and `payee`. Played before the naming sentence,
/// so that nobody can confirm what was not yet said.
pub const TRANSACTION: &str = "transaction";

/// To somebody who calls the number back; no menu plays it. Not in [`ALL`]: a language without it is offered all the same.
pub const ANNOUNCEMENT: &str = "announcement";

/// Variable of [`RANDOM`]: one digit 1–9.
pub const VAR_KEY: &str = "key";
/// Variable of [`CODE`] and [`CODE_AGAIN`]: 4–8 digits.
pub const VAR_CODE: &str = "code";

/// Every phrase that a call of ours may say.
pub const ALL: &[&str] = &[
    CONFIRM,
    FRAUD,
    PLEASE_LISTEN,
    RANDOM,
    MATCH_CODE,
    SPEAK_CODE_INTRO,
    CODE,
    CODE_AGAIN,
    CONFIRMED,
    WRONG_KEY,
    WRONG_CODE_RETRY,
    FRAUD_REPORTED,
    NO_INPUT,
    GOODBYE,
    ALREADY_AT_EXTENSION,
    TRANSACTION,
];
