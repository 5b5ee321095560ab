//! Octets → [`Message`], or the reason why not.
use super::{BadRequest, Fault, Headers, Message, Method, ParseError, Request, Response, check};
use crate::sip::uri::Uri;
use crate::sip::wire::{
    Content, FieldLexer, FieldName, FrameError, HEADERS_MAX, HeaderName, MESSAGE_BYTES_MAX, Shape, StartLine,
    WireError, open,
};

/// Most messages have fewer fields.
const FIELDS_USUAL: usize = 20;

pub(super) fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let octets = bytes.get(blank..).unwrap_or_default();
    if octets.is_empty() || octets.iter().all(|b| *b == 0) {
        return Err(ParseError::KeepAlive);
    }
    // Reading stops at the limit, so that a Via may still be found for the answer.
    let too_large = octets.len() > MESSAGE_BYTES_MAX;
    let (start, fields) =
        open(octets.get(..MESSAGE_BYTES_MAX).unwrap_or(octets)).ok_or(ParseError::NotSip)?;
    let fault = too_large.then(|| WireError::MessageTooLarge { bytes: octets.len() }.into());
    match start {
        StartLine::Request { method, uri } => request(method, uri, fields, fault).map(Message::Request),
        StartLine::Response { status, reason } => {
            response(status, reason.into_owned(), fields, fault).map(Message::Response)
        }
        StartLine::BadRequest(error) => {
            let read = read_fields(fields, &is_any);
            Err(refuse(error.into(), None, read.headers))
        }
        StartLine::BadResponse(error) => Err(ParseError::BadResponse(error.into())),
    }
}

pub(super) fn unframed(head: &[u8], error: FrameError) -> ParseError {
    let Some((start, fields)) = open(head.get(..MESSAGE_BYTES_MAX).unwrap_or(head)) else {
        return ParseError::NotSip;
    };
    let method = match start {
        StartLine::Request { method, .. } => Some(Method::from(method)),
        StartLine::BadRequest(_) => None,
        StartLine::Response { .. } | StartLine::BadResponse(_) => {
            return ParseError::BadResponse(error.into());
        }
    };
    refuse(error.into(), method, read_fields(fields, &is_any).headers)
}

fn request(
    method: &str,
    uri_text: &str,
    fields: FieldLexer<'_>,
    fault: Option<Fault>,
) -> Result<Request, ParseError> {
    let method = Method::from(method);
    let read = read_fields(fields, &is_any);
    let uri = uri_text
        .parse()
        .map_err(|error: crate::sip::uri::UriError| Fault::RequestUri {
            expected: error.expected,
        });
    // The first fault in the order of reading names the answer.
    let checked = fault.or(read.fault).map_or_else(
        || {
            let uri: Uri = uri?;
            check::request(&method, &uri, &read.headers)?;
            Ok((uri, read.content.cut(read.rest)?.to_vec()))
        },
        Err,
    );
    match checked {
        Ok((uri, body)) => Ok(Request {
            method,
            uri,
            headers: read.headers,
            body,
        }),
        Err(fault) => Err(refuse(fault, Some(method), read.headers)),
    }
}

fn response(
    status: u16,
    reason: String,
    fields: FieldLexer<'_>,
    fault: Option<Fault>,
) -> Result<Response, ParseError> {
    let read = read_fields(fields, &check::is_vital);
    let checked = fault
        .or(read
            .fault
            .filter(|fault| *fault != Fault::Wire(WireError::NotAField)))
        .map_or_else(
            || {
                check::response(&read.headers)?;
                Ok(read.content.cut(read.rest)?.to_vec())
            },
            Err,
        );
    match checked {
        Ok(body) => Ok(Response {
            status,
            reason,
            headers: read.headers,
            body,
        }),
        Err(fault) => Err(ParseError::BadResponse(fault)),
    }
}

struct Read<'a> {
    headers: Headers,
    content: Content,
    rest: &'a [u8],
    /// The first one; the walk goes on so that what an answer needs is found.
    fault: Option<Fault>,
}

const fn is_any(_: HeaderName) -> bool {
    true
}

/// `single` says for which of the single-value names a second field is a fault.
fn read_fields<'a>(mut fields: FieldLexer<'a>, single: &dyn Fn(HeaderName) -> bool) -> Read<'a> {
    let mut headers = Headers::with_capacity(FIELDS_USUAL);
    let mut content = Content::unknown();
    let mut fault: Option<Fault> = None;
    let (mut seen, mut lines) = (0_u128, 0);
    for field in fields.by_ref() {
        lines += 1;
        if lines > HEADERS_MAX {
            fault = fault.or(Some(WireError::TooManyHeaders.into()));
            break;
        }
        let (name, value) = match field {
            Ok(field) => field,
            Err(error) => {
                fault = fault.or(Some(error.into()));
                continue;
            }
        };
        if let FieldName::Known(known) = name {
            let again = seen & known.bit() != 0;
            seen |= known.bit();
            if again && known.shape() == Shape::Single {
                if single(known) {
                    fault = fault.or(Some(Fault::Duplicate(known.as_str())));
                }
                continue;
            }
            if known == HeaderName::ContentLength {
                if let Err(error) = content.declare(&value) {
                    fault = fault.or(Some(error.into()));
                }
                continue;
            }
        }
        headers.push_lexed(&name, value);
    }
    Read {
        headers,
        content,
        rest: fields.body(),
        fault,
    }
}

fn refuse(fault: Fault, method: Option<Method>, mut headers: Headers) -> ParseError {
    headers.keep_for_refusal();
    ParseError::BadRequest(Box::new(BadRequest {
        status: fault.status(),
        fault,
        method,
        headers,
    }))
}
