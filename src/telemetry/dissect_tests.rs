use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;

use super::*;

const AT: Duration = Duration::from_micros(1_700_000_000_250_000);

fn pcap(link: DataLink, packets: &[Vec<u8>]) -> Vec<u8> {
    let header = PcapHeader {
        datalink: link,
        ..PcapHeader::default()
    };
    let mut file = PcapWriter::with_header(Vec::new(), header).unwrap();
    for packet in packets {
        let octets = u32::try_from(packet.len()).unwrap();
        file.write_packet(&PcapPacket::new(AT, octets, packet)).unwrap();
    }
    file.into_writer()
}

fn udp4(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(5060, 5062)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

fn udp6(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv6([0xfd; 16], [0xfc; 16], 64)
        .udp(5060, 5062)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

fn payloads(found: &Dissection<'_>) -> Vec<Vec<u8>> {
    let datagrams = found.carried.iter().map(|carried| match &carried.content {
        Content::Datagram(octets) | Content::Segment { octets, .. } => octets.to_vec(),
    });
    datagrams.collect()
}

#[test]
fn every_link_layer_is_taken_off() {
    let behind = |header: &[u8]| [header, &udp4(b"INVITE")].concat();
    let mut vlan = vec![0; 12];
    vlan.extend([0x81, 0, 0, 5, 0x08, 0]);
    let mut ethernet = vec![0; 12];
    ethernet.extend([0x08, 0]);
    let mut cooked = vec![0; 14];
    cooked.extend([0x08, 0]);
    let mut cooked2 = vec![0x08, 0];
    cooked2.extend([0; 18]);
    for (link, packet) in [
        (DataLink::ETHERNET, behind(&ethernet)),
        (DataLink::ETHERNET, behind(&vlan)),
        (DataLink::LINUX_SLL, behind(&cooked)),
        (DataLink::LINUX_SLL2, behind(&cooked2)),
        (DataLink::NULL, behind(&[2, 0, 0, 0])),
        (DataLink::RAW, udp4(b"INVITE")),
        (DataLink::RAW, udp6(b"INVITE")),
    ] {
        let file = pcap(link, &[packet]);
        let found = dissect(&file).unwrap();
        assert_eq!(payloads(&found), [b"INVITE"], "{link:?}");
        let carried = &found.carried[0];
        assert_eq!((carried.packet, carried.since_epoch), (1, AT));
        assert_eq!((carried.source.port(), carried.destination.port()), (5060, 5062));
    }
}

#[test]
fn pcapng_tells_its_own_clock() {
    for (resolution, units) in [
        (None, 1_000_000_u64),
        (Some(9), 1_000_000_000),
        (Some(0x80 | 10), 1024),
    ] {
        let mut file = PcapNgWriter::new(Vec::new()).unwrap();
        let mut interface = InterfaceDescriptionBlock::new(DataLink::RAW, 0xffff);
        interface.options = resolution
            .map(InterfaceDescriptionOption::IfTsResol)
            .into_iter()
            .collect();
        file.write_pcapng_block(interface).unwrap();
        let data = udp4(b"200 OK");
        file.write_pcapng_block(EnhancedPacketBlock {
            interface_id: 0,
            // The crate writes what it takes for nanoseconds.
            timestamp: Duration::from_nanos(1_700_000_000 * units + units / 4),
            original_len: u32::try_from(data.len()).unwrap(),
            data: Cow::Owned(data),
            options: Vec::new(),
        })
        .unwrap();
        let file = file.into_inner();
        let found = dissect(&file).unwrap();
        assert_eq!(payloads(&found), [b"200 OK"]);
        assert_eq!(found.carried[0].since_epoch, AT, "{resolution:?}");
    }
}

#[test]
fn fragments_are_joined_to_the_datagram_that_they_were() {
    let message = [b'x'; 2000];
    let whole = udp4(&message);
    let (header, body) = whole.split_at(20);
    let fragment = |offset: usize, part: &[u8], more: bool| {
        let mut packet = header.to_vec();
        let length = u16::try_from(20 + part.len()).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        let place = u16::try_from(offset / 8).unwrap() | (u16::from(more) << 13);
        packet[6..8].copy_from_slice(&place.to_be_bytes());
        packet.extend_from_slice(part);
        packet
    };
    let packets = [
        fragment(1480, &body[1480..], false),
        fragment(0, &body[..1480], true),
    ];
    let file = pcap(DataLink::RAW, &packets);
    let found = dissect(&file).unwrap();
    assert_eq!(payloads(&found), [message]);
    assert_eq!(found.carried[0].packet, 2);
}

#[test]
fn a_tcp_segment_keeps_its_place() {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .tcp(5060, 40_000, 77, 1024)
        .write(&mut packet, b"SIP/2.0 ")
        .unwrap();
    let file = pcap(DataLink::RAW, &[packet]);
    let found = dissect(&file).unwrap();
    let expected = Content::Segment {
        sequence: 77,
        opens: false,
        octets: Cow::Borrowed(b"SIP/2.0 "),
    };
    assert_eq!(found.carried[0].content, expected);
}

#[test]
fn damage_names_the_packet_and_keeps_what_came_before() {
    let mut file = pcap(DataLink::RAW, &[udp4(b"one"), udp4(b"two")]);
    file.pop();
    let found = dissect(&file).unwrap();
    assert_eq!(payloads(&found), [b"one"]);
    assert_eq!(
        found.damage.unwrap().to_string(),
        "packet 2: expected a whole record, the file ends within it"
    );
}

#[test]
fn what_is_no_capture_is_named() {
    let mut wav = b"RIFF".to_vec();
    wav.resize(64, 0);
    for (file, expected) in [
        (Vec::new(), "expected a pcap or pcapng file, got an empty file"),
        (b"hello".to_vec(), "expected a pcap or pcapng file, got 5 octets"),
        (
            wav,
            "expected a pcap or pcapng file, got a file that begins with 52 49 46 46",
        ),
    ] {
        assert_eq!(dissect(&file).unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_carries_neither_is_counted_by_reason() {
    let mut arp = vec![0; 12];
    arp.extend([0x08, 0x06]);
    arp.extend([0; 28]);
    let file = pcap(DataLink::ETHERNET, &[arp.clone(), vec![1, 2, 3], arp]);
    let found = dissect(&file).unwrap();
    assert_eq!(found.packets, 3);
    let told: Vec<_> = found
        .left_out
        .iter()
        .map(|l| (l.reason, l.count, l.packet))
        .collect();
    assert_eq!(told, [("not IPv4 or IPv6", 2, 1), (UNREADABLE, 1, 2)]);
}
