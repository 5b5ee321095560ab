//! The client over several requests: who gets an answer, which nonce, which count.
use super::*;
use crate::model::Entropy;
use crate::sip::message::{Headers, Method};
use crate::sip::uri::Uri;

fn client(realm: Option<&str>) -> DigestClient {
    DigestClient::new(Credentials {
        username: "bob".to_owned(),
        password: Masked::new("zanzibar".to_owned()),
        realm: realm.map(str::to_owned),
    })
}

fn uri() -> Uri {
    "sip:bob@biloxi.com".parse().unwrap()
}

/// A response with these lines: `true` is Proxy-Authenticate.
fn challenges(status: u16, lines: &[(bool, &str)]) -> Vec<Challenge> {
    let mut headers = Headers::default();
    for (is_proxy, line) in lines {
        let name = if *is_proxy {
            "Proxy-Authenticate"
        } else {
            "WWW-Authenticate"
        };
        headers.push(name, *line);
    }
    Challenge::parse_all(&headers, status)
}

fn answer(
    client: &mut DigestClient,
    asked: &mut RequestChallenges,
    challenges: &[Challenge],
) -> Result<Vec<(&'static str, String)>, DigestError> {
    client.answer(
        asked,
        challenges,
        &Method::Invite,
        &uri(),
        b"",
        &mut Entropy::from_number(7),
    )
}

fn next(client: &mut DigestClient) -> String {
    let headers = client.headers_for(&Method::Bye, &uri(), b"");
    let lines: Vec<&str> = headers.iter().map(|(_, value)| value.as_str()).collect();
    lines.join("\n")
}

const PROXY: &str = "Digest realm=\"proxy\", nonce=\"p1\", qop=\"auth\"";
const UAS: &str = "Digest realm=\"uas\", nonce=\"u1\", qop=\"auth\", algorithm=SHA-256";

#[test]
fn a_proxy_and_a_server_that_ask_in_one_response_both_get_their_answer() {
    for status in [401, 407] {
        let (mut client, mut asked) = (client(None), RequestChallenges::default());
        let both = challenges(status, &[(true, PROXY), (false, UAS)]);
        let answers = answer(&mut client, &mut asked, &both).unwrap();
        let mut seen: Vec<_> = answers
            .iter()
            .map(|(name, value)| (*name, value.contains("realm=\"uas\"")))
            .collect();
        seen.sort_unstable();
        assert_eq!(
            seen,
            [("Authorization", true), ("Proxy-Authorization", false)],
            "{status}"
        );
        assert!(answers.iter().all(|(_, value)| value.contains("nc=00000001")));
        // Both were asked once: that was all for this request.
        let third = challenges(401, &[(false, "Digest realm=\"third\", nonce=\"t\"")]);
        assert_eq!(
            answer(&mut client, &mut asked, &third),
            Err(DigestError::TooManyChallenges)
        );
    }
}

#[test]
fn of_each_realm_the_strongest_is_answered_and_no_more_realms_than_challenges_are_allowed() {
    let (mut client, mut asked) = (client(None), RequestChallenges::default());
    let many = challenges(
        407,
        &[
            (true, "Digest realm=\"a\", nonce=\"a-md5\", algorithm=MD5"),
            (true, "Digest realm=\"b\", nonce=\"b-aka\", algorithm=AKAv1-MD5"),
            (true, "Digest realm=\"a\", nonce=\"a-sha\", algorithm=SHA-512-256"),
            (true, "Digest realm=\"a\", nonce=\"a-256\", algorithm=SHA-256"),
            (true, "Digest realm=\"c\", nonce=\"c\""),
            (true, "Digest realm=\"d\", nonce=\"d\""),
        ],
    );
    let answers = answer(&mut client, &mut asked, &many).unwrap();
    assert_eq!(answers.len(), usize::from(CHALLENGES_MAX));
    assert!(answers[0].1.contains("nonce=\"a-sha\""), "{answers:?}");
    assert!(answers[1].1.contains("nonce=\"c\""), "{answers:?}");
}

#[test]
fn with_a_realm_set_the_other_party_of_the_chain_gets_nothing() {
    let (mut client, mut asked) = (client(Some("uas")), RequestChallenges::default());
    let both = challenges(407, &[(true, PROXY), (false, UAS)]);
    let answers = answer(&mut client, &mut asked, &both).unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, "Authorization");
    assert!(!next(&mut client).contains("realm=\"proxy\""));
}

