//! Responses that others computed: RFC 7616 §3.9 with its erratum 4897, and every algorithm and qop of RFC 8760 over
//! the values of RFC 7616 §3.9.1, computed by another implementation.
use super::hash::{Input, Qop};
use super::*;

const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
const BODY: &[u8] = b"v=0\r\n";

fn of_rfc_7616(algorithm: &str, qop: Qop) -> Input<'static> {
    Input {
        algorithm: algorithm.parse().unwrap(),
        username: "Mufasa",
        realm: "http-auth@example.org",
        password: "Circle of Life",
        key_nonce: NONCE,
        nonce: NONCE,
        cnonce: CNONCE,
        nc: "00000001",
        qop: Some(qop),
        method: "GET",
        uri: "/dir/index.html",
        body: BODY,
    }
}

#[test]
fn every_algorithm_and_qop_gives_the_response_that_others_computed() {
    for (algorithm, auth, auth_int) in [
        (
            "MD5",
            "8ca523f5e9506fed4657c9700eebdbec",
            "d1b8e2ac3f6782372de4bf3d8735b406",
        ),
        (
            "MD5-sess",
            "e783283f46242139c486a698fec7211d",
            "4321e8772738f242cc32334079264d8c",
        ),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            "385d2de062660ced11876f42d9497c69cacf5caaf3d951dd424aee9f7157d563",
        ),
        (
            "SHA-256-sess",
            "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7",
            "cade7e5b751d9c3c2f066a95f2405c5509ad0171cf93f117e98b7f0ebb212e57",
        ),
        (
            "SHA-512-256",
            "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0",
            "5e69357dfa951887c95e88aae45b1f7f834aeba94f85648b86d532e82afdb589",
        ),
        (
            "SHA-512-256-sess",
            "3f2a34f923c38b0fb26dce2fdfc2ce326c23cecf86fbb1444f3e51fbbc2cb92e",
            "1ba4333021256e8b4eebe5c8d20ba53b167f1dac1f6d8c916a08c17ef99eae9a",
        ),
    ] {
        assert_eq!(of_rfc_7616(algorithm, Qop::Auth).response(), auth, "{algorithm}");
        assert_eq!(
            of_rfc_7616(algorithm, Qop::AuthInt).response(),
            auth_int,
            "{algorithm}"
        );
    }
}

/// §3.9.2, whose printed values were made with SHA-512 cut short; those of erratum 4897 are right.
#[test]
fn the_name_of_rfc_7616_in_utf_8_hashes_as_the_erratum_says() {
    let userhash = hash::joined(Hash::Sha512Trunc256, &["Jäsøn Doe", "api@example.org"]);
    assert_eq!(
        userhash,
        "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    );
    let response = Input {
        username: "Jäsøn Doe",
        realm: "api@example.org",
        password: "Secret, or not?",
        key_nonce: "",
        nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        uri: "/doe.json",
        body: b"",
        ..of_rfc_7616("SHA-512-256", Qop::Auth)
    }
    .response();
    assert_eq!(
        response,
        "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    );
}

/// RFC 2617 §3.2.2.2: the key of a `-sess` algorithm is made once, whatever nonce follows.
#[test]
fn the_key_of_a_session_stays_when_the_nonce_changes() {
    let first = of_rfc_7616("MD5-sess", Qop::Auth);
    let next = Input {
        nonce: "second",
        ..of_rfc_7616("MD5-sess", Qop::Auth)
    };
    let other_key = Input {
        nonce: "second",
        key_nonce: "second",
        ..of_rfc_7616("MD5-sess", Qop::Auth)
    };
    assert_ne!(next.response(), first.response());
    assert_ne!(next.response(), other_key.response());
}
