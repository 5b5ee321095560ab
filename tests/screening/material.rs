//! What is spoken and played: samples of `benches/screening/samples.sh`, or, without them, our own prompts.
use std::collections::BTreeMap;
use std::path::Path;

use super::dice::Dice;
use super::line::samples_of_wav;

/// Recordings by kind, at 8 kHz, one half of them.
pub struct Material {
    kinds: BTreeMap<String, Vec<Vec<i16>>>,
    /// What we play: the sentences of the first play, in order, and those of the later ones.
    pub prompt: [Vec<Vec<i16>>; 2],
}

/// Which part of the samples, and of the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Tuning,
    Checking,
}

impl Material {
    /// Samples from a folder that `samples.sh` filled.
    pub fn spoken(folder: &Path, half: Half) -> Self {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("the folder that samples.sh filled")
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "s16"))
            .collect();
        files.sort();
        let mut kinds: BTreeMap<String, Vec<(bool, Vec<i16>)>> = BTreeMap::new();
        for path in files {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let kind = name.split('-').next().unwrap_or_default().to_owned();
            let octets = std::fs::read(&path).expect("a sample");
            let pcm: Vec<i16> = octets
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            let list = kinds.entry(kind).or_default();
            list.push((list.len() % 2 == 0, pcm));
        }
        let wanted = half == Half::Tuning;
        let kinds = kinds
            .into_iter()
            .map(|(kind, list)| {
                let half = list.into_iter().filter(|(even, _)| *even == wanted);
                (kind, half.map(|(_, pcm)| pcm).collect())
            })
            .collect();
        Self {
            kinds,
            prompt: prompt(),
        }
    }

    /// Sentences and single words of the prompts in the other voice than the one that calls.
    pub fn ours() -> Self {
        let (mut long, mut short) = (Vec::new(), Vec::new());
        for (name, pcm) in wavs("prompts/en-GB") {
            match pcm.len() {
                0..2400 => {}
                2400..9600 => short.push(pcm),
                _ if name.starts_with("letter") => short.push(pcm),
                _ => long.push(pcm),
            }
        }
        let few = |from: &[Vec<i16>], count: usize, step: usize| -> Vec<Vec<i16>> {
            (0..from.len())
                .map(|n| {
                    let mut pcm = Vec::new();
                    for k in 0..count {
                        pcm.extend(&from[(n + k * step) % from.len()]);
                        pcm.extend(std::iter::repeat_n(0, 2400));
                    }
                    pcm
                })
                .collect()
        };
        let kinds = [
            ("greeting", few(&long, 3, 5)),
            ("voicemail", few(&long, 2, 3)),
            ("answer", few(&short, 1, 1)),
            ("hello", few(&short, 1, 1)),
            ("word", few(&short, 2, 3)),
            ("talker", few(&long, 3, 7)),
            ("talk", few(&long, 4, 3)),
            ("question", few(&long, 3, 4)),
            ("patience", few(&long, 1, 1)),
            ("notice", few(&long, 1, 1)),
        ];
        Self {
            kinds: kinds.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            prompt: prompt(),
        }
    }

    /// One of a kind; empty where there is none.
    pub fn any(&self, kind: &str, dice: &mut Dice) -> &[i16] {
        match self.kinds.get(kind) {
            Some(list) if !list.is_empty() => &list[dice.below(list.len())],
            _ => &[],
        }
    }

    pub fn count(&self, kind: &str) -> usize {
        self.kinds.get(kind).map_or(0, Vec::len)
    }
}

fn prompt() -> [Vec<Vec<i16>>; 2] {
    let clips: BTreeMap<String, Vec<i16>> = wavs("prompts/en-US").into_iter().collect();
    let of = |names: &[&str]| names.iter().map(|name| clips[*name].clone()).collect();
    [
        of(&["brand-default", "confirm-press-pound", "fraud-press-zero-pound"]),
        of(&["brand-default", "confirm-press-pound"]),
    ]
}

fn wavs(folder: &str) -> Vec<(String, Vec<i16>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the prompts")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "wav"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let octets = std::fs::read(&path).expect("a prompt");
            (name, samples_of_wav(&octets).expect("16-bit PCM"))
        })
        .collect()
}
