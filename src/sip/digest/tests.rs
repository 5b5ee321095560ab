use super::*;
use crate::model::Entropy;
use crate::sip::message::{Headers, Method};
use crate::sip::uri::Uri;

fn mufasa() -> Masked<String> {
    Masked::new("Circle of Life".to_owned())
}

fn get() -> Method {
    Method::Other("GET".to_owned())
}

#[test]
fn the_example_of_rfc_2617_is_right() {
    let authorization = Authorization::parse(
        r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",
        response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
    );
    // The line above holds line feeds: the lexer would have unfolded them.
    assert_eq!(authorization, None);
    let authorization = Authorization::parse(
        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
         uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
         response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
    )
    .unwrap();
    let password = Masked::new("Circle Of Life".to_owned());
    assert!(authorization.is_right(&password, &get(), b""));
    assert!(!authorization.is_right(&Masked::new("circle of life".to_owned()), &get(), b""));
    assert!(!authorization.is_right(&password, &Method::Invite, b""));
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
        let authorization = Authorization::parse(&format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        ));
        assert!(
            authorization.unwrap().is_right(&mufasa(), &get(), b""),
            "{algorithm}"
        );
    }
}

#[test]
fn sha_512_256_with_a_name_in_utf_8() {
    let authorization = |username: &str, response: &str| {
        Authorization::parse(&format!(
        "Digest username=\"{username}\", realm=\"api@example.org\", uri=\"/doe.json\", algorithm=SHA-512-256, \
         nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, \
         cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, response=\"{response}\"",
    )).unwrap()
    };
    let password = Masked::new("Secret, or not?".to_owned());
    for (u, r) in [
        (
            "Jäsøn Doe",
            "ae66e67d6b427bd3f120414a82e4acff38e8ecd9101d6c861229025f607a79dd",
        ),
        (
            "488869477bf257147b804c45308cd62ac4e25eb717b12b298c79e62dcea254ec",
            "ae66e67d6b427bd3f120414a82e4acff38e8ecd9101d6c861229025f607a79dd",
        ),
        (
            "Jäsøn Doe",
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        ),
        (
            "488869477bf257147b804c45308cd62ac4e25eb717b12b298c79e62dcea254ec",
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        ),
    ] {
        println!(
            "{} {} {}",
            u,
            r,
            authorization(u, r).is_right(&password, &get(), b"")
        );
    }
}
