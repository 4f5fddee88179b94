//! Maps as everybody can read them: by bpftool.

use std::collections::BTreeMap;

use nix::unistd::Pid;
use serde_json::Value;

use super::kernel::{Objects, bpftool};

/// A map that a process has open.
#[derive(Debug)]
pub struct Map {
    id: u32,
    /// What the kernel says of it: `type`, `name`, `bytes_key`, `bytes_value`, `max_entries`.
    pub info: Value,
}

impl Map {
    /// The newest of those with this name, of which the kernel keeps 15 characters.
    #[must_use]
    pub fn of(objects: &Objects, name: &str) -> Self {
        let maps = objects.maps.iter().rev().map(|id| Self {
            id: *id,
            info: bpftool(&["map", "show", "id", &id.to_string()]),
        });
        let mut named = maps.filter(|map| map.info["name"] == name);
        named.next().unwrap_or_else(|| panic!("no map {name}"))
    }

    /// Of this process.
    #[must_use]
    pub fn own(name: &str) -> Self {
        Self::of(&Objects::of(Pid::this()), name)
    }

    /// All elements, as bytes. One that is withdrawn while bpftool reads has an error in place of its value: it is not there.
    #[must_use]
    pub fn elements(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let bytes = |element: &Value, part: &str| -> Vec<u8> {
            let bytes = element[part].as_array().expect("bytes").iter();
            bytes
                .map(|byte| parse_byte(byte).expect("a byte"))
                .collect()
        };
        let elements = self.dump();
        elements
            .iter()
            .filter(|element| element["value"].get("error").is_none())
            .map(|element| (bytes(element, "key"), bytes(element, "value")))
            .collect()
    }

    /// The values of an array, with the names of their fields.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        let elements = self.dump();
        let values = elements
            .iter()
            .map(|element| &element["formatted"]["value"]);
        values.cloned().collect()
    }

    fn dump(&self) -> Vec<Value> {
        match bpftool(&["map", "dump", "id", &self.id.to_string()]) {
            Value::Array(elements) => elements,
            other => panic!("no elements: {other}"),
        }
    }
}

fn parse_byte(byte: &Value) -> Option<u8> {
    u8::from_str_radix(byte.as_str()?.strip_prefix("0x")?, 16).ok()
}
