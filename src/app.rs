//! Builds each part once, starts the loops, drains on shutdown.
