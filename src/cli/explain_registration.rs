//! What came of a trial REGISTER → words and the mend.
use super::explain::{FIREWALL, Finding, STRANGERS, Verdict};
use crate::dialer::Tried;
use crate::sip::registration::Failure;

const REALM: &str = "auth.realm, where it is set, must be the realm above";

pub(super) fn of_registration(tried: &Tried) -> Finding {
    match tried {
        Tried::Registered { granted, routes } => {
            let route = match routes {
                0 => "",
                _ => "; calls take its Service-Route",
            };
            Finding::new(
                Verdict::Works,
                format!("registered for {} s{route}; taken away again", granted.as_secs()),
                &[],
            )
        }
        Tried::NotSent(why) => Finding::new(
            Verdict::Unreached,
            format!("no REGISTER could be sent: {why}"),
            &["check register.registrar for a misspelling; without it the first target is asked"],
        ),
        Tried::Silent(after) => silent(&format!("within {:.1} s", after.as_secs_f32())),
        Tried::Failed(why) => of_failure(why),
    }
}

fn silent(within: &str) -> Finding {
    Finding::new(
        Verdict::Unreached,
        format!("no answer to REGISTER came {within}"),
        &[
            FIREWALL,
            "check register.registrar: some carriers register elsewhere than they take calls",
        ],
    )
}

fn of_failure(why: &Failure) -> Finding {
    match why {
        Failure::Refused { status, reason } => refused(*status, format!("{status} {reason}").trim_end()),
        Failure::NoCredentials { realm } => Finding::new(
            Verdict::Refuses,
            format!("it asks for credentials of realm {realm:?} to register, and this trunk has none for it"),
            &["set auth = { username = \"…\", password_file = \"…\" }", REALM],
        ),
        Failure::WrongCredentials { realm } => Finding::new(
            Verdict::Refuses,
            format!("it did not take the credentials for realm {realm:?}"),
            &[
                "check auth.username and the password: some carriers want an authentication ID, not the number",
                REALM,
            ],
        ),
        Failure::TooBrief { min_s } => {
            let wanted = min_s.map_or_else(
                || "without saying how long it wants".to_owned(),
                |min_s| format!("it wants {min_s} s"),
            );
            Finding::new(
                Verdict::Refuses,
                format!("423: the registration is too brief for it, {wanted}"),
                &["set register.expires_s to what the carrier's documents say"],
            )
        }
        Failure::NotKept => Finding::new(
            Verdict::Fails,
            "it said 200, but our Contact is not in its list",
            &[
                "behind NAT set sip.public_address, so that Contact is an address that it takes",
                "check register.contact_user",
            ],
        ),
        Failure::Silent => silent("within 32 s"),
        Failure::Transport => Finding::new(
            Verdict::Unreached,
            "the REGISTER could not be sent",
            &["check that this machine has a route to the registrar"],
        ),
    }
}

fn refused(status: u16, said: &str) -> Finding {
    match status {
        301 | 302 => Finding::new(
            Verdict::Refuses,
            format!(
                "it points elsewhere ({said}), which is not followed: credentials go to the configured registrar only"
            ),
            &["ask the carrier for the registrar and set register.registrar to it"],
        ),
        403 => Finding::new(
            Verdict::Refuses,
            format!("it does not let us register ({said})"),
            &[
                "check register.aor: user and domain must be those of the account",
                "the account may be blocked, or be one that is known by address: then leave register out",
                STRANGERS,
            ],
        ),
        404 | 604 => Finding::new(
            Verdict::Refuses,
            format!("it does not know this address ({said})"),
            &[
                "check the user of register.aor: often the account, not the telephone number",
                "check the domain of register.aor: it is the carrier's, not always the registrar's host name",
            ],
        ),
        405 | 501 => Finding::new(
            Verdict::Refuses,
            format!("it is no registrar ({said})"),
            &["leave register out, or set register.registrar to the carrier's registrar"],
        ),
        500..=599 => Finding::new(
            Verdict::Fails,
            format!("its registrar is out of service or overloaded ({said})"),
            &["wait, or ask the carrier"],
        ),
        _ => Finding::new(
            Verdict::Refuses,
            format!("it refuses the registration ({said})"),
            &["check register.aor and auth.username"],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn refusal(status: u16) -> Tried {
        let reason = String::new();
        Tried::Failed(Failure::Refused { status, reason })
    }

    #[test]
    fn each_end_has_its_words_and_its_mend() {
        let realm = || "carrier.example".to_owned();
        for (tried, verdict, says, mend) in [
            (
                refusal(403),
                Verdict::Refuses,
                "does not let us register (403)",
                "register.aor",
            ),
            (
                refusal(404),
                Verdict::Refuses,
                "does not know this address",
                "register.aor",
            ),
            (
                refusal(405),
                Verdict::Refuses,
                "no registrar",
                "leave register out",
            ),
            (
                refusal(302),
                Verdict::Refuses,
                "points elsewhere",
                "register.registrar",
            ),
            (refusal(503), Verdict::Fails, "out of service", "wait"),
            (
                Tried::Failed(Failure::TooBrief { min_s: Some(1800) }),
                Verdict::Refuses,
                "it wants 1800 s",
                "register.expires_s",
            ),
            (
                Tried::Failed(Failure::WrongCredentials { realm: realm() }),
                Verdict::Refuses,
                "realm \"carrier.example\"",
                "password",
            ),
            (
                Tried::Silent(Duration::from_secs(6)),
                Verdict::Unreached,
                "no answer to REGISTER came within 6.0 s",
                "UDP",
            ),
        ] {
            let finding = of_registration(&tried);
            assert_eq!(finding.verdict, verdict, "{tried:?}");
            assert!(finding.says.contains(says), "{finding:?}");
            assert!(
                finding.mends.iter().any(|text| text.contains(mend)),
                "{finding:?}"
            );
        }
        let registered = of_registration(&Tried::Registered {
            granted: Duration::from_secs(300),
            routes: 1,
        });
        assert_eq!(registered.verdict, Verdict::Works);
        assert!(
            registered
                .says
                .contains("for 300 s; calls take its Service-Route")
        );
    }
}
