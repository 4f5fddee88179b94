//! The kernel programs, run on frames that are on no wire (`BPF_PROG_TEST_RUN`): nothing is attached or sent.
//!
//! Needs root, as it loads programs. What judges them is the table of `table`, written by hand, and the reference parser
//! (`common::reference`), which is tested apart.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

#[path = "parser/classes.rs"]
mod classes;
#[path = "parser/counting.rs"]
mod counting;
#[path = "parser/errors.rs"]
mod errors;
#[path = "parser/expiry.rs"]
mod expiry;
#[path = "parser/filter.rs"]
mod filter;
#[path = "parser/model.rs"]
mod model;
#[path = "parser/payloads.rs"]
mod payloads;
#[path = "parser/random.rs"]
mod random;
#[path = "parser/requests.rs"]
mod requests;
#[path = "parser/responses.rs"]
mod responses;
#[path = "parser/rig.rs"]
mod rig;
#[path = "parser/sets.rs"]
mod sets;
#[path = "parser/spins.rs"]
mod spins;
#[path = "parser/states.rs"]
mod states;
#[path = "parser/table.rs"]
mod table;
#[path = "parser/threads.rs"]
mod threads;
#[path = "parser/times.rs"]
mod times;
