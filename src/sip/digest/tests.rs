use super::*;
use crate::model::Entropy;
use crate::sip::message::{Headers, Method};
use crate::sip::uri::Uri;

fn get() -> Method {
    Method::Other("GET".to_owned())
}

fn is_right(authorization: &str, password: &str, method: &Method, body: &[u8]) -> bool {
    Authorization::parse(authorization)
        .unwrap()
        .is_right(&Masked::new(password.to_owned()), method, body)
}

#[test]
fn the_example_of_rfc_2617_is_right() {
    let authorization = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, \
        cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", \
        opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    assert!(is_right(authorization, "Circle Of Life", &get(), b""));
    assert!(!is_right(authorization, "circle of life", &get(), b""));
    assert!(!is_right(authorization, "Circle Of Life", &Method::Invite, b""));
}

#[test]
fn the_examples_of_rfc_7616_are_right() {
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let authorization = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        assert!(
            is_right(&authorization, "Circle of Life", &get(), b""),
            "{algorithm}"
        );
    }
}

/// RFC 7616 §3.9.2 prints a response made with the wrong truncation of SHA-512 (erratum 4897); this one was
/// computed with another implementation of SHA-512/256.
#[test]
fn sha_512_256_is_right_with_a_name_in_utf_8() {
    let authorization = "Digest username=\"Jäsøn Doe\", realm=\"api@example.org\", uri=\"/doe.json\", \
        algorithm=SHA-512-256, nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, \
        cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, \
        response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\"";
    assert!(is_right(authorization, "Secret, or not?", &get(), b""));
}

fn credentials() -> Credentials {
    Credentials {
        username: "bob".to_owned(),
        password: Masked::new("zanzibar".to_owned()),
        realm: None,
    }
}

fn uri() -> Uri {
    "sip:bob@biloxi.com".parse().unwrap()
}

fn challenged(values: &[&str]) -> Vec<Challenge> {
    let mut headers = Headers::default();
    for value in values {
        headers.push("WWW-Authenticate", *value);
    }
    Challenge::parse_all(&headers, 401)
}

/// Answers the challenges of an INVITE without a body.
fn invited(
    client: &mut DigestClient,
    asked: &mut RequestChallenges,
    challenges: &[Challenge],
) -> Result<(&'static str, String), DigestError> {
    let mut entropy = Entropy::from_number(1);
    client.authorize(asked, challenges, &Method::Invite, &uri(), b"", &mut entropy)
}

/// A challenge as in RFC 8760 §2.6: both algorithms, weakest last.
const SHA: &str =
    "Digest realm=\"biloxi.com\", qop=\"auth,auth-int\", algorithm=SHA-256, nonce=\"n1\", opaque=\"o\\\"1\"";
const MD5: &str = "Digest realm=\"biloxi.com\", qop=\"auth,auth-int\", algorithm=MD5, nonce=\"n2\"";

#[test]
fn the_strongest_challenge_is_answered_whatever_the_order() {
    for values in [[SHA, MD5], [MD5, SHA]] {
        let mut client = DigestClient::new(credentials());
        let mut asked = RequestChallenges::default();
        let (name, value) = invited(&mut client, &mut asked, &challenged(&values)).unwrap();
        assert_eq!(name, "Authorization");
        assert!(
            value.contains("algorithm=SHA-256") && value.contains("nonce=\"n1\""),
            "{value}"
        );
    }
}

#[test]
fn several_challenges_of_one_line_are_told_apart() {
    let line = format!(
        "Basic realm=\"x\", {MD5}, NewScheme, {SHA}, Digest nonce=\"no realm\", Digest realm=\"no nonce\""
    );
    let challenges = challenged(&[&line]);
    let seen: Vec<_> = challenges
        .iter()
        .map(|c| (c.nonce.as_str(), c.algorithm, c.stale))
        .collect();
    assert_eq!(
        seen,
        [
            ("n2", Some(Algorithm::MD5), false),
            ("n1", Some(Algorithm::SHA_256), false)
        ]
    );
    assert_eq!(challenges.last().unwrap().opaque.as_deref(), Some("o\"1"));
    assert_eq!(Challenge::parse_all(&Headers::default(), 200), []);
}

