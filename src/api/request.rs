//! `POST /v1/verifications`: the body as documented, and the same parsed and checked.
use std::collections::BTreeMap;
use std::net::IpAddr;

use utoipa::ToSchema;

use super::body::{Fields, Tree};
use super::{ApiConfig, Code, Problem, Profile, allow_list, schema};
use crate::model::{Digits, Extension, ExtensionError, Masked, Method, Purpose, Region};

/// What to call, and how the person confirms.
#[derive(ToSchema)]
#[schema(as = CreateVerification, example = json!({"to": "+14255550123", "method": "press_key", "purpose": "enroll"}))]
#[expect(dead_code, reason = "documents the body that `Call::parse` reads")]
pub(super) struct CreateVerification {
    to: To,
    extension: Option<ExtensionBody>,
    /// Default: the profile's first method.
    #[schema(schema_with = schema::method)]
    method: Option<String>,
    /// 4 to 8 digits. `match_code`: optional, else four are made. `speak_code`: required. Others: refused.
    #[schema(min_length = 4, max_length = 8, pattern = "^[0-9]{4,8}$")]
    code: Option<String>,
    /// Default: `enroll`. `transaction` needs `message`.
    #[schema(schema_with = schema::purpose)]
    purpose: Option<String>,
    /// BCP 47. Default: the language of the number's country, else the profile's.
    #[schema(example = "de-DE", max_length = 35)]
    locale: Option<String>,
    /// Who calls, as spoken. Default: the profile's.
    #[schema(max_length = 64)]
    brand: Option<String>,
    profile: Option<String>,
    /// Opaque; comes back in answers and webhooks.
    #[schema(max_length = 128)]
    client_ref: Option<String>,
    end_user: Option<EndUserBody>,
    /// Must lie in the profile's allow-list `callbacks`.
    #[schema(max_length = 2048)]
    callback_url: Option<String>,
    /// Life of the queued or unanswered call, seconds. Default: the profile's.
    #[schema(minimum = 10, maximum = 3600)]
    expires_in: Option<u32>,
    /// At most 16.
    tags: Option<BTreeMap<String, String>>,
    /// `purpose: transaction`: the values that are spoken, such as `amount` and `payee`.
    message: Option<BTreeMap<String, String>>,
    /// End the call to this number that the same key has in progress.
    supersede: Option<bool>,
}

/// E.164, or a number as people write it with its region.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = To)]
#[expect(dead_code, reason = "documents the body that `Dialled::parse` reads")]
#[serde(untagged)]
pub(super) enum To {
    /// E.164 with `+`, or an internal number of the PBX.
    E164(String),
    National(NationalTo),
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = NationalNumber)]
pub(super) struct NationalTo {
    #[schema(example = "(425) 555-0123")]
    number: String,
    /// ISO 3166-1 alpha-2. A typed `+` wins over it.
    #[schema(example = "US")]
    region: Option<String>,
}

/// Keys pressed after the answer.
#[derive(ToSchema)]
#[schema(as = Extension)]
#[expect(dead_code, reason = "documents the body that `parse_extension` reads")]
pub(super) struct ExtensionBody {
    #[schema(example = "1234", min_length = 1, max_length = 16)]
    digits: String,
    /// From the answer to the first digit. Default 2000.
    #[schema(minimum = 0, maximum = 30000)]
    wait_ms: Option<u32>,
}

#[derive(ToSchema)]
#[schema(as = EndUserRequest)]
#[expect(dead_code, reason = "documents the body that `EndUser::parse` reads")]
pub(super) struct EndUserBody {
    /// Opaque; limits count by it.
    #[schema(max_length = 128)]
    id: Option<String>,
    /// Address of the person's browser; limits count by it.
    #[schema(example = "203.0.113.7")]
    ip: Option<String>,
}

/// A number as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    pub number: Masked<String>,
    pub region: Option<String>,
    /// The field that holds the number.
    pub param: &'static str,
}

impl Dialled {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self, Problem> {
        match fields.take("to") {
            None => Err(fields.missing("to", "send a number such as \"+14255550123\"")),
            Some(Tree::Text(number)) => Ok(Self {
                number: Masked::new(number),
                region: None,
                param: "to",
            }),
            Some(Tree::Object(object)) => {
                let mut to = fields.child("to", object);
                let number = match to.take("number") {
                    None => return Err(to.missing("number", "send the number as the person wrote it")),
                    Some(Tree::Text(number)) => number,
                    Some(_) => return Err(Problem::malformed("to.number", "number must be a string")),
                };
                let region = match to.text("region", 8)? {
                    None => None,
                    Some(code) => Some(parse_region(&code, "to.region")?),
                };
                to.finish()?;
                Ok(Self {
                    number: Masked::new(number),
                    region,
                    param: "to.number",
                })
            }
            Some(_) => Err(Problem::malformed(
                "to",
                "to must be a string such as \"+14255550123\" or an object {\"number\", \"region\"}",
            )),
        }
    }
}

