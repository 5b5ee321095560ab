//! A 200 OK of 1.2 kB, as a carrier behind two proxies sends it: read, looked at field by field, written again. `rsip`
//! alone does the same beside it, as far as it can.
//!
//! `cargo bench --bench parser`
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench ends where it stands")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringproof::sip::message::Message;
use rsip::headers::ToTypedHeader;
use rsip::message::HeadersExt;

const SDP: &str = "v=0\r\n\
    o=carrier 3721 3722 IN IP4 203.0.113.40\r\n\
    s=-\r\n\
    c=IN IP4 203.0.113.40\r\n\
    t=0 0\r\n\
    m=audio 31844 RTP/AVP 0 101\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\n\
    a=ptime:20\r\n\
    a=maxptime:150\r\n\
    a=sendrecv\r\n";

fn answer() -> Vec<u8> {
    let head = "SIP/2.0 200 OK\r\n\
        Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK5f0c2a9d1e7b4c3f8a6d;rport=5060;received=198.51.100.7\r\n\
        Record-Route: <sip:203.0.113.21;lr;ftag=8f3d1c7a5b2e4960;did=7c1.5e2f>\r\n\
        Record-Route: <sip:203.0.113.20:5060;transport=udp;lr;r2=on>\r\n\
        From: \"Contoso\" <sip:+18005550199@calls.example;user=phone>;tag=8f3d1c7a5b2e49608f3d1c7a5b2e4960\r\n\
        To: <sip:+14255550123@carrier.example;user=phone>;tag=gK0c8e1f2a\r\n\
        Call-ID: 4c1d9e7f0a3b5c6d8e2f4a6b8c0d1e3f@198.51.100.7\r\n\
        CSeq: 102 INVITE\r\n\
        Contact: <sip:+14255550123@203.0.113.40:5060;transport=udp>\r\n\
        Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE, PRACK, INFO, REFER, NOTIFY\r\n\
        Supported: timer, 100rel, path, replaces\r\n\
        Require: timer\r\n\
        Session-Expires: 1800;refresher=uas\r\n\
        P-Asserted-Identity: \"SEATTLE WA\" <sip:+14255550123@carrier.example>\r\n\
        P-Charging-Vector: icid-value=8f3d1c7a5b2e49608f3d1c7a5b2e4960;icid-generated-at=203.0.113.21;orig-ioi=carrier.example\r\n\
        Server: Carrier-SBC/9.2.1\r\n\
        Content-Type: application/sdp\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{SDP}", SDP.len()).into_bytes()
}

fn ours(octets: &[u8]) -> Vec<u8> {
    let Ok(Message::Response(response)) = Message::parse(octets) else {
        panic!("expected a response");
    };
    let headers = &response.headers;
    black_box(headers.vias().unwrap());
    black_box(headers.record_routes().unwrap());
    black_box(headers.from().unwrap().tag());
    black_box(headers.to().unwrap().tag());
    black_box(headers.call_id().unwrap());
    black_box(headers.cseq().unwrap());
    black_box(headers.contacts().unwrap());
    black_box(headers.session_expires());
    black_box(response.body_of_type("application/sdp"));
    response.to_bytes()
}

/// `rsip` types neither Record-Route nor Session-Expires.
fn rsip_alone(octets: &[u8]) -> Vec<u8> {
    let rsip::SipMessage::Response(response) = rsip::SipMessage::try_from(octets).unwrap() else {
        panic!("expected a response");
    };
    black_box(response.via_header().unwrap().typed().unwrap());
    black_box(response.from_header().unwrap().typed().unwrap());
    black_box(response.to_header().unwrap().typed().unwrap());
    black_box(response.call_id_header().unwrap());
    black_box(response.cseq_header().unwrap().typed().unwrap());
    black_box(response.contact_header().unwrap().typed().unwrap());
    black_box(&response.body);
    response.to_string().into_bytes()
}

fn parser(criterion: &mut Criterion) {
    let octets = answer();
    assert!((1100..1300).contains(&octets.len()), "{} octets", octets.len());
    assert_eq!(Message::parse(&ours(&octets)), Message::parse(&octets));
    rsip_alone(&octets);
    let mut group = criterion.benchmark_group("200 OK, read, typed and written");
    group.throughput(Throughput::Bytes(octets.len().try_into().unwrap()));
    group.bench_function("ringproof", |b| b.iter(|| ours(black_box(&octets))));
    group.bench_function("rsip alone", |b| b.iter(|| rsip_alone(black_box(&octets))));
    group.finish();
}

criterion_group!(benches, parser);
criterion_main!(benches);
