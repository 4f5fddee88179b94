//! What is in a record: the templates, by the numbers of IANA's registry of IPFIX information elements.

use crate::model::Protocol;

/// A field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its information element; with [`REVERSE`], of the other direction (RFC 5103).
    pub element: u16,
    /// Bytes in a record.
    pub length: u16,
    /// Of the direction from responder to originator.
    pub reverse: bool,
}

/// The enterprise number of reverse elements (RFC 5103, section 6.1).
pub(super) const REVERSE: u32 = 29305;
/// Of a field whose length stands before it in each record (RFC 7011, section 7).
pub(super) const VARIABLE: u16 = 0xffff;

const fn field(element: u16, length: u16) -> Field {
    Field {
        element,
        length,
        reverse: false,
    }
}

const fn reverse(element: u16, length: u16) -> Field {
    Field {
        element,
        length,
        reverse: true,
    }
}

const SOURCE_IPV4: Field = field(8, 4);
const DESTINATION_IPV4: Field = field(12, 4);
const SOURCE_IPV6: Field = field(27, 16);
const DESTINATION_IPV6: Field = field(28, 16);
/// What every record has after its addresses, in the order in which `record.rs` writes it.
const COMMON: [Field; 20] = [
    field(7, 2),         // sourceTransportPort
    field(11, 2),        // destinationTransportPort
    field(4, 1),         // protocolIdentifier
    field(60, 1),        // ipVersion
    field(10, 4),        // ingressInterface
    field(14, 4),        // egressInterface
    field(2, 8),         // packetDeltaCount
    field(1, 8),         // octetDeltaCount: from the IP header on
    field(352, 8),       // layer2OctetDeltaCount: of the frames
    field(152, 8),       // flowStartMilliseconds
    field(153, 8),       // flowEndMilliseconds
    field(136, 1),       // flowEndReason
    field(61, 1),        // flowDirection
    field(58, 2),        // vlanId: the outer tag
    field(245, 2),       // dot1qCustomerVlanId: the inner tag
    field(148, 8),       // flowId
    field(34, 4), // samplingInterval: 1. Some readers (akvorado) look for it here, or for options in the domain of the connections
    field(133, 8), // droppedPacketDeltaCount
    field(132, 8), // droppedOctetDeltaCount: from the IP header on
    field(96, VARIABLE), // applicationName: what the payload says is spoken; empty where it says nothing
];
/// What a record of both directions has after that.
const OTHER: [Field; 8] = [
    reverse(2, 8),
    reverse(1, 8),
    reverse(352, 8),
    reverse(152, 8),
    reverse(153, 8),
    reverse(133, 8),
    reverse(132, 8),
    field(239, 1), // biflowDirection
];

/// `ipClassOfService`: TOS byte or traffic class, of the first packet of each direction. Not among the others, as its own direction's comes
/// last: nfdump takes either for it.
const REVERSE_CLASS: Field = reverse(5, 1);
const CLASS: Field = field(5, 1);

/// A template: its number, and what is in it.
pub(super) struct Template {
    pub id: u16,
    /// How many of the fields, the first ones, say what the others are about: only options have any.
    pub scopes: u16,
    pub fields: Vec<Field>,
}

impl Template {
    /// Bytes of a record of a connection, at most.
    pub fn record_bytes(&self) -> usize {
        let words = Protocol::ALL.iter().map(|protocol| protocol.word().len());
        let longest = words.max().unwrap_or_default();
        let lengths = self.fields.iter().map(|field| match field.length {
            VARIABLE => 1 + longest,
            length => usize::from(length),
        });
        lengths.sum()
    }
}

/// The templates of records with one direction each and, where they are wanted, with both.
pub(super) fn flows(biflow: bool) -> Vec<Template> {
    let kinds = [false, true].into_iter().filter(|both| biflow || !both);
    kinds.flat_map(of_kind).collect()
}

fn of_kind(biflow: bool) -> [Template; 2] {
    [false, true].map(|ipv6| {
        let addresses = if ipv6 {
            [SOURCE_IPV6, DESTINATION_IPV6]
        } else {
            [SOURCE_IPV4, DESTINATION_IPV4]
        };
        let other = OTHER.iter().chain([&REVERSE_CLASS]).filter(|_| biflow);
        Template {
            id: flow_id(ipv6, biflow),
            scopes: 0,
            fields: addresses
                .iter()
                .chain(&COMMON)
                .chain(other)
                .chain([&CLASS])
                .copied()
                .collect(),
        }
    })
}

/// The number of a flow template.
pub(super) fn flow_id(ipv6: bool, biflow: bool) -> u16 {
    256 + u16::from(ipv6) + 2 * u16::from(biflow)
}

pub(super) const INTERFACES: u16 = 260;
pub(super) const STATISTICS: u16 = 261;
pub(super) const SAMPLING: u16 = 262;

/// What is told of the exporter itself: names of interfaces, what was seen and not sent, and that no packet is left out.
pub(super) fn options() -> [Template; 3] {
    [
        Template {
            id: SAMPLING,
            scopes: 1,
            fields: vec![
                field(149, 4), // observationDomainId
                field(305, 4), // samplingPacketInterval
                field(306, 4), // samplingPacketSpace
            ],
        },
        Template {
            id: INTERFACES,
            scopes: 1,
            fields: vec![
                field(10, 4),        // ingressInterface
                field(82, VARIABLE), // interfaceName
            ],
        },
        Template {
            id: STATISTICS,
            scopes: 1,
            fields: vec![
                field(149, 4), // observationDomainId
                field(160, 8), // systemInitTimeMilliseconds
                field(163, 8), // observedFlowTotalCount
                field(164, 8), // ignoredPacketTotalCount
                field(165, 8), // ignoredOctetTotalCount
                field(166, 8), // notSentFlowTotalCount
                field(167, 8), // notSentPacketTotalCount
                field(168, 8), // notSentOctetTotalCount
                field(41, 8),  // exportedMessageTotalCount
                field(42, 8),  // exportedFlowRecordTotalCount
            ],
        },
    ]
}