/// A region with telephone numbers; `us` is read as `US`.
pub(super) fn parse_region(code: &str, param: &str) -> Result<String, Problem> {
    let upper = code.to_ascii_uppercase();
    if Region::name_of(&upper).is_some() {
        return Ok(upper);
    }
    let detail = format!("region must be an ISO 3166-1 alpha-2 code such as \"US\", found {code:?}");
    Err(Problem::new(Code::ParamInvalid, detail).at(param))
}

/// Who is called, as far as the platform says.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndUser {
    pub id: Option<String>,
    pub ip: Option<IpAddr>,
}

impl EndUser {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self, Problem> {
        let Some(mut user) = fields.object("end_user")? else {
            return Ok(Self::default());
        };
        let id = user.text("id", 128)?;
        let ip = match user.text("ip", 45)? {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let detail = format!("ip must be an IPv4 or IPv6 address, found {text:?}");
                Problem::new(Code::ParamInvalid, detail).at("end_user.ip")
            })?),
        };
        user.finish()?;
        Ok(Self { id, ip })
    }
}

/// A checked request for one call. The number is judged by `intake`.
#[derive(Debug, Clone)]
pub struct Call {
    pub to: Dialled,
    pub extension: Option<Extension>,
    pub method: Method,
    /// `match_code` without one gets its digits at intake.
    pub code: Option<Masked<Digits>>,
    pub purpose: Purpose,
    /// As asked. `None`: the number's country chooses, then the profile.
    pub locale: Option<String>,
    pub brand: Option<String>,
    pub profile: String,
    pub client_ref: Option<String>,
    pub end_user: EndUser,
    pub callback_url: Option<String>,
    pub expires_in_s: u32,
    pub tags: BTreeMap<String, String>,
    pub message: BTreeMap<String, String>,
    pub supersede: bool,
}

impl Call {
    /// Reads the body. The profile is looked up by `allowed_profile`, which refuses one that the key may not use.
    pub(super) fn parse(
        mut fields: Fields,
        config: &ApiConfig,
        allowed_profile: impl FnOnce(&str) -> Result<(), Problem>,
    ) -> Result<Self, Problem> {
        let to = Dialled::parse(&mut fields)?;
        let extension = parse_extension(&mut fields)?;
        let method = fields.word::<Method>("method")?;
        let code = fields.text("code", 64)?;
        let purpose = fields.word("purpose")?.unwrap_or(Purpose::Enroll);
        let locale = parse_locale(&mut fields)?;
        let brand = fields.text("brand", 64)?;
        let name = fields.text("profile", 64)?;
        let client_ref = fields.text("client_ref", 128)?;
        let end_user = EndUser::parse(&mut fields)?;
        let callback_url = fields.text("callback_url", 2048)?;
        let expires_in = fields.integer("expires_in", 10..=3600)?;
        let tags = fields.text_map("tags", 16, 256)?;
        let message = fields.text_map("message", 8, 64)?;
        let supersede = fields.flag("supersede")?.unwrap_or(false);
        fields.finish()?;

        let (profile_name, profile) = find_profile(config, name, allowed_profile)?;
        let method = choose_method(method, profile, &profile_name)?;
        Ok(Self {
            to,
            extension,
            method,
            code: check_code(method, code)?,
            message: check_message(purpose, message)?,
            purpose,
            locale,
            brand: brand.or_else(|| profile.brand.clone()),
            client_ref,
            end_user,
            callback_url: check_callback(profile, callback_url)?,
            expires_in_s: expires_in
                .and_then(|s| u32::try_from(s).ok())
                .unwrap_or(profile.expires_in_s),
            tags,
            supersede,
            profile: profile_name,
        })
    }
}

/// The profile by name, or the default one.
pub(super) fn find_profile(
    config: &ApiConfig,
    name: Option<String>,
    allowed: impl FnOnce(&str) -> Result<(), Problem>,
) -> Result<(String, &Profile), Problem> {
    let name = name.unwrap_or_else(|| config.default_profile.clone());
    allowed(&name)?;
    let profile = config.profiles.get(&name).ok_or_else(|| {
        let detail = format!(
            "no profile {name:?} is configured; leave it out for {:?}",
            config.default_profile
        );
        Problem::new(Code::ParamInvalid, detail).at("profile")
    })?;
    Ok((name, profile))
}

fn choose_method(asked: Option<Method>, profile: &Profile, name: &str) -> Result<Method, Problem> {
    let method = asked
        .or(profile.methods.first().copied())
        .unwrap_or(Method::PressKey);
    if profile.methods.contains(&method) {
        return Ok(method);
    }
    let allowed: Vec<&str> = profile.methods.iter().map(|m| m.as_str()).collect();
    let detail = format!(
        "the profile {name:?} allows: {}; found {method}",
        allowed.join(", ")
    );
    Err(Problem::new(Code::MethodNotAllowed, detail).at("method"))
}