#[test]
fn the_count_goes_up_with_each_use_of_a_nonce_and_begins_anew_with_the_next_nonce() {
    let (mut client, mut asked) = (client(None), RequestChallenges::default());
    answer(&mut client, &mut asked, &challenges(401, &[(false, UAS)])).unwrap();
    assert!(next(&mut client).contains("nonce=\"u1\"") && next(&mut client).contains("nc=00000003"));
    client.heed_info(
        Challenger::Server,
        "qop=auth, rspauth=\"00\", nextnonce=\"u2\", nc=00000003",
    );
    let first = next(&mut client);
    assert!(
        first.contains("nonce=\"u2\"") && first.contains("nc=00000001"),
        "{first}"
    );
    // The success comes once more.
    client.heed_info(Challenger::Server, "nextnonce=\"u2\"");
    assert!(next(&mut client).contains("nc=00000002"));
    for (challenger, info) in [
        (Challenger::Proxy, "nextnonce=\"x\""),
        (Challenger::Server, "nextnonce=\"x\", realm=\"other\""),
        (Challenger::Server, "nextnonce=\"\""),
        (Challenger::Server, "rspauth=\"x\""),
        (Challenger::Server, "nonsense"),
        (Challenger::Server, ""),
    ] {
        client.heed_info(challenger, info);
        assert!(next(&mut client).contains("nonce=\"u2\""), "{info}");
    }
}

#[test]
fn a_next_nonce_that_may_be_meant_for_two_realms_is_taken_by_neither() {
    let (mut client, mut asked) = (client(None), RequestChallenges::default());
    let two = challenges(
        401,
        &[
            (false, "Digest realm=\"a\", nonce=\"a1\""),
            (false, "Digest realm=\"b\", nonce=\"b1\""),
        ],
    );
    answer(&mut client, &mut asked, &two).unwrap();
    client.heed_info(Challenger::Server, "nextnonce=\"n\"");
    let both = next(&mut client);
    assert!(both.contains("\"a1\"") && both.contains("\"b1\""), "{both}");
    client.heed_info(Challenger::Server, "nextnonce=\"b2\", realm=\"b\"");
    let both = next(&mut client);
    assert!(both.contains("\"a1\"") && both.contains("\"b2\""), "{both}");
}

#[test]
fn the_server_accepts_its_own_next_nonce_and_a_session_key_keeps_its_first() {
    let mut entropy = Entropy::from_number(3);
    let mut server = DigestServer::new("uas").with_user("bob", "zanzibar");
    let lines = server.challenge(false, &mut entropy);
    let lines: Vec<_> = lines.iter().map(|line| (false, line.as_str())).collect();
    let (mut client, mut asked) = (client(None), RequestChallenges::default());
    answer(&mut client, &mut asked, &challenges(401, &lines)).unwrap();
    client.heed_info(Challenger::Server, &server.next_nonce(&mut entropy));
    let value = next(&mut client);
    assert!(matches!(
        server.verify(Some(&value), &Method::Bye, &uri(), b""),
        Verdict::Accepted { .. }
    ));
    // A -sess response with the next nonce alone would be another one: the key still has the first nonce in it.
    let sess = "Digest realm=\"r\", nonce=\"n1\", qop=\"auth\", algorithm=MD5-sess";
    let (mut client, mut asked) = (self::client(None), RequestChallenges::default());
    answer(&mut client, &mut asked, &challenges(401, &[(false, sess)])).unwrap();
    client.heed_info(Challenger::Server, "nextnonce=\"n2\"");
    let authorization = Authorization::parse(&next(&mut client)).unwrap();
    assert_eq!(authorization.nonce, "n2");
    assert!(!authorization.is_right(&Masked::new("zanzibar".to_owned()), &Method::Bye, b""));
}

#[test]
fn userhash_charset_domain_and_the_unknown_are_ignored() {
    let odd = "Digest realm=\"r\", domain=\"sip:r\", nonce=\"n\", charset=UTF-8, userhash=true, \
        qop=\"auth-conf , AUTH\", algorithm=\"sha-256\", x-vendor=1";
    let (mut client, mut asked) = (client(None), RequestChallenges::default());
    let answers = answer(&mut client, &mut asked, &challenges(401, &[(false, odd)])).unwrap();
    let value = &answers[0].1;
    assert!(
        value.contains("username=\"bob\"") && value.contains("qop=auth,"),
        "{value}"
    );
    assert!(value.contains("algorithm=sha-256"), "{value}");
    for absent in ["userhash", "charset", "domain", "x-vendor", "username*"] {
        assert!(!value.contains(absent), "{value}");
    }
    let authorization = Authorization::parse(value).unwrap();
    assert!(authorization.is_right(&Masked::new("zanzibar".to_owned()), &Method::Invite, b""));
}
