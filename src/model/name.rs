//! Names that are copied without an allocation.

use std::fmt;

/// The longest name in bytes: names of programs and of interfaces have up to 15.
const LONGEST: usize = 31;

/// The name of a program or of an interface, as the system gave it: hostile input for a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Name {
    /// This one; the end of a long one is left out.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let fits = |end: &usize| name.is_char_boundary(*end);
        let end = (0..=LONGEST.min(name.len())).rev().find(fits);
        let name = &name[..end.unwrap_or(0)];
        let mut bytes = [0; LONGEST];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Self {
            bytes,
            length: u8::try_from(name.len()).unwrap_or(u8::MAX),
        }
    }

    /// As text.
    #[must_use]
    pub fn name(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length));
        bytes.map_or("", |bytes| str::from_utf8(bytes).unwrap_or_default())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit() {
        assert_eq!(Name::new("dig").name(), "dig");
        assert_eq!(Name::new("").name(), "");
        let long = "ü".repeat(20);
        assert_eq!(Name::new(&long).name(), "ü".repeat(15));
        assert!(Name::new("bash") < Name::new("dig"));
        assert!(Name::new("dig") < Name::new("dig2"));
    }
}
