//! `register` of a trunk: `true`, or a table that says more.
use super::reader::{Report, Section, Switch};
use super::sections::{count, target};
use super::types::*;

/// Shorter than this is a storm, longer than a day nobody counts on.
const EXPIRES_S: std::ops::RangeInclusive<i64> = 30..=86_400;
const EXPIRES_DEFAULT_S: i64 = 300;

/// `None` where the trunk knows us by our address.
pub(super) fn register(
    s: &mut Section<'_>,
    targets: &[TrunkTarget],
    auth: Option<&TrunkAuth>,
    report: &mut Report<'_>,
) -> Option<Register> {
    let mut r = match s.switch(
        "register",
        "true, false or a table such as { expires_s = 300 }",
        report,
    ) {
        Switch::Off => return None,
        Switch::On(section) => section,
    };
    let expires_s = count(&mut r, "expires_s", EXPIRES_S, EXPIRES_DEFAULT_S, report);
    let registrar = registrar(&mut r, report).or_else(|| targets.first().cloned());
    let written = r.text("aor", report);
    let contact_user = contact_user(&mut r, report);
    let aor = match (&written, auth, &registrar) {
        (Some(text), _, _) => Some(text.clone()),
        (None, Some(auth), Some(registrar)) => Some(default_aor(&auth.username, registrar)),
        (None, None, Some(_)) => {
            let message = "expected aor = \"sip:USER@DOMAIN\" beside register: without auth there is no user to register";
            r.problem(report, "aor", message);
            None
        }
        // The problem of the targets is told already.
        (None, _, None) => None,
    };
    let user = aor.as_deref().and_then(|aor| match user_of(aor) {
        Some(user) => Some(user),
        None => {
            let message = match &written {
                Some(_) => {
                    format!("expected sip:USER@DOMAIN such as \"sip:1001@carrier.example\", found {aor:?}")
                }
                None => {
                    "expected aor = \"sip:USER@DOMAIN\": the username is no user of a SIP address".to_owned()
                }
            };
            r.problem(report, "aor", message);
            None
        }
    });
    r.finish(report);
    Some(Register {
        expires_s,
        registrar: registrar?,
        contact_user: contact_user.or(user)?,
        aor: aor?,
    })
}

/// `user@domain` is a username that many carriers give out: it is the address already.
fn default_aor(username: &str, registrar: &TrunkTarget) -> String {
    if username.contains('@') {
        return format!("sip:{username}");
    }
    match registrar.host.contains(':') {
        true => format!("sip:{username}@[{}]", registrar.host),
        false => format!("sip:{username}@{}", registrar.host),
    }
}

/// The user, where it is an address that can be registered: `sip:USER@HOST`, with a port at most.
fn user_of(aor: &str) -> Option<String> {
    let (user, domain) = aor.strip_prefix("sip:")?.rsplit_once('@')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$%/".contains(c);
    let fits = !user.is_empty() && user.len() <= 64 && user.chars().all(fits);
    let domain_fits = !domain.contains(';') && target(&format!("sip:{domain}")).is_ok();
    (fits && domain_fits).then(|| user.to_owned())
}

fn registrar(r: &mut Section<'_>, report: &mut Report<'_>) -> Option<TrunkTarget> {
    let text = r.text("registrar", report)?;
    match target(&text) {
        Ok(target) => Some(target),
        Err(message) => {
            r.problem(report, "registrar", message);
            None
        }
    }
}

fn contact_user(r: &mut Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let user = r.text("contact_user", report)?;
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '.' | '*' | '#' | '!' | '~');
    if user.is_empty() || user.len() > 64 || !user.chars().all(fits) {
        let message = format!("expected at most 64 of letters, digits and +-_.*#!~, found {user:?}");
        r.problem(report, "contact_user", message);
    }
    Some(user)
}
