//! Cuts a byte stream (TCP, TLS) into messages: RFC 3261 §18.3, keep-alives of RFC 5626 §3.5.1.
//!
//! ```text
//!            CRLFCRLF → Ping, CRLF skipped
//!            ┌──┐
//!   Between ─┴──┘──first octet──▶ Head ──empty line──▶ Body ──length reached──▶ Frame::Message, Between
//!                                  │                    │
//!                                  └── too long, no Content-Length ──▶ Failed (close the connection)
//! ```
//! Invariants: at most one message limit plus one read is buffered, and every octet is scanned once.
use super::{BODY_BYTES_MAX, HEADER_BYTES_MAX, HeaderName, MESSAGE_BYTES_MAX};

#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// Octets of the buffer that have been given out; they go at the next push, all at once.
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between messages; line feeds seen since the last one.
    #[default]
    Between,
    /// In the start line and header fields: the octets before `line` are whole lines already judged, those before
    /// `scanned` hold no further line end.
    Head {
        line: usize,
        scanned: usize,
        length: Length,
    },
    /// The empty line ended at `start`.
    Body {
        start: usize,
        length: usize,
    },
    Failed(FrameError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Unknown,
    Known(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The octets of one message, for [`Message::parse`](crate::sip::message::Message::parse).
    Message(Vec<u8>),
    /// Double CRLF: answer with a single one.
    Ping,
}

/// The stream cannot be cut any further. [`StreamFramer::head`] still holds what came, for
/// [`Message::unframed`](crate::sip::message::Message::unframed), before the connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    #[error("expected a header section of at most {} octets, came more", MESSAGE_BYTES_MAX - BODY_BYTES_MAX)]
    HeadTooLarge,
    #[error("expected a line of at most {HEADER_BYTES_MAX} octets, came a longer one")]
    LineTooLong,
    #[error("expected one Content-Length on a stream, came none or another value")]
    ContentLength,
    #[error("expected a body of at most {BODY_BYTES_MAX} octets, came more")]
    BodyTooLarge,
}

impl FrameError {
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::ContentLength => 400,
            Self::BodyTooLarge => 413,
            Self::HeadTooLarge | Self::LineTooLong => 513,
        }
    }
}

impl StreamFramer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many octets [`StreamFramer::push`] would take now.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.state {
            State::Failed(_) => 0,
            State::Between | State::Head { .. } | State::Body { .. } => {
                MESSAGE_BYTES_MAX.saturating_sub(self.head().len())
            }
        }
    }

    /// Takes octets from the connection and says how many it took: drain [`StreamFramer::next_frame`], then push
    /// the rest.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.buffer
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// The next whole message or ping; `None` when more octets are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let step = match self.state {
                State::Between => self.between(),
                State::Head {
                    line,
                    scanned,
                    length,
                } => self.head_line(line, scanned, length),
                State::Body { start, length } => self.body(start, length),
                State::Failed(error) => return Err(error),
            };
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Wait) => return Ok(None),
                Ok(Step::Out(frame)) => return Ok(Some(frame)),
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
        }
    }

    /// What is buffered of the present message.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    /// Octets of an unfinished message wait here: the connection may be slow or half-open.
    #[must_use]
    pub const fn is_inside_message(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    /// A run of line ends holds a ping or is skipped (§7.5). Many pings in one read get one answer.
    fn between(&mut self) -> Result<Step, FrameError> {
        let octets = self.head();
        let blank = octets.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let run = octets.get(..blank).unwrap_or_default();
        if blank == 0 {
            if octets.is_empty() {
                return Ok(Step::Wait);
            }
            self.state = State::Head {
                line: 0,
                scanned: 0,
                length: Length::Unknown,
            };
            return Ok(Step::Again);
        }
        let is_ping = run.windows(4).any(|four| four == b"\r\n\r\n");
        if !is_ping && blank == octets.len() && b"\r\n\r\n".starts_with(run) {
            return Ok(Step::Wait);
        }
        self.taken += blank;
        Ok(if is_ping {
            Step::Out(Frame::Ping)
        } else {
            Step::Again
        })
    }

    fn head_line(&mut self, line: usize, scanned: usize, length: Length) -> Result<Step, FrameError> {
        let unseen = self.head().get(scanned..).unwrap_or_default();
        let Some(feed) = unseen.iter().position(|b| *b == b'\n') else {
            let scanned = self.head().len();
            if scanned - line > HEADER_BYTES_MAX {
                return Err(FrameError::LineTooLong);
            }
            if scanned > MESSAGE_BYTES_MAX - BODY_BYTES_MAX {
                return Err(FrameError::HeadTooLarge);
            }
            self.state = State::Head {
                line,
                scanned,
                length,
            };
            return Ok(Step::Wait);
        };
        let next = scanned + feed + 1;
        if next > MESSAGE_BYTES_MAX - BODY_BYTES_MAX {
            return Err(FrameError::HeadTooLarge);
        }
        let text = self.head().get(line..next).unwrap_or_default().trim_ascii_end();
        if text.len() > HEADER_BYTES_MAX {
            return Err(FrameError::LineTooLong);
        }
        if text.is_empty() && self.head().get(line).is_some_and(|b| matches!(b, b'\r' | b'\n')) {
            let Length::Known(length) = length else {
                return Err(FrameError::ContentLength);
            };
            self.state = State::Body { start: next, length };
            return Ok(Step::Again);
        }
        let length = content_length(text, length)?;
        self.state = State::Head {
            line: next,
            scanned: next,
            length,
        };
        Ok(Step::Again)
    }

    fn body(&mut self, start: usize, length: usize) -> Result<Step, FrameError> {
        if length > BODY_BYTES_MAX {
            return Err(FrameError::BodyTooLarge);
        }
        if self.head().len() < start + length {
            return Ok(Step::Wait);
        }
        let message = self.head().get(..start + length).unwrap_or_default().to_vec();
        self.taken += message.len();
        self.state = State::Between;
        Ok(Step::Out(Frame::Message(message)))
    }
}

enum Step {
    Again,
    Wait,
    Out(Frame),
}

/// Two lengths, or one that cannot be read, leave the cut to chance: two readers could cut differently, and the
/// rest be taken for a request (request smuggling).
fn content_length(line: &[u8], known: Length) -> Result<Length, FrameError> {
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        return Ok(known);
    };
    let (name, value) = line.split_at(colon);
    if HeaderName::find(name.trim_ascii_end()) != Some(HeaderName::ContentLength) {
        return Ok(known);
    }
    let digits = value.get(1..).unwrap_or_default().trim_ascii();
    let good = !digits.is_empty() && digits.len() <= 10 && digits.iter().all(u8::is_ascii_digit);
    let length = if good {
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
    } else {
        None
    };
    match (known, length) {
        (Length::Unknown, Some(length)) => Ok(Length::Known(length)),
        (Length::Known(_), _) | (Length::Unknown, None) => Err(FrameError::ContentLength),
    }
}
