//! One planted breach of each rule, so that a rule which stopped working is noticed.
use super::rules;

#[test]
fn each_planted_import_is_found() {
    for (file, text, expected) in [
        ("sip/dialog.rs", "use crate::net::Engine;", "sip must not use net"),
        (
            "sip/dialog.rs",
            "use crate::{model::Digit, net};",
            "sip must not use net",
        ),
        (
            "sip/dialog.rs",
            "use super::super::net::Engine;",
            "sip must not use net",
        ),
        (
            "sip/invite/legs.rs",
            "use super::super::super::{media, model};",
            "sip must not use media",
        ),
        (
            "sip/dialog.rs",
            "use crate as house; fn f() { house::net::open(); }",
            "sip must not use net",
        ),
        (
            "sip/dialog.rs",
            "fn f() { let x = crate::store::open(); }",
            "sip must not use store",
        ),
        (
            "sip/dialog.rs",
            "fn f() -> crate::media::Press { todo() }",
            "sip must not use media",
        ),
        (
            "sip/dialog.rs",
            "pub use crate::sdp::Offer as O;",
            "sip must not use sdp",
        ),
        ("sip/dialog.rs", "use crate::media::*;", "sip must not use media"),
        (
            "sip/dialog.rs",
            "fn f() { println!(\"{}\", crate::net::N); }",
            "sip must not use net",
        ),
        (
            "sip/dialog.rs",
            "mod inner { use super::super::super::ivr::Menu; }",
            "sip must not use ivr",
        ),
        (
            "api/mod.rs",
            "use crate::dialer::Dialer;",
            "api must not use dialer",
        ),
        (
            "webhook/mod.rs",
            "use crate::api::Key;",
            "webhook must not use api",
        ),
        (
            "dialer/mod.rs",
            "use crate::config::Config;",
            "dialer must not use config",
        ),
        (
            "call/machine.rs",
            "use tokio::sync::mpsc;",
            "tokio in the pure room call",
        ),
        (
            "media/stream.rs",
            "use std::{fs, thread};",
            "std::fs in the pure room media",
        ),
        (
            "policy/mod.rs",
            "fn f() { std::thread::spawn(|| ()); }",
            "std::thread in the pure room policy",
        ),
        (
            "ivr/menu.rs",
            "use std::net::UdpSocket as S;",
            "std::net::UdpSocket in the pure room ivr",
        ),
        (
            "sip/dialog.rs",
            "use rsip::Header;",
            "only sip/message.rs may name rsip",
        ),
        (
            "media/stream.rs",
            "use rtp_rs::RtpReader;",
            "only media/rtp.rs may name rtp_rs",
        ),
        (
            "media/stream.rs",
            "fn f(s: webrtc_media::Sample) {}",
            "only media/frame.rs may name webrtc_media",
        ),
        (
            "sim/recording.rs",
            "use hound::WavWriter;",
            "only prompt/ may name hound",
        ),
        ("attic/mod.rs", "fn f() {}", "the room attic is not in the plan"),
    ] {
        let found = rules::imports(file, text);
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{text}\nexpected {expected}\nfound {found:?}"
        );
    }
}

#[test]
fn allowed_imports_pass() {
    for (file, text) in [
        (
            "sip/dialog.rs",
            "use super::message::{Headers, Request}; use crate::model::Entropy; use std::net::SocketAddr;",
        ),
        (
            "call/machine.rs",
            "use crate::{ivr::Menu, media::Press, sdp, sip::invite::InviteSession};",
        ),
        (
            "sip/dialog.rs",
            "#[cfg(test)] mod tests { use crate::net::Engine; }",
        ),
        ("dialer/mod.rs", "use crate::call::Call; use tokio::sync::mpsc;"),
    ] {
        assert_eq!(rules::imports(file, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_missing_or_loosened_fence_is_found() {
    assert_eq!(rules::fences("sip/mod.rs", "pub mod dialog;").len(), 1);
    assert_eq!(
        rules::fences("sip/dialog.rs", "#![allow(clippy::disallowed_types)]").len(),
        1
    );
    assert!(rules::fences("net/mod.rs", "pub mod sip_udp;").is_empty());
}

#[test]
fn a_long_function_is_found_and_a_long_test_is_not() {
    let body = "let x = 1;\n".repeat(rules::FUNCTION_LINES_MAX + 1);
    let long = format!("fn long() {{\n{body}}}");
    assert_eq!(rules::long_functions("sip/dialog.rs", &long).len(), 1);
    assert!(
        rules::long_functions("sip/dialog.rs", &format!("#[cfg(test)] mod tests {{ {long} }}")).is_empty()
    );
    assert!(rules::long_functions("sip/dialog.rs", "fn short() {}").is_empty());
}
