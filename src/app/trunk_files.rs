//! The ready files in `config/trunks`: each can be pasted after the shipped configuration, and its INVITE is what the
//! comments of the file say that the carrier wants.
use std::path::Path;

use super::{build, check};
use crate::config::{self, Config};
use crate::dialer::{Place, Wire, invite};
use crate::model::{Destination, NumberValidation, PhoneNumber};
use crate::net::sip_net::Local;
use crate::sip::transport::SipTransport;

/// What the INVITE to one number says. `identity`: header field and value.
struct Wanted {
    file: &'static str,
    to: &'static str,
    request_uri: &'static str,
    from: &'static str,
    identity: Option<(&'static str, &'static str)>,
}

const fn wanted(
    file: &'static str,
    to: &'static str,
    request_uri: &'static str,
    from: &'static str,
    identity: Option<(&'static str, &'static str)>,
) -> Wanted {
    Wanted {
        file,
        to,
        request_uri,
        from,
        identity,
    }
}

const US: &str = "+14255550123";
const DE: &str = "+4930123456";
const PAI: &str = "P-Asserted-Identity";
const PPI: &str = "P-Preferred-Identity";

#[rustfmt::skip]
const TABLE: [Wanted; 18] = [
    wanted("twilio", US, "sip:+14255550123@contoso.pstn.twilio.com", "<sip:+18005550199@contoso.pstn.twilio.com>", None),
    wanted("twilio", DE, "sip:+4930123456@contoso.pstn.twilio.com", "<sip:+4930123456@contoso.pstn.twilio.com>", None),
    wanted("telnyx", US, "sip:+14255550123@sip.telnyx.com", "<sip:+18005550199@sip.telnyx.com>",
        Some((PAI, "<sip:+18005550199@sip.telnyx.com>"))),
    wanted("telnyx", DE, "sip:+4930123456@sip.telnyx.com", "<sip:+4930123456@sip.telnyx.com>",
        Some((PAI, "<sip:+4930123456@sip.telnyx.com>"))),
    wanted("vonage", US, "sip:14255550123@contoso.sip-us.vonage.com", "<sip:18005550199@contoso.sip-us.vonage.com>", None),
    wanted("vonage", DE, "sip:4930123456@contoso.sip-us.vonage.com", "<sip:4930123456@contoso.sip-us.vonage.com>", None),
    wanted("bandwidth", US, "sip:+14255550123@192.0.2.10", "<sip:+18005550199@192.0.2.10>",
        Some((PAI, "<sip:+18005550199@192.0.2.10>"))),
    wanted("bandwidth", DE, "sip:+4930123456@192.0.2.10", "<sip:+4930123456@192.0.2.10>",
        Some((PAI, "<sip:+4930123456@192.0.2.10>"))),
    wanted("sipgate", US, "sip:14255550123@sipconnect.sipgate.de", "<sip:1234567t0@sipconnect.sipgate.de>",
        Some((PPI, "<sip:4930123456@sipconnect.sipgate.de>"))),
    wanted("sipgate", DE, "sip:4930123456@sipconnect.sipgate.de", "<sip:1234567t0@sipconnect.sipgate.de>",
        Some((PPI, "<sip:4930123456@sipconnect.sipgate.de>"))),
    wanted("asterisk-freepbx", US, "sip:14255550123@pbx.example", "<sip:ringproof@pbx.example>",
        Some((PAI, "<sip:+18005550199@pbx.example>"))),
    wanted("asterisk-freepbx", DE, "sip:0114930123456@pbx.example", "<sip:ringproof@pbx.example>",
        Some((PAI, "<sip:+4930123456@pbx.example>"))),
    wanted("freeswitch", US, "sip:14255550123@fs.example", "<sip:1000@fs.example>",
        Some((PAI, "<sip:+18005550199@fs.example>"))),
    wanted("freeswitch", DE, "sip:4930123456@fs.example", "<sip:1000@fs.example>",
        Some((PAI, "<sip:+4930123456@fs.example>"))),
    wanted("3cx", US, "sip:0014255550123@pbx.example", "<sip:100@pbx.example>", None),
    wanted("3cx", DE, "sip:004930123456@pbx.example", "<sip:100@pbx.example>", None),
    wanted("kamailio-edge", US, "sip:+14255550123@edge.example;user=phone", "<sip:+18005550199@edge.example;user=phone>",
        Some((PAI, "<sip:+18005550199@edge.example;user=phone>"))),
    wanted("kamailio-edge", DE, "sip:+4930123456@edge.example;user=phone", "<sip:+4930123456@edge.example;user=phone>",
        Some((PAI, "<sip:+4930123456@edge.example;user=phone>"))),
];

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config"))
}

/// The shipped configuration with this trunk after it.
fn pasted(file: &str) -> Config {
    let read = |path: &str| std::fs::read_to_string(directory().join(path)).unwrap();
    let text = format!(
        "{}\n{}",
        read("ringproof.toml"),
        read(&format!("trunks/{file}.toml"))
    );
    config::parse(&text, file, directory(), std::iter::empty()).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
fn every_file_is_in_the_table_and_is_accepted_by_config_check() {
    let mut files: Vec<String> = std::fs::read_dir(directory().join("trunks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut tabled: Vec<String> = TABLE.iter().map(|w| format!("{}.toml", w.file)).collect();
    tabled.sort();
    tabled.dedup();
    assert_eq!(files, tabled);
    for file in &files {
        let config = pasted(file.trim_end_matches(".toml"));
        assert_eq!(config.trunks.len(), 2, "{file}");
        assert_eq!(
            check(&config)
                .errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            Vec::<String>::new(),
            "{file}"
        );
    }
}

#[test]
fn each_invite_is_what_the_carrier_asks_for() {
    for wanted in &TABLE {
        let (file, to) = (wanted.file, wanted.to);
        let dialer = build::dialer(&pasted(file)).unwrap();
        let trunk = &dialer.trunks[1];
        let number = PhoneNumber::parse(to, None, NumberValidation::Possible).unwrap();
        let wire = Wire {
            call_id: "call".to_owned(),
            first: Place {
                destination: crate::sip::transport::Destination {
                    transport: SipTransport::Udp,
                    address: "192.0.2.10:5060".parse().unwrap(),
                    host: trunk.targets[0].host.clone(),
                },
                port: trunk.targets[0].port,
                may_switch: false,
            },
            further: Vec::new(),
            peers: Vec::new(),
            local_sip: Local {
                address: "192.0.2.1:5060".parse().unwrap(),
                public: None,
            },
            local_media: "192.0.2.1:20000".parse().unwrap(),
        };
        let invite = invite(&dialer, trunk, &Destination::E164(number), &wire);
        assert_eq!(invite.request_uri.to_string(), wanted.request_uri, "{file} {to}");
        assert_eq!(
            invite.to.to_string(),
            format!("<{}>", wanted.request_uri),
            "{file} {to}"
        );
        assert_eq!(invite.from.to_string(), wanted.from, "{file} {to}");
        let told: Vec<(&str, &str)> = invite
            .extra_headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            told,
            wanted.identity.into_iter().collect::<Vec<_>>(),
            "{file} {to}"
        );
    }
}
