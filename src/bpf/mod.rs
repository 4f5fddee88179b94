//! The Rust half of `bpf/`: loads the programs, attaches them, reads the maps. The only room that knows libbpf.
//!
//! [`Tracker`] owns programs and maps, `attach` puts the programs on an interface and gives back what keeps them
//! there. `record` turns raw structs into [`crate::model`] types; `sys` has all unsafe code.

mod amend;
mod attach;
mod cells;
mod clsact;
mod dns;
mod ending;
mod filter;
mod folders;
mod frames;
mod grace;
mod hooks;
mod kept;
mod kernel;
mod ledger;
mod limits;
mod load;
mod locks;
mod log;
mod memory;
mod open_files;
mod pins;
mod places;
#[cfg(feature = "cli")]
pub mod probe;
mod publish;
mod reader;
mod record;
mod requests;
mod slots;
mod sockets;
mod sys;
mod tracker;
mod verdict;
mod walks;
mod ways;

pub use attach::{Attachment, Hook, HookChoice, Request, XdpMode, attach, detach};
pub use dns::{DnsMessage, UnreadDns};
pub use frames::{Entry, Runner};
pub use hooks::{GONE, KnownHook};
pub use kept::Description;
pub use limits::Limit;
pub use load::{Settings, is_refused};
pub use memory::Memory;
pub use open_files::{OpenFiles, raise_limit};
pub use pins::{Claim, Pinned, State, instances, remove_dead};
pub use reader::Reader;
pub use sockets::Sockets;
pub use tracker::Tracker;
#[doc(hidden)]
pub use verdict::{Verdict, verdicts};
