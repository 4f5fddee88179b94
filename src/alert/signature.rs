//! Which alert this is, for programs that put alerts of one number and the same two addresses into one row.

use sha1::{Digest as _, Sha1};

use super::notice::Notice;
use crate::model::Shared;

/// Where the numbers of rules begin, and how many there are: those that Suricata leaves to local rules.
const RULES: u64 = 1_000_000;
/// The same of rules with the rest of a group, of which there are many more: nobody gives such numbers out.
const GROUPS: u64 = 1_000_000_000;

/// The number and the words of an alert: those of its rule, and of what its group is besides an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The same in every run. Within a rule no two ports have the same.
    pub id: u32,
    /// Names in it are as the system gave them: hostile input for a terminal.
    pub words: String,
}

impl Notice {
    /// Its signature.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let rule: Vec<&str> = self.rule.name.split_whitespace().collect();
        let of_rule = number(&rule.join(" "));
        let words = self.rule.words();
        let (what, offset) = match self.shared {
            // Addresses have fields of their own.
            None | Some(Shared::Address(_) | Shared::Subnet(..)) => {
                return Signature::new(RULES, of_rule, words);
            }
            Some(Shared::End(end)) => (format!("port {}", end.port()), end.port().into()),
            Some(Shared::Port(port)) => (format!("port {port}"), port.into()),
            Some(
                Shared::Program(_)
                | Shared::Interface(_)
                | Shared::Spoken(_)
                | Shared::Forwarded
                | Shared::Unknown,
            ) => {
                let what = format!("{} {}", self.rule.by_word(), self.group);
                let offset = number(&what);
                (what, offset)
            }
        };
        let number = of_rule.wrapping_add(offset);
        Signature::new(GROUPS, number, format!("{words}, {what}"))
    }
}

impl Signature {
    fn new(range: u64, number: u64, words: String) -> Self {
        Self {
            id: u32::try_from(range + number % range).unwrap_or(0),
            words,
        }
    }
}

/// A number that is made from a text.
fn number(text: &str) -> u64 {
    let digest = Sha1::digest(text);
    let first = digest.iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(*byte))
}
