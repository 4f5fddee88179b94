//! The Rust half of `bpf/`: loads the programs, attaches them, reads the maps. Only this room uses libbpf.
//!
//! [`Tracker`] owns programs and maps. `program` loads the programs, and runs those that user space calls itself. `hook` attaches
//! programs to interfaces. `read` turns the content of maps into types of [`crate::model`]. `pin` lets other processes find a run.
//! `sys` has all unsafe code.

mod hook;
mod pin;
mod program;
mod read;
mod sys;
mod tracker;

pub use hook::attach::{Attachment, Hook, Request, attach, detach};
pub use hook::hooks::{GONE, KnownHook};
pub use hook::needs::HookNeeds;
pub use pin::pins::{Claim, Pinned, State, instances, remove_dead};
pub use pin::resume::Description;
pub use program::limits::Limit;
pub use program::load::Settings;
pub use program::memory::Memory;
pub use program::open_files::{OpenFiles, raise_limit};
#[cfg(feature = "cli")]
pub use program::probe;
pub use program::refusal::{is_refused, program_path};
pub use program::replay::{Replayed, ReplayedFrame};
pub use program::test_run::{Entry, Runner};
#[doc(hidden)]
pub use program::verifier::{VerifierStatistics, verifier_statistics};
#[cfg(feature = "cli")]
pub use read::buffers::Buffers;
pub use read::drops::DroppedBooks;
pub use read::frames::{Frame, FrameRing};
pub use read::payload::{Payload, Payloads};
pub use read::reader::Reader;
pub use read::sockets::Sockets;
pub use tracker::Tracker;
