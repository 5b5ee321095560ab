//! What a message must have before anyone works with it (RFC 3261 §8.1.1, §8.2.2, §16.3). Nothing is copied.
use super::values::{decimal, scan_cseq};
use super::{Fault, HeaderError, Headers, Method, name_addr, via};
use crate::sip::uri::{Scheme, Uri};
use crate::sip::wire::{HeaderName, LIST_VALUES_MAX};

/// A field that cannot be read and that we need is a 400; one that we do not need is left alone (§8.2.2).
pub(super) fn request(method: &Method, uri: &Uri, headers: &Headers) -> Result<(), Fault> {
    dialog_fields(headers, usize::MAX)?;
    let (_, cseq_method) = scan_cseq(required(headers, "CSeq")?)?;
    if cseq_method != method.as_str() {
        return Err(Fault::MethodMismatch);
    }
    if uri.scheme() == Scheme::Other {
        return Err(Fault::Scheme);
    }
    if let Some(hops) = headers.get("Max-Forwards")
        && decimal(hops).is_none_or(|hops| hops > 255)
    {
        return Err(HeaderError::malformed("Max-Forwards", "a number of 0 to 255", hops).into());
    }
    let needed: &[&'static str] = match method {
        Method::Register if headers.get("Contact") == Some("*") => &[],
        Method::Register | Method::Update => &["Contact"],
        Method::Invite | Method::Subscribe | Method::Refer => &["Contact", "Record-Route"],
        // No dialog comes of these and no target changes: a BYE must not fail for its Contact.
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Info
        | Method::Prack
        | Method::Notify
        | Method::Message
        | Method::Publish
        | Method::Other(_) => &[],
    };
    for header in needed {
        check_all(headers, header, LIST_VALUES_MAX, |text| {
            name_addr::check(header, text)
        })?;
    }
    Ok(())
}

/// Only the top Via is ours to read in a response; a bad Contact is for the session to judge.
pub(super) fn response(headers: &Headers) -> Result<(), Fault> {
    dialog_fields(headers, 1)?;
    scan_cseq(required(headers, "CSeq")?)?;
    Ok(())
}

/// The single-value fields that a response must not have twice; more would be lost than won by refusing others.
pub(super) const fn is_vital(name: HeaderName) -> bool {
    matches!(
        name,
        HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq | HeaderName::ContentLength
    )
}

fn dialog_fields(headers: &Headers, vias: usize) -> Result<(), Fault> {
    required(headers, "Via")?;
    let count = check_all(headers, "Via", vias, via::check)?;
    if count == 0 {
        return Err(HeaderError::Missing { header: "Via" }.into());
    }
    name_addr::check("From", required(headers, "From")?)?;
    name_addr::check("To", required(headers, "To")?)?;
    let call_id = required(headers, "Call-ID")?;
    if call_id.is_empty() || call_id.contains([' ', '\t']) {
        return Err(HeaderError::malformed("Call-ID", "one word", call_id).into());
    }
    Ok(())
}

fn check_all(
    headers: &Headers,
    header: &'static str,
    take: usize,
    check: impl Fn(&str) -> Result<(), HeaderError>,
) -> Result<usize, Fault> {
    let mut count = 0;
    for text in headers.all(header).take(take) {
        count += 1;
        if count > LIST_VALUES_MAX {
            return Err(HeaderError::TooMany { header }.into());
        }
        check(text)?;
    }
    Ok(count)
}

fn required<'a>(headers: &'a Headers, header: &'static str) -> Result<&'a str, Fault> {
    headers
        .get(header)
        .ok_or(Fault::Header(HeaderError::Missing { header }))
}
