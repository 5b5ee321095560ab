//! The receiving side: which packets are believed, and what is read from them.
use std::time::Instant;

use super::recording::Recorder;
use crate::media::command::{MediaEvent, StreamConfig};
use crate::media::quality::ReceiveQuality;
use crate::media::rtp::Packet;

#[derive(Debug)]
pub(super) struct Receiver {
    quality: ReceiveQuality,
    recorder: Option<Recorder>,
}

impl Receiver {
    pub(super) fn new(config: &StreamConfig) -> Self {
        Self {
            quality: ReceiveQuality::default(),
            recorder: config.collect_audio.then(|| Recorder::new(config.codec)),
        }
    }

    pub(super) fn update(&mut self, config: &StreamConfig) {
        if self.recorder.is_none() && config.collect_audio {
            self.recorder = Some(Recorder::new(config.codec));
        }
    }

    pub(super) const fn quality(&self) -> &ReceiveQuality {
        &self.quality
    }

    pub(super) fn take_audio(&mut self, events: &mut Vec<MediaEvent>) {
        if let Some(recorder) = &mut self.recorder {
            events.push(MediaEvent::Audio(Box::new(recorder.take())));
        }
    }

    pub(super) fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        config: &StreamConfig,
        events: &mut Vec<MediaEvent>,
    ) {
        let Ok(packet) = Packet::parse(datagram) else {
            return;
        };
        let _ = (now, packet, config, events);
    }
}
