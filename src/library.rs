//! The public API of the library: the connections on interfaces, as a table in this process. Each error has a kind.

use std::fmt;
use std::path::Path;

use crate::bpf::{self, Attachment};
use crate::clock;
use crate::filter::{Filter, Program, Vocabulary};
use crate::interface;
use crate::model::services::{SERVICES, Services};
use crate::model::{Books, Direction, Ended, HookChoice, Ifindex, Table, Timeouts};

/// What to track. The default is every connection of the default route's interface, received and sent.
///
/// ```
/// use udptrack::Settings;
/// let settings = Settings::new().interface("eth0").filter("port 53").max_connections(10_000);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    interfaces: Vec<String>,
    filter: Option<String>,
    max_connections: u32,
    timeouts: Timeouts,
    hook: HookChoice,
    sent: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            filter: None,
            max_connections: bpf::Settings::default().max_connections,
            timeouts: Timeouts::default(),
            hook: HookChoice::default(),
            sent: true,
        }
    }
}

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tracks this interface, too; `any` means all interfaces.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interfaces.push(name.into());
        self
    }

    /// Tracks only the connections that this filter chooses, in the words of `udptrack --filter`: `port 53 and not net 10.0.0.0/8`.
    #[must_use]
    pub fn filter(mut self, words: impl Into<String>) -> Self {
        self.filter = Some(words.into());
        self
    }

    /// Makes room for at least this number of connections; the default is 65,536.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long a connection must be silent to end; the defaults are netfilter's.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Leaves the place for XDP to other programs, and counts received packets at TC.
    #[must_use]
    pub fn without_xdp(mut self) -> Self {
        self.hook = HookChoice::Tc;
        self
    }

    /// Counts only received packets.
    #[must_use]
    pub fn received_only(mut self) -> Self {
        self.sent = false;
        self
    }

    fn program(&self) -> Result<Option<Program>, Error> {
        let Some(text) = &self.filter else {
            return Ok(None);
        };
        let services = Services::read(Path::new(SERVICES));
        let vocabulary = Vocabulary {
            services: &services,
            user_space: false,
        };
        let filter = Filter::parse(text, vocabulary)
            .map_err(|error| Error::new(ErrorKind::Settings, anyhow::Error::new(error)))?;
        filter
            .compile()
            .map_err(|error| Error::new(ErrorKind::Settings, anyhow::Error::new(error)))
    }
}

/// eBPF programs on interfaces, and the table of their counts. When it is dropped, nothing stays attached.
pub struct Tracker {
    kernel: bpf::Tracker,
    table: Table,
    attachments: Vec<Attachment>,
}

impl Tracker {
    /// Loads the programs and attaches them, in the network namespace of this thread. It needs Linux 5.10 with BTF, and root
    /// or `cap_bpf`, `cap_net_admin` and `cap_perfmon`.
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        let filter = settings.program()?;
        let interfaces = interface::select(&settings.interfaces)
            .map_err(|error| Error::new(ErrorKind::Interface, error))?;
        let request = bpf::Request {
            hook: settings.hook,
            egress: settings.sent,
            ..bpf::Request::default()
        };
        let kernel = bpf::Tracker::load(&bpf::Settings {
            max_connections: settings.max_connections,
            filter,
            interfaces: interfaces.iter().map(|interface| interface.index).collect(),
            hooks: bpf::HookNeeds::of(&interfaces, request),
            // Only other programs read them.
            maps: false,
            ..bpf::Settings::default()
        })
        .map_err(|error| Error::new(ErrorKind::Kernel, error))?;
        let attachments = interfaces
            .iter()
            .map(|interface| bpf::attach(&kernel, interface, request))
            .collect::<Result<_, _>>()
            .map_err(|error| Error::new(ErrorKind::Interface, error))?;
        let table = kernel.table(settings.timeouts);
        Ok(Self {
            kernel,
            table,
            attachments,
        })
    }

    /// Updates the table, and ends connections that have been silent for too long. It returns them once, and removes them from the
    /// table. Call it about once a second: rates are measured between two calls, and a connection can end only in a call.
    pub fn tick(&mut self) -> Result<Vec<Ended>, Error> {
        let now_ns = monotonic_ns()?;
        self.kernel
            .tick(&mut self.table, now_ns)
            .map_err(|error| Error::new(ErrorKind::Kernel, error))
    }

    /// The live connections, as of the latest tick.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Every frame that the hooks have seen: tracked, or skipped for a reason. The sums always balance.
    pub fn books(&self) -> Result<Books, Error> {
        books(&self.kernel, &hooks(&self.attachments))
            .map_err(|error| Error::new(ErrorKind::Kernel, error))
    }

    /// Detaches the programs, and returns the final table and books. The packets of all connections, ended ones included, add up to
    /// the `tracked` of the books, exactly.
    pub fn stop(self) -> Result<(Table, Books), Error> {
        self.end()
            .map_err(|error| Error::new(ErrorKind::Kernel, error))
    }

    fn end(mut self) -> anyhow::Result<(Table, Books)> {
        let hooks = hooks(&self.attachments);
        bpf::detach(self.attachments)?;
        self.kernel.look(&mut self.table, clock::monotonic_ns()?)?;
        let books = books(&self.kernel, &hooks)?;
        Ok((self.table, books))
    }
}

