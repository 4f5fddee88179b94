//! Captures that are read (`-r`): the programs run over frames of files, by the time of the frames.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

#[path = "replay/cut.rs"]
mod cut;
#[path = "replay/file.rs"]
mod file;
#[path = "replay/frames.rs"]
mod frames;
#[path = "quic/peer.rs"]
mod peer;
#[path = "replay/rotation.rs"]
mod rotation;
#[path = "replay/runs.rs"]
mod runs;
#[path = "replay/shown.rs"]
mod shown;
#[path = "replay/traffic.rs"]
mod traffic;
#[path = "replay/written.rs"]
mod written;
#[path = "replay/written_files.rs"]
mod written_files;
