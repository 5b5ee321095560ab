//! The report for a person: a ladder for each call, its streams and keys, in 80 columns.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::report::{Audio, Call, Key, Message, Report, Sound, Stream};

const WIDTH: usize = 80;
/// Columns of the time at the left.
const GUTTER: usize = 13;
/// More hosts than this share a line of text instead of a column.
const COLUMNS_MAX: usize = 5;

pub(super) fn print(name: &str, report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{name}: {} packets, {}",
        report.packets,
        counted(report.calls.len(), "call")
    )?;
    for (at, call) in report.calls.iter().enumerate() {
        writeln!(out, "\nCall {} of {}", at + 1, report.calls.len())?;
        one_call(call, out)?;
    }
    if !report.streams.is_empty() {
        writeln!(out, "\nRTP of no call")?;
        streams(&report.streams, out)?;
    }
    rest(report, out)
}

fn one_call(call: &Call, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "  from     {}", call.from)?;
    writeln!(out, "  to       {}", call.to)?;
    writeln!(out, "  Call-ID  {}", call.call_id)?;
    writeln!(out, "  began    {}", call.started_at)?;
    writeln!(out, "  outcome  {}\n", call.outcome)?;
    let ladder = Ladder::of(call);
    ladder.head(out)?;
    for row in rows(call) {
        match row.what {
            What::Message(message) => ladder.message(message, out)?,
            What::Stream(stream) => ladder.stream(stream, out)?,
            What::Key(key) => ladder.key(key, out)?,
        }
    }
    if !call.streams.is_empty() {
        writeln!(out)?;
        streams(&call.streams, out)?;
    }
    writeln!(out)?;
    if call.keys.is_empty() {
        writeln!(out, "  keys     none heard")?;
    }
    for key in &call.keys {
        writeln!(out, "  key      {}", key_line(key))?;
    }
    for note in &call.notes {
        writeln!(out, "  note     {note}")?;
    }
    Ok(())
}

struct Row<'a> {
    at_ms: f64,
    what: What<'a>,
}

