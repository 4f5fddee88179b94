//! Captures in files: reading them (`read`), and what is written of them (`write`).
//!
//! Knows formats and link types, not what the frames are for. What a file says is hostile input: lengths are bounded before anything is
//! allocated, and names are made visible by who shows them.

pub mod read;
pub mod write;
