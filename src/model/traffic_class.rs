//! What a packet asks of routers.

use std::fmt;

/// The TOS byte of IPv4, the traffic class of IPv6: a DSCP in the upper six bits (RFC 2474), ECN in the others (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficClass(pub u8);

impl TrafficClass {
    /// How routers are to forward it, 0 to 63.
    #[must_use]
    pub fn dscp(self) -> u8 {
        self.0 >> 2
    }
}

/// Its DSCP, by the name that IANA has for it ("Differentiated Services Field Codepoints"), or as a number.
impl fmt::Display for TrafficClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, drop) = (self.dscp() >> 3, self.dscp() & 7);
        let name = match (class, drop) {
            (0, 1) => "LE".to_owned(),
            (5, 4) => "VOICE-ADMIT".to_owned(),
            (5, 6) => "EF".to_owned(),
            (_, 0) => format!("CS{class}"),
            (1..=4, 2 | 4 | 6) => format!("AF{class}{}", drop / 2),
            _ => self.dscp().to_string(),
        };
        f.pad(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_iana() {
        let names: Vec<String> = (0..64)
            .map(|dscp| TrafficClass(dscp << 2).to_string())
            .collect();
        let expected = [
            "CS0",
            "LE",
            "2",
            "3",
            "4",
            "5",
            "6",
            "7",
            "CS1",
            "9",
            "AF11",
            "11",
            "AF12",
            "13",
            "AF13",
            "15",
            "CS2",
            "17",
            "AF21",
            "19",
            "AF22",
            "21",
            "AF23",
            "23",
            "CS3",
            "25",
            "AF31",
            "27",
            "AF32",
            "29",
            "AF33",
            "31",
            "CS4",
            "33",
            "AF41",
            "35",
            "AF42",
            "37",
            "AF43",
            "39",
            "CS5",
            "41",
            "42",
            "43",
            "VOICE-ADMIT",
            "45",
            "EF",
            "47",
            "CS6",
            "49",
            "50",
            "51",
            "52",
            "53",
            "54",
            "55",
            "CS7",
            "57",
            "58",
            "59",
            "60",
            "61",
            "62",
            "63",
        ];
        assert_eq!(names, expected);
        // ECN is no part of it.
        assert_eq!(TrafficClass(0xbb).to_string(), "EF");
        assert_eq!(TrafficClass(0xbb).dscp(), 46);
        assert_eq!(format!("{:>5}", TrafficClass(0xb8)), "   EF");
    }
}
