//! One call's progress for a person: a spinner on a terminal, a line a stage elsewhere.
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    last: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("  {spinner:.cyan} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self {
            bar,
            began: Instant::now(),
            last: String::new(),
        }
    }

    /// Shows the stage of `verification` if it is a new one.
    pub(super) fn show(&mut self, verification: &Value) {
        let stage = verification["stage"].as_str().unwrap_or_default();
        if stage == self.last || stage.is_empty() {
            return;
        }
        stage.clone_into(&mut self.last);
        let text = format!("{:>5.1} s  {}", self.began.elapsed().as_secs_f32(), words(stage));
        match &self.bar {
            Some(bar) => {
                bar.println(format!("  {text}"));
                bar.set_message(words(stage).to_owned());
            }
            None => eprintln!("  {text}"),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn words(stage: &str) -> &str {
    match stage {
        "queued" => "queued",
        "dialing" => "dialling",
        "ringing" => "ringing",
        "early_media" => "early media (an announcement, no answer yet)",
        "answered" => "answered",
        "prompting" => "the prompt plays; waiting for a key",
        other => other,
    }
}

/// The outcome as one line, and what the person or the network did.
pub(super) fn outcome_lines(verification: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = vec![format!(
        "{}/{}",
        text(&verification["status"]),
        text(&verification["reason"])
    )];
    for attempt in verification["attempts"].as_array().into_iter().flatten() {
        let mut facts = vec![format!("trunk {}", text(&attempt["trunk"]))];
        if let Some(status) = attempt["sip_status"].as_u64() {
            facts.push(
                format!(
                    "SIP {status} {}",
                    attempt["sip_reason"].as_str().unwrap_or_default()
                )
                .trim()
                .to_owned(),
            );
        }
        if let Some(key) = attempt["key"].as_str() {
            let delay = attempt["key_delay_ms"].as_u64().unwrap_or_default();
            facts.push(format!(
                "key {key} by {}, {delay} ms after it was named",
                text(&attempt["key_transport"])
            ));
        }
        if let Some(codec) = attempt["codec"].as_str() {
            let count = |key: &str| attempt[key].as_u64().unwrap_or_default();
            facts.push(format!(
                "{codec}{}, {} packets sent, {} received, {} lost",
                super::explain::over_srtp(attempt["srtp"].as_str()),
                count("packets_sent"),
                count("packets_received"),
                count("packets_lost")
            ));
        }
        for flag in attempt["flags"].as_array().into_iter().flatten() {
            facts.push(format!("flag {}", text(flag)));
        }
        lines.push(facts.join(" · "));
    }
    lines
}