fn parse_extension(fields: &mut Fields) -> Result<Option<Extension>, Problem> {
    let Some(mut object) = fields.object("extension")? else {
        return Ok(None);
    };
    let digits = object.text("digits", 64)?;
    let digits = digits.ok_or_else(|| object.missing("digits", "send the keys, such as \"1234\""))?;
    let wait_ms = match object.take("wait_ms") {
        None => Extension::WAIT_MS_DEFAULT,
        // A number outside of u32 is out of range in any case, and the range is named below.
        Some(Tree::Integer(wait)) => u32::try_from(wait).unwrap_or(u32::MAX),
        Some(_) => {
            return Err(Problem::malformed(
                "extension.wait_ms",
                "wait_ms must be a whole number of milliseconds",
            ));
        }
    };
    object.finish()?;
    extension(&digits, wait_ms).map(Some)
}

/// An extension from its parts; the problem names the part at fault.
pub fn extension(digits: &str, wait_ms: u32) -> Result<Extension, Problem> {
    Extension::parse(digits, wait_ms).map_err(|error| {
        let param = match error {
            ExtensionError::Wait(_) => "extension.wait_ms",
            ExtensionError::Digit(_) | ExtensionError::Length(_) => "extension.digits",
        };
        Problem::new(Code::ExtensionInvalid, error.to_string()).at(param)
    })
}

/// Well-formedness of RFC 5646, roughly: subtags of 1 to 8 letters and digits, the first of letters.
pub(super) fn parse_locale(fields: &mut Fields) -> Result<Option<String>, Problem> {
    let Some(tag) = fields.text("locale", 35)? else {
        return Ok(None);
    };
    let mut subtags = tag.split('-');
    let language_fits = subtags
        .next()
        .is_some_and(|l| (2..=8).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphabetic()));
    let rest_fits =
        subtags.all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()));
    if language_fits && rest_fits {
        return Ok(Some(tag));
    }
    let detail = format!("locale must be a BCP 47 tag such as \"de-DE\", found {tag:?}");
    Err(Problem::new(Code::ParamInvalid, detail).at("locale"))
}

fn check_code(method: Method, code: Option<String>) -> Result<Option<Masked<Digits>>, Problem> {
    let problem = |detail: String| Problem::new(Code::CodeInvalid, detail).at("code");
    match (method, code) {
        (Method::PressKey | Method::RandomKey, Some(_)) => Err(problem(format!(
            "{method} takes no code; leave it out, or use match_code or speak_code"
        ))),
        (Method::SpeakCode, None) => Err(problem(
            "speak_code needs the code to speak: 4 to 8 digits".to_owned(),
        )),
        (_, None) => Ok(None),
        (Method::MatchCode | Method::SpeakCode, Some(code)) => {
            let count = code.chars().count();
            if !code.chars().all(|c| c.is_ascii_digit()) {
                return Err(problem("code must hold the digits 0-9 only".to_owned()));
            }
            if !(4..=8).contains(&count) {
                return Err(problem(format!("code must have 4 to 8 digits, found {count}")));
            }
            let digits = Digits::parse(&code).map_err(|e| problem(e.to_string()))?;
            Ok(Some(Masked::new(digits)))
        }
    }
}

fn check_message(
    purpose: Purpose,
    message: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Problem> {
    let fault = match (purpose, message.is_empty()) {
        (Purpose::Transaction, true) => {
            "purpose transaction needs message: the values to speak, such as {\"amount\", \"payee\"}"
        }
        (Purpose::Enroll | Purpose::SignIn | Purpose::PasswordReset, false) => {
            "message is spoken for purpose transaction only; leave it out or change the purpose"
        }
        (Purpose::Transaction, false) | (_, true) => return Ok(message),
    };
    Err(Problem::new(Code::ParamInvalid, fault).at("message"))
}

pub(super) fn check_callback(profile: &Profile, asked: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = asked else {
        return Ok(profile.callback_url.clone());
    };
    match allow_list::check(&profile.callbacks, &text, "callbacks") {
        Ok(url) => Ok(Some(url.to_string())),
        Err(fault) => Err(url_problem(&fault, Code::CallbackNotAllowed, "callback_url")),
    }
}

pub(super) fn url_problem(fault: &allow_list::UrlFault, not_listed: Code, param: &str) -> Problem {
    let code = match fault {
        allow_list::UrlFault::NotListed(_) => not_listed,
        allow_list::UrlFault::NotUrl(_)
        | allow_list::UrlFault::Scheme(_)
        | allow_list::UrlFault::UserInfo => Code::ParamInvalid,
    };
    Problem::new(code, format!("{param}: {fault}")).at(param)
}
