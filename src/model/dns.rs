//! DNS messages of connections, as the kernel half counts them by their headers: all of them, whatever is read of names.

use super::text::Grouped;

/// Codes of answers that are counted apart (RFC 1035 4.1.1, RFC 6895 2.3), and at the end all others. The order is that of
/// `struct udp_track_dns_counts` in `bpf/udp_track.h`.
pub const RCODES: [&str; 7] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other",
];

/// Ports of DNS, mDNS and LLMNR: what is on one of them is taken for it.
pub const DNS_PORTS: [u16; 3] = [53, 5353, 5355];

/// DNS messages of both directions of a connection: from or to port 53, 5353 (mDNS) or 5355 (LLMNR). Of a fragmented message the
/// first fragment is the message; the others have no header and count nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsCounts {
    /// Queries.
    pub queries: u64,
    /// Answers that were cut, so that the query has to be asked again over TCP.
    pub truncated: u64,
    /// Answers, by the code in their headers, in the order of [`RCODES`].
    pub rcodes: [u64; RCODES.len()],
    /// Datagrams that are too short for a header, or whose header was out of reach.
    pub unread: u64,
}

impl DnsCounts {
    /// All answers.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.rcodes.iter().sum()
    }

    /// Answers that say an error: all but NOERROR and NXDOMAIN, which says that there is no such name.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.answers() - self.rcodes[0] - self.rcodes[3]
    }

    /// Of the codes that say an error the one that most answers have, by its place in [`RCODES`], how many have it, and whether others
    /// occur. NXDOMAIN is none of them: it is a true answer to a question for what does not exist, and who looks after the server has
    /// nothing to mend there.
    #[must_use]
    pub fn main_error(&self) -> Option<(usize, u64, bool)> {
        let errors = self.rcodes.into_iter().enumerate();
        let errors = errors.filter(|(code, count)| !matches!(code, 0 | 3) && *count > 0);
        // Of two that are equal the first one.
        let (code, count) = errors.rev().max_by_key(|(_, count)| *count)?;
        Some((code, count, count < self.errors()))
    }

    /// In words: `1,000 queries, 970 answers: NOERROR 900, SERVFAIL 70; 2 cut`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let codes = RCODES
            .iter()
            .zip(self.rcodes)
            .filter(|(_, count)| *count > 0);
        let codes: Vec<String> = codes
            .map(|(code, count)| format!("{code} {}", Grouped(count)))
            .collect();
        let colon = if codes.is_empty() { "" } else { ": " };
        let cut = match self.truncated {
            0 => String::new(),
            truncated => format!("; {} cut", Grouped(truncated)),
        };
        format!(
            "{} queries, {} answers{colon}{}{cut}",
            Grouped(self.queries),
            Grouped(self.answers()),
            codes.join(", ")
        )
    }

    /// What came since it was as much as `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = Self {
            queries: self.queries.saturating_sub(before.queries),
            truncated: self.truncated.saturating_sub(before.truncated),
            unread: self.unread.saturating_sub(before.unread),
            ..*self
        };
        for (mine, theirs) in since.rcodes.iter_mut().zip(before.rcodes) {
            *mine = mine.saturating_sub(theirs);
        }
        since
    }
}

impl std::ops::AddAssign for DnsCounts {
    fn add_assign(&mut self, other: Self) {
        self.queries += other.queries;
        self.truncated += other.truncated;
        self.unread += other.unread;
        for (mine, theirs) in self.rcodes.iter_mut().zip(other.rcodes) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_what_came_since() {
        let before = DnsCounts {
            queries: 10,
            truncated: 1,
            rcodes: [5, 0, 1, 2, 0, 1, 0],
            unread: 1,
        };
        let more = DnsCounts {
            queries: 3,
            truncated: 2,
            rcodes: [1, 1, 1, 1, 1, 1, 1],
            unread: 4,
        };
        let mut sum = before;
        sum += more;
        assert_eq!((sum.queries, sum.answers(), sum.errors()), (13, 16, 7));
        assert_eq!((sum.truncated, sum.unread), (3, 5));
        assert_eq!(
            before.in_words(),
            "10 queries, 9 answers: NOERROR 5, SERVFAIL 1, NXDOMAIN 2, REFUSED 1; 1 cut"
        );
        assert_eq!(DnsCounts::default().in_words(), "0 queries, 0 answers");
        assert_eq!(sum.since(&before), more);
    }

    #[test]
    fn that_there_is_no_such_name_is_no_error() {
        let main_error = |rcodes| {
            DnsCounts {
                rcodes,
                ..DnsCounts::default()
            }
            .main_error()
        };
        assert_eq!(main_error([5, 0, 0, 90, 0, 0, 0]), None);
        assert_eq!(main_error([5, 0, 4, 90, 0, 0, 0]), Some((2, 4, false)));
        assert_eq!(main_error([5, 0, 4, 90, 0, 6, 1]), Some((5, 6, true)));
        assert_eq!(main_error([5, 0, 4, 0, 0, 4, 0]), Some((2, 4, true)));
        assert_eq!(main_error([0; 7]), None);
    }
}
