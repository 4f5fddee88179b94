//! The datagrams of one connection so far, and the protocol that they suggest.

use super::datagram::Datagram;
use super::fit::Fit;
use super::tell::TELLERS;
use crate::model::{Heard, Protocol, Spoken};

/// What is shorter says nothing: it keeps a translation alive.
const BYTES_MIN: u16 = 4;
/// How far a number may be from the one before: some in between may be lost, or not heard.
const STEP_MAX: u16 = 16;
/// How many of one direction must count on, and how many where both directions do.
const COUNTS_ALONE: u8 = 3;
const COUNTS_EACH: u8 = 2;
/// After what prepares media, each datagram may be seconds after the one before: then any step forward is near, and two are enough, as
/// the first byte says which protocol it is (RFC 7983 7).
const STEP_MAX_PREPARED: u16 = 1 << 15;
const COUNTS_PREPARED: u8 = 2;

/// Numbers of one direction that go on.
#[derive(Clone, Copy, Debug, Default)]
struct Trail {
    protocol: Option<Protocol>,
    count: u8,
    number: u16,
    key: u32,
}

impl Trail {
    /// How many of them there are now.
    fn goes_on(&mut self, protocol: Protocol, key: u32, number: u16, step_max: u16) -> u8 {
        let step = number.wrapping_sub(self.number);
        if self.protocol != Some(protocol) || self.key != key {
            *self = Self {
                protocol: Some(protocol),
                count: 1,
                number,
                key,
            };
        } else if (1..=step_max).contains(&step) {
            self.count = self.count.saturating_add(1);
            self.number = number;
        } else if step.wrapping_neg() > step_max {
            self.count = 1;
            self.number = number;
        }
        self.count
    }
}

/// Hears the first datagrams of one connection and names what it speaks. Small: there may be one for each connection.
#[derive(Clone, Debug, Default)]
pub struct Recognizer {
    /// What it has said.
    told: Option<Protocol>,
    /// What its ports make likely.
    guess: Option<Protocol>,
    /// It has said something that the guess does not.
    is_refuted: bool,
    /// By direction, the originator's first.
    trails: [Trail; 2],
    /// What each direction has asked last.
    asked: [Option<(Protocol, u32)>; 2],
}

impl Recognizer {
    /// Takes a datagram in. Each is heard once, in the order of its direction.
    pub fn hear(&mut self, datagram: &Datagram<'_>) {
        let (source, destination) = if datagram.from_originator {
            (datagram.source_port, datagram.destination_port)
        } else {
            (datagram.destination_port, datagram.source_port)
        };
        self.guess = Protocol::port_guess(source, destination);
        if datagram.length < BYTES_MIN {
            return;
        }
        let datagram = &datagram.within_its_length();
        let mut by_port = None;
        for (protocol, tell) in TELLERS {
            if self.told.is_some_and(|told| !outranks(*protocol, told)) {
                continue;
            }
            let likely = if datagram.is_cut() {
                Fit::Perhaps
            } else {
                Fit::No
            };
            let fit = tell(datagram).unwrap_or(likely);
            if self.is_told(*protocol, fit, datagram.from_originator) {
                self.told = Some(*protocol);
                return;
            }
            if self.guess == Some(*protocol) {
                by_port = Some(fit);
            }
        }
        match by_port {
            Some(Fit::Fits | Fit::Asks(_) | Fit::Answers(_)) => self.told = self.guess,
            Some(Fit::No) => self.is_refuted = true,
            _ => {}
        }
    }

    /// Whether this is enough on any port, with what was heard before.
    fn is_told(&mut self, protocol: Protocol, fit: Fit, from_originator: bool) -> bool {
        let (ours, theirs) = if from_originator { (0, 1) } else { (1, 0) };
        match fit {
            Fit::Sure => true,
            Fit::Counts { key, number } => {
                let (step_max, alone) = if self.told.is_some_and(prepares_media) {
                    (STEP_MAX_PREPARED, COUNTS_PREPARED)
                } else {
                    (STEP_MAX, COUNTS_ALONE)
                };
                let count = self.trails[ours].goes_on(protocol, key, number, step_max);
                let other = self.trails[theirs];
                let both = other.protocol == Some(protocol)
                    && other.count >= COUNTS_EACH
                    && count >= COUNTS_EACH;
                count >= alone || both
            }
            Fit::Asks(key) => {
                self.asked[ours] = Some((protocol, key));
                false
            }
            Fit::Answers(key) => self.asked[theirs] == Some((protocol, key)),
            Fit::No | Fit::Perhaps | Fit::Fits => false,
        }
    }

