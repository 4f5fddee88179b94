//! Capture files: reading (`read`) and writing (`write`).
//!
//! Knows formats and link types, not what the frames are for. What a file says is hostile input: lengths are bounded before anything is
//! allocated, and names are made visible by who shows them.

pub mod read;
pub mod write;
