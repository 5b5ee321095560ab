//! What is sent at the port.
use ringproof::sip::transport::SipTransport;

/// A request that is answered; the sweep and the mutations tear it.
const GOOD: &str = "OPTIONS sip:ping@127.0.0.1 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK-torn;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:carrier@127.0.0.1>;tag=torn-from\r\n\
    To: <sip:ping@127.0.0.1>\r\n\
    Call-ID: torn-call\r\n\
    CSeq: 7 OPTIONS\r\n\
    Contact: <sip:carrier@127.0.0.1:5999>\r\n\
    Content-Length: 0\r\n\r\n";

/// [`GOOD`] as it goes over this transport.
pub(super) fn good(transport: SipTransport) -> String {
    GOOD.replace("SIP/2.0/UDP", &format!("SIP/2.0/{}", transport.via_name()))
}

pub(super) const FIELDS: [&str; 58] = [
    "Via",
    "v",
    "From",
    "f",
    "To",
    "t",
    "Call-ID",
    "i",
    "CSeq",
    "Max-Forwards",
    "Contact",
    "m",
    "Content-Length",
    "l",
    "Content-Type",
    "c",
    "Route",
    "Record-Route",
    "Require",
    "Supported",
    "k",
    "Proxy-Require",
    "Unsupported",
    "Allow",
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Proxy-Authorization",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Authentication-Info",
    "Expires",
    "Min-Expires",
    "Retry-After",
    "Date",
    "Timestamp",
    "Session-Expires",
    "x",
    "Min-SE",
    "RSeq",
    "RAck",
    "Reason",
    "Warning",
    "Event",
    "Subscription-State",
    "Refer-To",
    "Replaces",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Privacy",
    "Diversion",
    "History-Info",
    "Identity",
    "User-Agent",
    "Server",
    "Subject",
    "X-Anything",
];

pub(super) fn values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    values.extend([
        vec![0xff; 40],
        vec![0],
        b"\xc3\x28".to_vec(),
        "\u{feff}\u{5927}".as_bytes().to_vec(),
        "a".repeat(8000).into_bytes(),
        "a".repeat(9000).into_bytes(),
        "<".repeat(500).into_bytes(),
        ",".repeat(500).into_bytes(),
        ";".repeat(500).into_bytes(),
        "sip:a@b,".repeat(400).into_bytes(),
        "\"".repeat(501).into_bytes(),
        format!("\"{}\" <sip:a@b>", "x".repeat(4000)).into_bytes(),
        format!("<sip:a@b;{}>", "p=v;".repeat(500)).into_bytes(),
        "9".repeat(300).into_bytes(),
        b"a\r\n b".to_vec(),
        b"a\r\n\r\nb".to_vec(),
        b"a\nb".to_vec(),
        b"a\rb".to_vec(),
    ]);
    values
}

const TEXTS: [&str; 48] = [
    "",
    " ",
    "\t",
    "0",
    "-1",
    "1",
    "70",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "00000000000000000007",
    "7 OPTIONS",
    "7 INVITE",
    "0 OPTIONS",
    "4294967296 OPTIONS",
    "7OPTIONS",
    "7 7 OPTIONS",
    "sip:a@b",
    "<sip:a@b>",
    "<sip:a@b",
    "sip:a@b>",
    "\"x\" <sip:a@b>;tag=1",
    "\"x <sip:a@b>",
    "x y <sip:a@b>;tag=",
    "<sip:a@b>;tag=1;tag=2",
    "<sip:@>",
    "<sip:>",
    "<>",
    "<sip:[::1]:5060>",
    "<sip:[::1>",
    "<sip:a@b:99999>",
    "<tel:+15005550001>",
    "<sip:%00@b>",
    "<sip:%zz@b>",
    "*",
    "SIP/2.0/UDP 127.0.0.1",
    "SIP/2.0/UDP 127.0.0.1;branch=",
    "SIP/2.0/UDP [::1]:5060;branch=z9hG4bKa;rport=x",
    "SIP/2.0/TCP",
    "SIP/9.9/UDP h;received=1.2.3.4.5",
    "Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth,auth-int\"",
    "Digest",
    "application/sdp;;;=",
    "1 2 OPTIONS extra",
];