#[test]
fn the_credentials_are_quoted_as_rfc_7616_asks() {
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    let (_, value) = invited(&mut client, &mut asked, &challenged(&[SHA])).unwrap();
    for part in [
        "Digest username=\"bob\"",
        "realm=\"biloxi.com\"",
        "nonce=\"n1\"",
        "uri=\"sip:bob@biloxi.com\"",
        "algorithm=SHA-256,",
        "qop=auth,",
        "nc=00000001,",
        "cnonce=\"",
        "opaque=\"o\\\"1\"",
    ] {
        assert!(value.contains(part), "{part} in {value}");
    }
    let again = client.headers_for(&Method::Bye, &uri(), b"").remove(0).1;
    assert!(again.contains("nc=00000002"), "{again}");
    assert!(
        is_right(&value, "zanzibar", &Method::Invite, b"") && is_right(&again, "zanzibar", &Method::Bye, b"")
    );
}

#[test]
fn a_challenge_without_qop_gets_the_old_form() {
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    let challenge = challenged(&["Digest realm=\"r\", nonce=\"n\""]);
    let (_, value) = invited(&mut client, &mut asked, &challenge).unwrap();
    for absent in ["qop", "nc=", "cnonce", "algorithm", "opaque"] {
        assert!(!value.contains(absent), "{absent} in {value}");
    }
    assert!(is_right(&value, "zanzibar", &Method::Invite, b""));
}

