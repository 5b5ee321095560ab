//! Prompts: WAV files on disk or in the program → voices that a call can play; and the tools that make and judge
//! them. The only room that names `hound`. SHELL.
//!
//! | file | does |
//! |---|---|
//! | `riff`, `wav` | the container and its samples, each mistake named |
//! | `resample`, `dsp`, `measure`, `master` | any speech → a telephone master, and what it measures |
//! | `tones`, `listen` | keys that a detector would hear in a prompt |
//! | `manifest`, `language`, `library`, `complete` | `prompts.toml`, language tags, sets of prompts |
//! | `catalogue`, `message` | the voices of all calls; values of a transaction in clips |
//! | `speech`, `check`, `make` | installed voices; `prompts check`, `build`, `import` |
//!
//! What is not here: playing (`media::playout`), which phrase is said when (`ivr`).
//!
//! Invariants:
//! - A language is offered only when every phrase of [`crate::ivr::phrase::ALL`] exists in it.
//! - One voice per set; a name (`brand-…`, `payee-…`) may have its own.
//! - Nothing here runs during a call: clips are encoded once, at start.

mod catalogue;
mod check;
mod complete;
mod dsp;
mod error;
mod language;
mod library;
mod listen;
mod make;
mod manifest;
mod master;
mod measure;
mod message;
mod resample;
mod riff;
mod speech;
mod tones;
mod wav;

pub use catalogue::{Catalogue, CatalogueOptions, FALLBACK, Notice, brand_variable};
pub use check::{ClipReport, LanguageReport, Problem, check_language, phrase_ms};
pub use error::{MasterError, PromptError, SpeechError, WavError};
pub use language::{Audience, Language, Wanted};
pub use library::{Library, PromptSet};
pub use listen::{ListenError, PressedKey, listen_to_file};
pub use make::{Built, Import, Imported, build_language, import};
pub use manifest::{ClipEntry, Manifest, VoiceSource};
pub use message::{MessageError, check_message, message_vars};
pub use riff::{Encoding, WavFormat};
pub use speech::{Engine, Speaker, Speech};
pub use tones::HeardKey;
pub use wav::{WavFile, write_master};