/// `field` with `value`: in the place of the one that stands there, or beside the others.
pub(super) fn swept(good: &str, field: &str, value: &[u8], call: u32) -> Vec<u8> {
    let good = good
        .replace("torn-call", &format!("torn-call-{call}"))
        .replace("bK-torn", &format!("bK-torn{call}"));
    let begins = format!("{field}: ");
    let mut lines: Vec<Vec<u8>> = good
        .trim_end()
        .split("\r\n")
        .filter(|line| !line.starts_with(&begins))
        .map(|line| line.as_bytes().to_vec())
        .collect();
    lines.insert(1, [begins.as_bytes(), value].concat());
    let mut octets = lines.join(&b"\r\n"[..]);
    octets.extend(b"\r\n\r\n");
    octets
}

/// Kinds of requests, and what is none, of somebody that no trunk names.
pub(super) fn strangers(good: &str) -> Vec<Vec<u8>> {
    const METHODS: [&str; 16] = [
        "INVITE",
        "OPTIONS",
        "REGISTER",
        "BYE",
        "CANCEL",
        "ACK",
        "INFO",
        "UPDATE",
        "PRACK",
        "REFER",
        "NOTIFY",
        "SUBSCRIBE",
        "MESSAGE",
        "PUBLISH",
        "DANCE",
        "%49NVITE",
    ];
    let mut kinds: Vec<String> = METHODS.iter().map(|m| good.replace("OPTIONS", m)).collect();
    let in_dialog = good.replace("To: <sip:ping@127.0.0.1>", "To: <sip:ping@127.0.0.1>;tag=x");
    kinds.extend(METHODS.iter().map(|m| in_dialog.replace("OPTIONS", m)));
    let torn = [
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
        ("sip:ping@127.0.0.1 SIP", "mailto:ping@127.0.0.1 SIP"),
        ("sip:ping@127.0.0.1 SIP", "sip:100@127.0.0.1 SIP"),
        ("CSeq: 7 OPTIONS", "CSeq: 7 INVITE"),
        ("CSeq: 7", "CSeq: x"),
        ("Call-ID: torn-call\r\n", ""),
        ("Contact:", "Require: teleport\r\nContact:"),
        (
            "Contact:",
            "Proxy-Authorization: Digest username=\"u\"\r\nContact:",
        ),
        ("Content-Length: 0", "Content-Length: 99"),
        ("Max-Forwards: 70", "Max-Forwards: 0"),
        ("carrier@127.0.0.1>;tag", "sipvicious@1.1.1.1>;tag"),
    ];
    kinds.extend(torn.iter().map(|(from, to)| good.replace(from, to)));
    kinds.extend(
        ["SIP/2.0 200 OK", "SIP/2.0 100 Trying", "SIP/2.0 486 Busy Here"]
            .map(|status| good.replace("OPTIONS sip:ping@127.0.0.1 SIP/2.0", status)),
    );
    let mut octets: Vec<Vec<u8>> = kinds.into_iter().map(String::into_bytes).collect();
    octets.extend([
        b"\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        vec![
            0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        ],
        vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3],
        vec![0x80; 1400],
    ]);
    octets
}

/// What the mutations begin from.
pub(super) fn seeds(good: &str) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = ["rfc4475", "rfc5118"]
        .iter()
        .flat_map(|folder| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/vectors")
                .join(folder);
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
        })
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    seeds.sort();
    seeds.push(good.as_bytes().to_vec());
    for method in ["INVITE", "BYE", "CANCEL", "INFO", "PRACK", "UPDATE"] {
        seeds.push(good.replace("OPTIONS", method).into_bytes());
    }
    seeds
}