fn hooks(attachments: &[Attachment]) -> Vec<(Ifindex, Direction)> {
    let of_one = |attachment: &Attachment| {
        let index = attachment.interface.index;
        attachment
            .directions()
            .map(move |direction| (index, direction))
    };
    attachments.iter().flat_map(of_one).collect()
}

fn books(kernel: &bpf::Tracker, hooks: &[(Ifindex, Direction)]) -> anyhow::Result<Books> {
    let of_one = |(index, direction): &(Ifindex, Direction)| kernel.books(*index, *direction);
    hooks.iter().map(of_one).sum()
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("connections", &self.table.len())
            .finish_non_exhaustive()
    }
}

fn monotonic_ns() -> Result<u64, Error> {
    clock::monotonic_ns().map_err(|error| Error::new(ErrorKind::Kernel, error))
}

/// The kind of an error: it tells what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings contradict each other, or the filter is wrong.
    Settings,
    /// There is no such interface, or programs cannot be attached to it.
    Interface,
    /// Rights are missing.
    Rights,
    /// The kernel lacks something, or refused something.
    Kernel,
}

/// Why something does not work, in words for people, with the way out if there is one.
pub struct Error {
    kind: ErrorKind,
    cause: anyhow::Error,
}

impl Error {
    fn new(kind: ErrorKind, cause: anyhow::Error) -> Self {
        let kind = if bpf::is_refused(&cause) {
            ErrorKind::Rights
        } else {
            kind
        };
        Self { kind, cause }
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.cause)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:#}", self.kind, self.cause)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(settings: &Settings) -> Error {
        Tracker::start(settings).expect_err("it cannot work")
    }

    #[test]
    fn errors_have_a_kind_and_name_what_is_wrong() {
        let wrong = refusal(&Settings::new().interface("lo").filter("port soon"));
        assert_eq!(wrong.kind(), ErrorKind::Settings);
        assert!(wrong.to_string().contains("soon"), "{wrong}");
        let unknown = refusal(&Settings::new().interface("nowhere0"));
        assert_eq!(unknown.kind(), ErrorKind::Interface);
        assert!(unknown.to_string().contains("nowhere0"), "{unknown}");
    }

    #[test]
    fn what_the_kernel_refuses_for_rights_is_a_kind_of_its_own() {
        let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let refused = anyhow::Error::new(refused).context("cannot attach");
        assert_eq!(
            Error::new(ErrorKind::Kernel, refused).kind(),
            ErrorKind::Rights
        );
        let other = anyhow::anyhow!("no memory");
        let other = Error::new(ErrorKind::Kernel, other);
        assert_eq!(format!("{other:?}"), "Kernel: no memory");
    }
}
