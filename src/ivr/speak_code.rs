//! `speak_code`: after its key, the code is spoken twice, digit by digit.
use super::io::Line;
use super::phrase;
use crate::model::{Digits, Masked};

#[derive(Debug)]
pub(super) struct SpeakCode {
    code: Masked<Digits>,
}

impl SpeakCode {
    pub(super) const fn new(code: Masked<Digits>) -> Self {
        Self { code }
    }

    /// The code, once and again.
    pub(super) fn lines(&self) -> Vec<Line> {
        let code = self.code.reveal().reveal();
        vec![
            Line::new(phrase::CODE).with(phrase::VAR_CODE, code.clone()),
            Line::new(phrase::CODE_AGAIN).with(phrase::VAR_CODE, code),
        ]
    }
}
