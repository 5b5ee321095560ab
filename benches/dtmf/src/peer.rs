//! The other side of `peer.c`.
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::cases::set::Kind;

pub struct Peer {
    child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(path: &Path) -> Result<Self, String> {
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            to: BufWriter::new(to.ok_or("no pipe to the peer")?),
            from: BufReader::new(from.ok_or("no pipe from the peer")?),
        })
    }

    fn ask(&mut self, what: u8, count: usize, data: &[u8]) {
        let sent = self
            .to
            .write_all(&[what])
            .and_then(|()| self.to.write_all(&(count as u32).to_le_bytes()));
        sent.and_then(|()| self.to.write_all(data))
            .and_then(|()| self.to.flush())
            .expect("the peer listens");
    }

    fn get<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        self.from.read_exact(&mut octets).expect("the peer answers");
        octets
    }

    pub fn reset(&mut self) {
        self.ask(b'R', 0, &[]);
    }

    /// Packets of 160 samples, lost or not; reports with their sample positions, and CPU seconds.
    pub fn detect(&mut self, packets: &[(bool, [i16; 160])]) -> (Vec<(char, u32)>, f64) {
        let mut data = Vec::with_capacity(packets.len() * 321);
        for (lost, samples) in packets {
            data.push(u8::from(*lost));
            samples.iter().for_each(|s| data.extend(s.to_le_bytes()));
        }
        self.ask(b'C', packets.len(), &data);
        let count = u32::from_le_bytes(self.get());
        let reports = (0..count).map(|_| {
            let [digit] = self.get();
            (char::from(digit), u32::from_le_bytes(self.get()))
        });
        let reports = reports.collect();
        (reports, f64::from_le_bytes(self.get()))
    }

    pub fn through(&mut self, kind: Kind, pcm: &[i16]) -> Vec<i16> {
        let what = match kind {
            Kind::Gsm => b'g',
            Kind::G726 => b'7',
            Kind::Opus => b'o',
            Kind::Speex => b's',
            Kind::Amr => b'a',
            _ => return pcm.to_vec(),
        };
        let data: Vec<u8> = pcm.iter().flat_map(|s| s.to_le_bytes()).collect();
        self.ask(what, pcm.len(), &data);
        let count = u32::from_le_bytes(self.get());
        (0..count).map(|_| i16::from_le_bytes(self.get())).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when its input does; this only makes sure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
