//! udptrack under fire: floods, full tables, a million connections, ends and starts under load. Every packet is known.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

#[path = "fire/churn.rs"]
mod churn;
#[path = "fire/flood.rs"]
mod flood;
#[path = "fire/generated.rs"]
mod generated;
#[path = "fire/limits.rs"]
mod limits;
#[path = "fire/load.rs"]
mod load;
#[path = "fire/million.rs"]
mod million;
#[path = "fire/soak.rs"]
mod soak;
#[path = "fire/tally.rs"]
mod tally;