#[test]
fn every_algorithm_and_qop_is_understood_by_the_other_side() {
    let mut entropy = Entropy::from_number(9);
    for hash in [Hash::Md5, Hash::Sha256, Hash::Sha512Trunc256] {
        for session in [false, true] {
            for qop in [
                vec![],
                vec![Qop::Auth],
                vec![Qop::AuthInt],
                vec![Qop::AuthInt, Qop::Auth],
            ] {
                let mut server = DigestServer::new("r \"1\"")
                    .with_user("bob", "zanzibar")
                    .with_algorithms(&[Algorithm { hash, session }])
                    .with_qop(&qop);
                let values = server.challenge(false, &mut entropy);
                let challenges = challenged(&values.iter().map(String::as_str).collect::<Vec<_>>());
                let mut client = DigestClient::new(credentials());
                let mut asked = RequestChallenges::default();
                let (_, value) = client
                    .authorize(
                        &mut asked,
                        &challenges,
                        &Method::Invite,
                        &uri(),
                        b"sdp",
                        &mut entropy,
                    )
                    .unwrap();
                let accepted = Verdict::Accepted {
                    username: "bob".to_owned(),
                };
                assert_eq!(
                    server.verify(Some(&value), &Method::Invite, &uri(), b"sdp"),
                    accepted,
                    "{value}"
                );
                if qop == [Qop::AuthInt] {
                    assert_eq!(
                        server.verify(Some(&value), &Method::Invite, &uri(), b"other"),
                        Verdict::Refused
                    );
                }
                for (_, next) in client.headers_for(&Method::Bye, &uri(), b"") {
                    assert_eq!(
                        server.verify(Some(&next), &Method::Bye, &uri(), b""),
                        accepted,
                        "{next}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_server_refuses_what_is_wrong_and_calls_stale_what_is_old() {
    let mut entropy = Entropy::from_number(2);
    let mut server = DigestServer::new("r").with_user("bob", "zanzibar");
    let values = server.challenge(true, &mut entropy);
    let challenges = challenged(&values.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(challenges.iter().all(|challenge| challenge.stale));
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    let (_, value) = invited(&mut client, &mut asked, &challenges).unwrap();
    let other: Uri = "sip:carol@biloxi.com".parse().unwrap();
    assert_eq!(
        server.verify(None, &Method::Invite, &uri(), b""),
        Verdict::Refused
    );
    assert_eq!(
        server.verify(Some("Digest nonsense"), &Method::Invite, &uri(), b""),
        Verdict::Refused
    );
    assert_eq!(
        server.verify(Some(&value), &Method::Bye, &uri(), b""),
        Verdict::Refused
    );
    assert_eq!(
        server.verify(Some(&value), &Method::Invite, &other, b""),
        Verdict::Refused
    );
    assert!(matches!(
        server.verify(Some(&value), &Method::Invite, &uri(), b""),
        Verdict::Accepted { .. }
    ));
    // The same count again is a replay.
    assert_eq!(
        server.verify(Some(&value), &Method::Invite, &uri(), b""),
        Verdict::Stale
    );
    server.expire_nonces();
    let (_, next) = client.headers_for(&Method::Invite, &uri(), b"").remove(0);
    assert_eq!(
        server.verify(Some(&next), &Method::Invite, &uri(), b""),
        Verdict::Stale
    );
}

#[test]
fn a_wrong_password_is_tried_once() {
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    invited(&mut client, &mut asked, &challenged(&[MD5])).unwrap();
    let refused = invited(&mut client, &mut asked, &challenged(&[MD5]));
    assert_eq!(
        refused,
        Err(DigestError::Refused {
            realm: "biloxi.com".to_owned()
        })
    );
}

#[test]
fn a_stale_nonce_is_renewed_but_not_for_ever() {
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    let mut entropy = Entropy::from_number(4);
    let stale = |nonce: &str| challenged(&[&format!("Digest realm=\"r\", nonce=\"{nonce}\", stale=TRUE")]);
    invited(&mut client, &mut asked, &stale("a")).unwrap();
    let (_, value) = invited(&mut client, &mut asked, &stale("b")).unwrap();
    assert!(value.contains("nonce=\"b\""));
    let third = invited(&mut client, &mut asked, &stale("c"));
    assert_eq!(third, Err(DigestError::TooManyChallenges));
    let mut asked = RequestChallenges::default();
    assert!(
        client
            .authorize(&mut asked, &stale("d"), &Method::Bye, &uri(), b"", &mut entropy)
            .is_ok()
    );
}

#[test]
fn a_proxy_and_a_server_are_both_answered_and_written_together() {
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    let mut headers = Headers::default();
    headers.push(
        "Proxy-Authenticate",
        "Digest realm=\"p\", nonce=\"1\", qop=\"auth\"",
    );
    let proxy = Challenge::parse_all(&headers, 407);
    let (name, _) = invited(&mut client, &mut asked, &proxy).unwrap();
    assert_eq!(name, "Proxy-Authorization");
    invited(&mut client, &mut asked, &challenged(&[MD5])).unwrap();
    let both = client.headers_for(&Method::Invite, &uri(), b"");
    let mut names: Vec<_> = both.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(names, ["Authorization", "Proxy-Authorization"]);
    assert!(both.iter().all(|(_, value)| value.contains("nc=00000002")));
}

#[test]
fn a_realm_that_is_set_keeps_the_password_from_others() {
    let mut client = DigestClient::new(Credentials {
        realm: Some("ours".to_owned()),
        ..credentials()
    });
    let mut asked = RequestChallenges::default();
    let refused = invited(&mut client, &mut asked, &challenged(&[SHA]));
    let expected = DigestError::Realm {
        expected: "ours".to_owned(),
        came: "biloxi.com".to_owned(),
    };
    assert_eq!(refused, Err(expected));
    let ours = "Digest realm=\"ours\", nonce=\"n\"";
    let (_, value) = invited(&mut client, &mut asked, &challenged(&[SHA, ours])).unwrap();
    assert!(value.contains("realm=\"ours\""));
}

#[test]
fn challenges_we_cannot_answer_are_named_so() {
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    let mut authorize = |values: &[&str]| invited(&mut client, &mut asked, &challenged(values)).map(|_| ());
    assert_eq!(authorize(&[]), Err(DigestError::NoChallenge));
    assert_eq!(authorize(&["Basic realm=\"x\""]), Err(DigestError::NoChallenge));
    assert_eq!(
        authorize(&["Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5"]),
        Err(DigestError::Unsupported)
    );
    assert_eq!(
        authorize(&["Digest realm=\"r\", nonce=\"n\", qop=\"token\""]),
        Err(DigestError::Unsupported)
    );
}

#[test]
fn debug_shows_no_password_and_no_response() {
    let mut client = DigestClient::new(credentials());
    let mut asked = RequestChallenges::default();
    let (_, value) = invited(&mut client, &mut asked, &challenged(&[SHA])).unwrap();
    assert!(!format!("{client:?}").contains("zanzibar"));
    let authorization = Authorization::parse(&value).unwrap();
    assert!(!format!("{authorization:?}").contains(authorization.response.reveal()));
}

proptest::proptest! {
    #[test]
    fn arbitrary_challenges_never_panic(value in "[ -~]{0,120}", tail in "[a-z\",= \\\\]{0,40}") {
        let mut client = DigestClient::new(credentials());
        let mut asked = RequestChallenges::default();
        let challenges = challenged(&[&value, &format!("Digest realm=\"r\", nonce=\"n\", {tail}")]);
        let _ = invited(&mut client, &mut asked, &challenges);
        let _ = Authorization::parse(&value);
    }
}
