//! What a profile wants done about answering machines, screening robots and the like.
use std::fmt;
use std::str::FromStr;

use super::UnknownWord;

super::outcome::words!(
    /// Of what is heard besides keys.
    ScreeningMode, "screening mode" { End = "end", Label = "label", Off = "off" }
);
