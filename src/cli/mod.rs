//! Shell room.