enum What<'a> {
    Message(&'a Message),
    Stream(&'a Stream),
    Key(&'a Key),
}

/// Everything that has a moment, in its order.
fn rows(call: &Call) -> Vec<Row<'_>> {
    let messages = call.messages.iter().map(|message| Row {
        at_ms: message.at_ms,
        what: What::Message(message),
    });
    let streams = call.streams.iter().map(|stream| Row {
        at_ms: stream.first_ms,
        what: What::Stream(stream),
    });
    let keys = call
        .keys
        .iter()
        .filter(|key| key.transport != "info")
        .map(|key| Row {
            at_ms: key.at_ms,
            what: What::Key(key),
        });
    let mut rows: Vec<Row<'_>> = messages.chain(streams).chain(keys).collect();
    rows.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    rows
}

/// One vertical line for each host.
struct Ladder {
    names: Vec<String>,
    /// Column of each line.
    at: Vec<usize>,
    /// Which line an address belongs to.
    line_of: BTreeMap<SocketAddr, usize>,
    /// Several ports of one address are one host, unless all are of one address.
    by_address: BTreeMap<IpAddr, usize>,
}

impl Ladder {
    fn of(call: &Call) -> Self {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for host in &call.hosts {
            if !addresses.contains(&host.ip()) {
                addresses.push(host.ip());
            }
        }
        let together = addresses.len() > 1;
        let mut ladder = Self {
            names: Vec::new(),
            at: Vec::new(),
            line_of: BTreeMap::new(),
            by_address: BTreeMap::new(),
        };
        for host in &call.hosts {
            let known = ladder.by_address.get(&host.ip()).copied().filter(|_| together);
            let line = known.unwrap_or(ladder.names.len());
            if known.is_none() {
                ladder.names.push(host.to_string());
            }
            ladder.line_of.insert(*host, line);
            if together {
                ladder.by_address.insert(host.ip(), line);
            }
        }
        // Media belongs to whom its SDP came from.
        for message in &call.messages {
            let Some(line) = ladder.line_of.get(&message.from).copied() else {
                continue;
            };
            for audio in &message.sdp {
                if let Some(address) = audio.address {
                    ladder
                        .line_of
                        .entry(SocketAddr::new(address, audio.port))
                        .or_insert(line);
                }
            }
        }
        let lines = ladder.names.len().min(COLUMNS_MAX);
        let room = WIDTH - GUTTER - 4;
        ladder.at = (0..lines)
            .map(|n| GUTTER + n * room / (lines.max(2) - 1))
            .collect();
        ladder
    }

    /// Names above their lines where they fit, else letters and a list.
    fn head(&self, out: &mut impl Write) -> io::Result<()> {
        let fits = matches!(&self.names[..], [a, b] if a.len() + b.len() + 2 <= WIDTH - GUTTER + 8);
        if let ([a, b], true) = (&self.names[..], fits) {
            let indent = GUTTER.saturating_sub(8);
            let between = (WIDTH - indent).saturating_sub(a.len() + b.len());
            return writeln!(out, "{:indent$}{a}{:between$}{b}", "", "");
        }
        for (line, name) in self.names.iter().enumerate() {
            match self.at.get(line) {
                Some(_) => writeln!(out, "  {}  {name}", letter(line))?,
                None => writeln!(out, "  -  {name}")?,
            }
        }
        let mut row = vec![' '; WIDTH];
        for (line, at) in self.at.iter().enumerate() {
            put(&mut row, *at, &letter(line).to_string());
        }
        writeln!(out, "{}", text(&row))
    }

    fn line(&self, address: SocketAddr) -> Option<usize> {
        let line = self
            .line_of
            .get(&address)
            .or_else(|| self.by_address.get(&address.ip()));
        line.and_then(|line| self.at.get(*line)).copied()
    }

    fn canvas(&self, at_ms: Option<f64>) -> Vec<char> {
        let mut row = vec![' '; WIDTH];
        if let Some(at_ms) = at_ms {
            put(&mut row, 0, &format!("{:>9.3} s", at_ms / 1000.0));
        }
        for at in &self.at {
            put(&mut row, *at, "|");
        }
        row
    }

    fn arrow(
        &self,
        at_ms: f64,
        (from, to): (SocketAddr, SocketAddr),
        stroke: char,
        label: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (Some(a), Some(b)) = (self.line(from), self.line(to)) else {
            return writeln!(out, "{:>9.3} s   {from} > {to}  {label}", at_ms / 1000.0);
        };
        let mut row = self.canvas(Some(at_ms));
        if a == b {
            put(&mut row, a + 2, &cut(label, WIDTH.saturating_sub(a + 2)));
            return writeln!(out, "{}", text(&row));
        }
        let (left, right) = (a.min(b), a.max(b));
        for place in row.iter_mut().take(right).skip(left + 1) {
            *place = stroke;
        }
        match a < b {
            true => put(&mut row, right - 1, ">"),
            false => put(&mut row, left + 1, "<"),
        }
        // An arrow head, a stroke before it and a space on each side stay.
        let room = (right - left).saturating_sub(5);
        let label = match label.chars().count() > room {
            // What is answered is seen above.
            true => label.replace(" (INVITE)", ""),
            false => label.to_owned(),
        };
        let label = format!(" {} ", cut(&label, room));
        let start = left + 1 + (right - left - 1).saturating_sub(label.chars().count()) / 2;
        put(&mut row, start, &label);
        writeln!(out, "{}", text(&row))
    }

    fn message(&self, message: &Message, out: &mut impl Write) -> io::Result<()> {
        let again = if message.again { ", again" } else { "" };
        let label = format!("{}{again}", message.summary);
        self.arrow(message.at_ms, (message.from, message.to), '-', &label, out)?;
        for audio in &message.sdp {
            let Some(at) = self.line(message.from) else {
                writeln!(out, "{:GUTTER$}{}", "", sdp_line(audio))?;
                continue;
            };
            let mut row = self.canvas(None);
            let line = sdp_line(audio);
            // Beside the line of its sender, on the side where there is room.
            let start = match at + line.chars().count() + 2 < WIDTH {
                true => at + 2,
                false => at.saturating_sub(line.chars().count() + 1),
            };
            put(&mut row, start, &line);
            writeln!(out, "{}", text(&row))?;
        }
        Ok(())
    }

    fn stream(&self, stream: &Stream, out: &mut impl Write) -> io::Result<()> {
        let seconds = (stream.last_ms - stream.first_ms) / 1000.0;
        let label = format!("RTP {} {} packets {seconds:.1} s", stream.codec, stream.packets);
        self.arrow(stream.first_ms, (stream.from, stream.to), '=', &label, out)
    }

    fn key(&self, key: &Key, out: &mut impl Write) -> io::Result<()> {
        let label = format!("key {} ({})", key.digit, key.transport);
        self.arrow(key.at_ms, (key.from, key.to), '.', &label, out)
    }
}

fn sdp_line(audio: &Audio) -> String {
    let mut line = String::from("SDP ");
    match audio.address {
        // Writing to a String cannot fail.
        Some(address) => _ = write!(line, "{}", SocketAddr::new(address, audio.port)),
        None => _ = write!(line, "port {}", audio.port),
    }
    // The static numbers tell nothing that the names do not.
    for codec in &audio.codecs {
        let name = match codec.as_str() {
            "PCMU/0" => "PCMU",
            "PCMA/8" => "PCMA",
            "G722/9" => "G722",
            other => other,
        };
        let _ = write!(line, " {name}");
    }
    if let Some(number) = audio.telephone_event {
        let _ = write!(line, " events/{number}");
    }
    if audio.encrypted {
        line.push_str(" SRTP");
    }
    if audio.direction != "sendrecv" {
        let _ = write!(line, " {}", audio.direction);
    }
    cut(&line, WIDTH - GUTTER - 8)
}

fn streams(streams: &[Stream], out: &mut impl Write) -> io::Result<()> {
    for stream in streams {
        writeln!(
            out,
            "  RTP      {} > {}  {}  ssrc {}",
            stream.from, stream.to, stream.codec, stream.ssrc
        )?;
        let mos = stream
            .mos
            .map_or_else(|| "-".to_owned(), |mos| format!("{mos:.2}"));
        writeln!(
            out,
            "           {} packets, {} lost ({:.1} %), jitter mean {:.2} max {:.2} ms, MOS {mos}",
            stream.packets, stream.lost, stream.loss_percent, stream.jitter_mean_ms, stream.jitter_max_ms
        )?;
        let sound = match stream.sound {
            Sound::Heard => "",
            Sound::Silence => ", digital silence throughout",
            Sound::Unknown if stream.event_packets >= stream.packets => "",
            Sound::Unknown => ", audio not decoded",
        };
        writeln!(
            out,
            "           {} event packets, {} RTCP{sound}",
            stream.event_packets, stream.rtcp_packets
        )?;
    }
    Ok(())
}

fn key_line(key: &Key) -> String {
    let duration = key.duration_ms.map_or_else(String::new, |ms| format!(" {ms} ms"));
    format!(
        "{}  at {:.3} s, {}{duration}, from {}",
        key.digit,
        key.at_ms / 1000.0,
        key.transport,
        key.from
    )
}

fn rest(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let exchanges: Vec<String> = report
        .exchanges
        .iter()
        .map(|exchange| format!("{} {}", exchange.requests, exchange.method))
        .collect();
    if !exchanges.is_empty() {
        writeln!(out, "\nSIP of no call: {}", exchanges.join(", "))?;
    }
    for left in &report.left_out {
        writeln!(
            out,
            "\nLeft out: {}, {}; the first is packet {}",
            counted(usize::try_from(left.count).unwrap_or(usize::MAX), "packet"),
            left.reason,
            left.first_packet
        )?;
    }
    for malformed in &report.malformed {
        writeln!(out, "\nPacket {}: {}", malformed.packet, malformed.error)?;
    }
    if report.calls.is_empty() && report.streams.is_empty() && report.damage.is_none() {
        writeln!(out, "\nNo SIP call and no RTP was found.")?;
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn letter(line: usize) -> char {
    char::from(b'A' + u8::try_from(line).unwrap_or(0).min(25))
}

fn cut(text: &str, room: usize) -> String {
    match text.chars().count() > room {
        true => text.chars().take(room.saturating_sub(1)).chain(['~']).collect(),
        false => text.to_owned(),
    }
}

/// Writes over what stands there, as far as the row goes.
fn put(row: &mut [char], at: usize, text: &str) {
    let places = row.iter_mut().skip(at);
    places.zip(text.chars()).for_each(|(place, c)| *place = c);
}

fn text(row: &[char]) -> String {
    row.iter().collect::<String>().trim_end().to_owned()
}