    /// What it has said so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        match self.told {
            Some(protocol) => Heard::Says(protocol),
            None if self.is_refuted => Heard::Other,
            None => Heard::Nothing,
        }
    }

    /// What the connection speaks. Before anything was heard there is only [`Spoken::guess`].
    #[must_use]
    pub fn spoken(&self) -> Option<Spoken> {
        let is_guess = true;
        match self.heard() {
            Heard::Says(protocol) => Some(Spoken::said(protocol)),
            Heard::Other => None,
            Heard::Nothing => self.guess.map(|protocol| Spoken { protocol, is_guess }),
        }
    }
}

/// Whether media may follow in a connection that has spoken this, and its first datagrams may not show them.
#[must_use]
pub fn prepares_media(told: Protocol) -> bool {
    matches!(told, Protocol::Stun | Protocol::Dtls | Protocol::Rtcp)
}

/// Whether a protocol takes the name of a connection that has spoken another one first: what a connection is for comes after what
/// prepares it. ICE and keys come before media (RFC 7983, RFC 9443), keys of `IPsec` before its packets (RFC 3948), a question for an
/// address before a relay.
fn outranks(protocol: Protocol, told: Protocol) -> bool {
    use Protocol::{Dtls, Esp, Ike, Quic, Rtcp, Rtp, Stun, Turn};
    match told {
        Stun => matches!(protocol, Turn | Dtls | Quic | Rtcp | Rtp),
        Dtls => matches!(protocol, Rtcp | Rtp),
        Rtcp => protocol == Rtp,
        Ike => protocol == Esp,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: (u16, u16) = (40000, 50000);

    fn hear(
        recognizer: &mut Recognizer,
        (originator, responder): (u16, u16),
        from_originator: bool,
        bytes: &[u8],
    ) {
        recognizer.hear(&Datagram::between(
            [originator, responder],
            from_originator,
            bytes,
        ));
    }

    /// What is shown once all these were heard: from the originator (true), or to it.
    fn shown<'a>(
        ports: (u16, u16),
        datagrams: impl IntoIterator<Item = (bool, &'a [u8])>,
    ) -> String {
        let mut recognizer = Recognizer::default();
        for (from_originator, bytes) in datagrams {
            hear(&mut recognizer, ports, from_originator, bytes);
        }
        recognizer
            .spoken()
            .map_or_else(|| "-".to_owned(), |spoken| spoken.to_string())
    }

    fn rtp(number: u16, source: u8) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let mut packet = vec![0x80, 0, high, low, 0, 0, 0, 0, 1, 2, 3, source];
        packet.extend([0x55; 160]);
        packet
    }

    const STUN: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    const DTLS: &[u8] = b"\x14\xfe\xfd\0\0\0\0\0\0\0\0\0\x01\x01";

    #[test]
    fn it_is_small() {
        assert!(size_of::<Recognizer>() <= 64, "{}", size_of::<Recognizer>());
    }

    #[test]
    fn media_is_named_once_it_goes_on() {
        let one = |number| (true, rtp(number, 1));
        let show = |packets: &[(bool, Vec<u8>)]| {
            shown(
                PORTS,
                packets.iter().map(|(from, bytes)| (*from, &bytes[..])),
            )
        };
        assert_eq!(show(&[one(7)]), "-");
        assert_eq!(show(&[one(7), one(8)]), "-");
        assert_eq!(show(&[one(7), one(8), one(9)]), "rtp");
        assert_eq!(
            show(&[one(65535), one(0), one(3)]),
            "rtp",
            "one may be lost, and the number begins anew"
        );
        assert_eq!(show(&[one(7), one(7), one(7)]), "-", "the same again");
        assert_eq!(show(&[one(7), one(8), one(500)]), "-", "it jumps");
        assert_eq!(
            show(&[one(7), (true, rtp(8, 2)), one(9)]),
            "-",
            "two sources"
        );
        let back = |number| (false, rtp(number, 9));
        assert_eq!(show(&[one(7), back(100), one(8)]), "-");
        assert_eq!(
            show(&[one(7), back(100), one(8), back(101)]),
            "rtp",
            "two of each direction"
        );
    }

    #[test]
    fn what_a_connection_is_for_takes_the_name_of_what_prepares_it() {
        let media: Vec<Vec<u8>> = (0..3).map(|number| rtp(number, 1)).collect();
        let mut heard: Vec<(bool, &[u8])> = vec![(true, STUN), (false, STUN)];
        assert_eq!(shown(PORTS, heard.clone()), "stun");
        heard.push((true, DTLS));
        assert_eq!(shown(PORTS, heard.clone()), "dtls");
        heard.extend(media.iter().map(|packet| (true, &packet[..])));
        assert_eq!(shown(PORTS, heard.clone()), "rtp");
        heard.push((true, STUN));
        assert_eq!(shown(PORTS, heard), "rtp", "and keeps it");
        assert_eq!(shown(PORTS, [(true, DTLS), (true, STUN)]), "dtls");
    }

    #[test]
    fn media_are_named_from_far_apart_after_what_prepares_them() {
        let shows = |packets: &[Vec<u8>]| {
            let prepared: [(bool, &[u8]); 2] = [(true, STUN), (false, STUN)];
            let media = packets.iter().map(|packet| (true, &packet[..]));
            shown(PORTS, prepared.into_iter().chain(media))
        };
        assert_eq!(shows(&[rtp(7, 1)]), "stun");
        assert_eq!(shows(&[rtp(7, 1), rtp(7, 1)]), "stun", "the same again");
        assert_eq!(shows(&[rtp(7, 1), rtp(57, 1)]), "rtp", "a second later");
        assert_eq!(shows(&[rtp(65_000, 1), rtp(900, 1)]), "rtp");
        assert_eq!(shows(&[rtp(7, 1), rtp(8, 2)]), "stun", "two sources");
        assert_eq!(shows(&[rtp(7, 2), rtp(8, 1), rtp(99, 1)]), "rtp");
    }

    #[test]
    fn an_answer_answers_what_the_other_end_asked() {
        let request: &[u8] = &[4, 9, 0, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        let answer: &[u8] = &[5, 9, 0, 20, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2];
        let other: &[u8] = &[5, 8, 0, 20, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2];
        assert_eq!(shown(PORTS, [(true, request), (false, answer)]), "radius");
        assert_eq!(shown(PORTS, [(true, request), (false, other)]), "-");
        assert_eq!(shown(PORTS, [(true, request), (true, answer)]), "-");
        assert_eq!(shown(PORTS, [(false, answer), (true, request)]), "-");
        assert_eq!(
            shown((40000, 1813), [(true, request)]),
            "radius",
            "its port says so, too"
        );
    }

    #[test]
    fn a_port_is_a_guess_until_something_else_is_said() {
        let port = |responder| (40000, responder);
        assert_eq!(
            shown(port(443), [(true, &[0x45; 40][..])]),
            "quic?",
            "a short header tells nothing"
        );
        assert_eq!(
            shown(port(53), [(true, &b""[..]), (true, b"\xff")]),
            "dns?",
            "nothing is said"
        );
        assert_eq!(
            shown(port(53), [(true, &b"no query, but some text"[..])]),
            "-"
        );
        assert_eq!(shown(port(53), [(true, STUN)]), "stun");
        assert_eq!(
            shown(
                (53, 40000),
                [(false, &b"\x12\x34\x81\x85\0\0\0\0\0\0\0\0"[..])]
            ),
            "dns",
            "an error without a question"
        );
        assert_eq!(shown((41000, 40000), [(true, &b""[..])]), "-");
    }

    #[test]
    fn bytes_past_the_length_are_not_heard() {
        let mut recognizer = Recognizer::default();
        recognizer.hear(&Datagram {
            length: 10,
            ..Datagram::between([40000, 50000], true, STUN)
        });
        assert_eq!(recognizer.spoken(), None);
    }
}
