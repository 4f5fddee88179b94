//! QUIC of real programs: what captures of their first datagrams say (see tests/captures/quic/make.py).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "quic/captures.rs"]
mod captures;
