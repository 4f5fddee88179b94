/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The interface between the kernel programs and user space: every struct, enum and constant that both use. Rust gets them through
 * the skeleton's types. Only plain __uN, with explicit padding; sizes are asserted here and in src/bpf/read/record.rs.
 *
 * Byte order: addresses and ports inside tuples are network order, loaded as they lie in the packet; everything else
 * is host order. "Side" 0 is the lower end of a canonical tuple, side 1 the higher one (tuple.h).
 */
#ifndef UDP_TRACK_H
#define UDP_TRACK_H

/* Numbers of things, for C and Rust. */
enum udp_track_sizes {
	UDP_TRACK_WAYS = 16, /* places of a set: the associativity of the table */
	UDP_TRACK_TUPLE_WORDS = 5,
	UDP_TRACK_KEY_WORDS =
		12, /* of the hash key: a constant, a multiplier for each 32-bit half of a tuple and for the interface */
	UDP_TRACK_PLACE_WORDS =
		UDP_TRACK_TUPLE_WORDS + 2, /* the same by which places are found (tuple.h); the last for their sum */
	UDP_TRACK_RESPONSE_BUCKETS = 20,
	UDP_TRACK_SPIN_EDGES = 15, /* remembered edges of a QUIC connection */
	UDP_TRACK_TESTS = 256, /* tests of a filter */
	UDP_TRACK_PUBLICATIONS = 4096, /* elements of `publications` */
	UDP_TRACK_PUBLISHED_AT_ONCE = 64, /* elements for one run of udp_track_publish */
	UDP_TRACK_AMENDMENTS = 1024, /* elements of `amendments` */
	UDP_TRACK_AMENDED_AT_ONCE = 32, /* elements for one run of udp_track_amend */
	/* Room for payload in a record, in bytes. Most first datagrams and DNS messages are short. */
	UDP_TRACK_SHORT_PAYLOAD_BYTES = 216,
	UDP_TRACK_PAYLOAD_BYTES = 1400,
	UDP_TRACK_LONG_PAYLOAD_BYTES = 4096, /* only for DNS: the most that resolvers ask for (RFC 6891 6.2.5) */
	UDP_TRACK_FRAME_BYTES =
		65600, /* of a frame, at most: what UDP fills (RFC 768, RFC 8200 3), with an Ethernet header and two tags */
	UDP_TRACK_REPLAY_JIFFY_NS = 1000000, /* the same on each kernel, so that a capture gives the same result */
	/* The result of udp_track_replay for a frame that a capture wants, with the place of its connection in the bits below. */
	UDP_TRACK_REPLAY_WANTED = 1 << 30,
	UDP_TRACK_INTERFACE_BITS = 12,
	UDP_TRACK_INTERFACE_PLACES = 1 << UDP_TRACK_INTERFACE_BITS,
};

/* Values of connection_track. */
enum udp_track_state {
	UDP_TRACK_ESTABLISHED = 2, /* only one side has sent */
	UDP_TRACK_REPLIED = 3, /* both sides have sent */
	UDP_TRACK_ASSURED = 4, /* replied, and still traffic after 2 s: netfilter's rule (nf_conntrack_proto_udp.c) */
	UDP_TRACK_UNREACHABLE = 5, /* an ICMP or ICMPv6 error quoted this connection */
};

/* Why a frame belongs to no connection: indexes of udp_track_books.skipped. */
enum udp_track_skip {
	UDP_TRACK_NOT_IP,
	UDP_TRACK_NOT_UDP,
	UDP_TRACK_FRAGMENT_WITHOUT_HEAD,
	UDP_TRACK_TRUNCATED,
	UDP_TRACK_MALFORMED,
	UDP_TRACK_TOO_DEEP,
	UDP_TRACK_FILTERED,
	UDP_TRACK_OTHER_INTERFACE,
	UDP_TRACK_TABLE_FULL,
	UDP_TRACK_SKIPS,
};

/* The UDP header on the wire (RFC 768), network order. Aligned like IP headers, or the compiler would read each field byte by byte. */
struct udp_header {
	__be16 source;
	__be16 dest;
	__be16 len;
	__be16 check;
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct udp_header) == 8, "udp_header");

/* Packets on the wire (a GSO super-packet counts as its segments) and their frame bytes. */
struct udp_track_counts {
	__u64 packets;
	__u64 bytes;
};

/*
 * Canonical tuple: the same words for both directions. The lower end comes first.
 * IPv4: words[0] = TUPLE | outer VLAN id << 48 | lower address << 16 | lower port
 *       words[1] = inner VLAN id << 48 | higher address << 16 | higher port, words[2..4] = 0
 * IPv6: words[0] = TUPLE | IPV6 | inner VLAN id << 48 | outer VLAN id << 32 | higher port << 16 | lower port
 *       words[1] = second half of the higher address, words[2] = its first half, words[3..4] = lower address
 * The first two words distinguish most connections: they are in the line that each packet reads (struct udp_track_line).
 */
struct udp_track_tuple {
	__u64 words[UDP_TRACK_TUPLE_WORDS];
};

/* Bits of words[0] above the VLAN id. So a place that is free or ends cannot have the tuple of a packet. */
enum udp_track_tuple_bit {
	UDP_TRACK_ENDING_BIT = 61, /* set by user space: the connection has ended, and no packet finds it (table.h) */
	UDP_TRACK_TUPLE_BIT = 62, /* set in each tuple */
	UDP_TRACK_IPV6_BIT = 63,
};
#define UDP_TRACK_ENDING (1ULL << UDP_TRACK_ENDING_BIT)
#define UDP_TRACK_TUPLE	 (1ULL << UDP_TRACK_TUPLE_BIT)
#define UDP_TRACK_IPV6	 (1ULL << UDP_TRACK_IPV6_BIT)

/* Bits for the sides of a connection. */
enum udp_track_sides {
	UDP_TRACK_SEEN = 3, /* bits 0 and 1: the sides that have sent */
	UDP_TRACK_ORIGIN = 4, /* the side that sent the first packet */
	UDP_TRACK_WAITING = 8, /* the request in `message` and `waiting_ns` has no answer yet */
	UDP_TRACK_ASKS =
		16, /* the side whose packets are requests: the sender of the first packet, or the one that user space sets */
	UDP_TRACK_KNOWN = 32, /* user space knows from a socket which side asks */
	UDP_TRACK_GUESSED = 64, /* user space guesses it from the ports, or from the first packet that it saw */
	UDP_TRACK_BOUND =
		128, /* several requests were open, and their answers had no ids: response times are lower bounds */
};

/*
 * Packets and bytes of one side in one word, so that a packet is one atomic add: packets << UDP_TRACK_PACKET_SHIFT | bytes. Before
 * either half is full, its upper bit is taken out and counted as a fold (count.h).
 */
enum udp_track_counted {
	UDP_TRACK_PACKET_SHIFT = 40,
	UDP_TRACK_BYTE_FOLD_BIT = 39,
	UDP_TRACK_PACKET_FOLD_BIT = 63,
	UDP_TRACK_FOLD_SHIFT = 8, /* in `folded` of a detail */
};

/* The cache line that each packet of a connection reads and writes (table.h). */
struct udp_track_line {
	__u64 key[2]; /* words[0..1] of the tuple; key[0] = 0: the place is free */
	__u64 counted[2]; /* by the side that sent: enum udp_track_counted */
	__u32 last; /* jiffies, low 32 bits, of the latest packet: compare by difference */
	__u32 first; /* the same of the first packet */
	__u16 interface[2]; /* by side: the slot of the interface that its packets are counted on, + 1; 0 = not seen yet */
	__u8 state; /* enum udp_track_state */
	__u8 sides; /* enum udp_track_sides */
	__u8 attention; /* bits 0 and 1: a packet of this side changes more than counts; 2 and 3: if it comes after a pause (state.h); 4 and 5: its payload or its frame is wanted (payload.h, frames.h); 6: QUIC's spin bit is looked at, of both sides (spin.h); 7: the frames of both sides are */
	__u8 unreachable; /* bit 0: the side that could not be reached, by the latest ICMP error; the others: when (state.h) */
	__u64 id;
	__u8 ttl[2]; /* TTL or hop limit of a side's first packet; 0 = not seen */
	__u8 detour; /* 0, or the xor of this set and the connection's first set */
	__u8 epoch; /* of open[0]: ns >> UDP_TRACK_EPOCH_SHIFT, its low 8 bits */
	__u16 open[2]; /* requests of that epoch, and of the one before it, without an answer (response.h) */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct udp_track_line) == 64, "udp_track_line");

/* The rest of a connection: for its first packet, for packets that change more than counts, and for all packets of IPv6. */
struct udp_track_detail {
	__u64 rest[3]; /* words[2..4] of the tuple */
	__u64 first_ns; /* now_ns() at the first packet */
	__u64 reply_ns; /* the same at the other side's first packet; 0 = none yet */
	__u64 waiting_ns; /* the same at the latest request, or at that whose answer is waited for */
	/* By side: 2^23 packets each, beside those of `counted`, << UDP_TRACK_FOLD_SHIFT; and the TOS byte or traffic class of its first packet. */
	__u32 folded[2];
	__u16 byte_folds[2]; /* the same of 2^39 bytes */
	__u32 message; /* which request that is (message.h) */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct udp_track_detail) == 64, "udp_track_detail");

/* Value of connections: a set of places. All zero means that all places are free. */
struct udp_track_set {
	__u16 tags[UDP_TRACK_WAYS]; /* 0 = free; else bits of the hash of the connection there */
	__u32 opened; /* how often a place was taken; the packet path, under the lock of the block */
	__u32 freed; /* how often one became free; user space, after the tag */
	__u32 detours_opened; /* the same for connections whose first set is this one, but that are in their second set */
	__u32 detours_freed;
	__u32 __pad[4];
	struct udp_track_line lines[UDP_TRACK_WAYS];
};
_Static_assert(sizeof(struct udp_track_set) == 64 + 16 * 64, "udp_track_set");

/* Value of details, one for each set. */
struct udp_track_details {
	struct udp_track_detail details[UDP_TRACK_WAYS];
};
_Static_assert(sizeof(struct udp_track_details) == 16 * 64, "udp_track_details");

/* A request is lost when its epoch and the next one are over. */
enum udp_track_requests {
	UDP_TRACK_EPOCH_SHIFT = 31, /* of nanoseconds: 2.1 s */
	UDP_TRACK_PATIENCE_NS = 2000000000, /* a request that is alone is lost after this time */
	/* Bucket n has times below 2^(13 + n) ns that are not in bucket n - 1; the last one has all longer times. */
	UDP_TRACK_FIRST_BUCKET_BITS = 13,
};

/* Value of responses, one for each place of `connections`: the requests of its connection (response.h). */
struct udp_track_response {
	__u32 version; /* odd while this, or the fields for requests in line and detail, is written: then readers read again */
	__u32 lost; /* requests without an answer, except for those that are still in `open` */
	__u64 answered; /* requests with an answer */
	__u64 sum_ns; /* the sum of all response times */
	__u64 min_ns; /* 0 = none */
	__u64 max_ns;
	__u32 histogram[UDP_TRACK_RESPONSE_BUCKETS]; /* stops at the largest number */
	__u32 retries; /* requests that repeated the one before it, while that one waited */
	__u16 began; /* jiffies, low 16 bits, of the first request since the latest answer */
	__u16 shortest; /* jiffies of the shortest answer from there, + 1; 0 = none yet */
};
_Static_assert(sizeof(struct udp_track_response) == 128, "udp_track_response");

/*
 * Value of spins, one for each place of `connections`: the latest edges of a QUIC connection's spin bit (spin.h). An edge is a packet
 * whose bit differs from the bit of the packet before it, of the same side.
 */
enum udp_track_spinning {
	UDP_TRACK_SPINNING_BIT = 6, /* in `attention` of a line */
	/* An edge in 16 bits: the side that sent it, and how long after the edge before it, of whichever side, that was: mantissa << shift. */
	UDP_TRACK_SPIN_SIDE_BIT = 15,
	UDP_TRACK_SPIN_MANTISSA_BITS = 11, /* of the 15 below; the others are the shift */
	UDP_TRACK_SPIN_UNIT_BITS = 6, /* in units of 64 ns */
	UDP_TRACK_SPIN_LONG_AGO = 0x7fff, /* 4.3 s or more, or there was none before */
};
struct udp_track_spin {
	__u64 edge_ns[2]; /* by the side that sent: now_ns() at its latest edge; 0 = none yet */
	__u32 version; /* twice the edges; odd while all of this is written: readers take it again */
	__u32 round_ns; /* about a round trip, rather less: a change that comes much sooner is no edge */
	__u32 dense; /* bit n: before the n-th latest edge there were so few packets that the bit may be random */
	__u16 packets[2]; /* low 16 bits of what the side had sent at its latest edge */
	__u8 bit[2]; /* of the side's latest packet: its 0x20, with 1; 0 = none was seen yet */
	__u16 edges[UDP_TRACK_SPIN_EDGES]; /* edge n in n % UDP_TRACK_SPIN_EDGES */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct udp_track_spin) == 64, "udp_track_spin");

/*
 * The books of one hook on one CPU: always seen = tracked + skipped. Only that CPU writes them. If programs on one CPU may interleave
 * (PREEMPT_RT), they use atomic adds.
 */
struct udp_track_books {
	struct udp_track_counts seen;
	struct udp_track_counts tracked;
	struct udp_track_counts skipped[UDP_TRACK_SKIPS];
	__u64 events_lost; /* the ring buffer was full */
	__u64 frames_lost; /* for captures: the same, or they could not be read (frames.h) */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct udp_track_books) == 192, "udp_track_books");

enum udp_track_direction {
	UDP_TRACK_INGRESS,
	UDP_TRACK_EGRESS,
	UDP_TRACK_DIRECTIONS,
};

enum udp_track_event_kind {
	UDP_TRACK_NEW = 1, /* bits, so that settings can name several */
	UDP_TRACK_DATA = 2,
};

/* Ring-buffer record: one packet of a tracked connection. */
struct udp_track_event {
	__u64 id;
	__u64 time; /* UDP_TRACK_NEW: now_ns(); UDP_TRACK_DATA: now_jiffies(), as the clock would cost more than the rest */
	struct udp_track_tuple tuple;
	__u32 place; /* of the connection: set * UDP_TRACK_WAYS + way */
	__u32 bytes;
	__u32 packets;
	__u32 ifindex;
	__u8 kind; /* enum udp_track_event_kind */
	__u8 side; /* that sent it */
	__u8 __pad[6];
};
_Static_assert(sizeof(struct udp_track_event) == 80, "udp_track_event");

/* Which payloads user space wants. */
enum udp_track_payloads {
	UDP_TRACK_NO_PAYLOADS,
	UDP_TRACK_DNS_PAYLOADS, /* messages of DNS, mDNS and LLMNR */
	UDP_TRACK_ALL_PAYLOADS, /* and the first datagrams of each connection, in each direction */
};

/*
 * Record of payloads: a datagram, hostile input. Its payload follows, in room of one of three sizes (enum udp_track_sizes), because the
 * ring buffer needs constant sizes.
 */
struct udp_track_payload {
	__u64 connection; /* its id */
	__u64 ns; /* now_ns() */
	__u32 place; /* of the connection: set * UDP_TRACK_WAYS + way */
	__u32 ifindex; /* of the interface that it passed, */
	__u32 ordinal; /* among the packets of its side: from 1 on, to 2^24. Two CPUs that count for one side at once may give the same. */
	__u16 length; /* of the whole payload */
	__u16 bytes; /* of that, those that follow */
	__u16 source_port;
	__u16 destination_port;
	__u8 direction; /* and enum udp_track_direction there */
	__u8 side; /* that sent it */
	__u8 from_originator; /* 1: the side that sent the connection's first packet */
	__u8 __pad;
};
_Static_assert(sizeof(struct udp_track_payload) == 40, "udp_track_payload");

/* Kinds of datagrams with a budget of their own. */
enum udp_track_payload_kind {
	UDP_TRACK_DNS_QUERY,
	UDP_TRACK_DNS_ANSWER, /* only if both sides of the connection have sent */
	UDP_TRACK_FIRST_PAYLOAD, /* all others */
	UDP_TRACK_PAYLOAD_KINDS,
};

/* Why user space does not get a datagram that it wants, or only a part of it. */
enum udp_track_unread {
	UDP_TRACK_UNREAD_OVER_BUDGET, /* not DNS */
	UDP_TRACK_UNREAD_DNS_OVER_BUDGET,
	UDP_TRACK_UNREAD_TOO_LONG, /* a DNS message: its first bytes are there */
	UDP_TRACK_UNREAD_RING_FULL,
	UDP_TRACK_UNREAD_MERGED, /* DNS messages after too many others in one merged packet */
	UDP_TRACK_UNREAD_FRAGMENTS, /* datagrams in fragments */
	UDP_TRACK_UNREAD_OUT_OF_REACH, /* an impossible length, or bytes that the kernel does not give */
	UDP_TRACK_UNREAD_REASONS,
};

/* Value of payload_budgets, by direction: what one CPU may still read in this jiffy, and what was not read. */
struct udp_track_payload_budget {
	__u32 jiffy; /* low 32 bits */
	__u32 left[UDP_TRACK_PAYLOAD_KINDS];
	__u64 unread[UDP_TRACK_UNREAD_REASONS];
};
_Static_assert(sizeof(struct udp_track_payload_budget) == 72, "udp_track_payload_budget");

/*
 * Value of dns_counts, one for each place of `connections`: DNS messages of the connection there, by their headers (payload.h). By atomic
 * adds; user space makes it 0 before the place is free.
 */
enum udp_track_dns_code {
	UDP_TRACK_DNS_REFUSED = 5, /* the last code that is counted apart (RFC 1035 4.1.1) */
	UDP_TRACK_DNS_OTHER,
	UDP_TRACK_DNS_CODES,
};
struct udp_track_dns_counts {
	__u64 queries;
	__u64 truncated; /* answers */
	__u64 codes[UDP_TRACK_DNS_CODES]; /* answers */
	__u64 unread; /* too short for a header, or it was out of reach */
};
_Static_assert(sizeof(struct udp_track_dns_counts) == 80, "udp_track_dns_counts");

/*
 * Record of frames: a frame of a connection that a capture wants, or an ICMP error about one. Its first bytes follow, as they are in the
 * frame: hostile input.
 */
struct udp_track_frame {
	__u64 connection; /* its id */
	__u64 ns; /* now_ns() */
	__u32 place; /* of the connection: set * UDP_TRACK_WAYS + way */
	__u32 ifindex; /* of the interface that it passed */
	__u32 length; /* of the whole frame, without a tag that the kernel has taken out */
	__u32 bytes; /* how many of them follow */
	__u32 packets; /* on the wire: more than one if the kernel has merged them, or will split the frame */
	__u16 segment_bytes; /* of payload in each of those; else 0 */
	__u16 vlan_tci; /* of the tag that the kernel has taken out of the frame */
	__u16 vlan_protocol; /* its TPID, network order; 0 = there is none */
	__u8 direction; /* enum udp_track_direction there */
	__u8 __pad[5];
};
_Static_assert(sizeof(struct udp_track_frame) == 48, "udp_track_frame");

/* Fixed before the programs are loaded; read-only for them, so that the verifier removes what is switched off. */
struct udp_track_settings {
	__u64 hash_key[2 * UDP_TRACK_KEY_WORDS]; /* for two sums; random at each start */
	__u64 place_key[UDP_TRACK_PLACE_WORDS]; /* the same; odd */
	__u32 blocks; /* of `connections` */
	__u32 block_mask; /* sets of a block - 1; a block has a power of two of them */
	__u32 block_shift; /* log2 of them */
	__u32 slot_bits; /* interfaces have 2^this slots: 0 when there is one */
	__u32 per_interface; /* 1: the interface is a part of the tuple */
	__u32 assured_jiffies; /* 2 s */
	__u32 fragment_jiffies; /* how long a fragment's head is remembered */
	__u32 lost_jiffies; /* two epochs: what is open then is lost */
	__u32 error_shift; /* 2^this jiffies are about a quarter of a second */
	__u32 pause_jiffies; /* before the first answer, a packet this much later is a new request */
	__u32 events; /* enum udp_track_event_kind, or-ed */
	__u32 response_times; /* 1: measure them */
	__u32 payloads; /* enum udp_track_payloads: which to copy to user space */
	__u32 dns; /* 1: count DNS messages */
	__u32 frame_bytes; /* how many bytes of each frame to copy to user space; 0: copy no frames */
	__u32 realtime; /* 1: programs on one CPU may interleave */
	__u32 unusual; /* 1: one of the settings that the hot path does not check: per_interface, realtime, UDP_TRACK_DATA */
	__u32 replay; /* 1: frames are those of a capture, and so is the time (now.h) */
};

/* Arguments of udp_track_replay: a frame of a capture, beside its bytes. User space writes it before each. */
struct udp_track_replay {
	__u64 ns; /* when it was seen: since 1970 */
	__u64 jiffies; /* the same in jiffies of UDP_TRACK_REPLAY_JIFFY_NS */
	__u32 ifindex; /* of the interface that it was seen on: a number of this run's */
	__u32 slot; /* of that */
	__u32 direction; /* enum udp_track_direction */
	__u32 wire_bytes; /* of the whole frame */
	__u32 captured; /* bytes that there are of it, with `added` */
	__u32 added; /* bytes of a link header that was put before it, as it had none */
	__u32 is_short; /* 1: its first headers are not whole, which test runs refuse: the bytes are not its own */
	__u32 __pad;
};
_Static_assert(sizeof(struct udp_track_replay) == 48, "udp_track_replay");

/*
 * A filter (filter.h): tests of one word of a packet, each of which says where to go on. It goes forward only. Fixed before
 * the programs are loaded, read-only for them.
 */
enum udp_track_filter_kind {
	UDP_TRACK_UNFILTERED,
	UDP_TRACK_UNDIRECTED, /* the same for both directions of a connection */
	UDP_TRACK_DIRECTED, /* with src or dst: it decides which side may open a connection */
};

/* What a test looks at. Addresses are as they lie in the packet, ports and VLAN ids are host order. */
enum udp_track_word {
	UDP_TRACK_SOURCE_HIGH, /* the first half of the sender's IPv6 address, or its IPv4 address */
	UDP_TRACK_SOURCE_LOW, /* the second half; of IPv6 only */
	UDP_TRACK_DESTINATION_HIGH,
	UDP_TRACK_DESTINATION_LOW,
	UDP_TRACK_SOURCE_PORT,
	UDP_TRACK_DESTINATION_PORT,
	UDP_TRACK_VLANS, /* inner id << 16 | outer id */
	UDP_TRACK_WORDS = 8, /* a power of two */
};

/* Where a filter ends. */
enum udp_track_verdict {
	UDP_TRACK_UNWANTED = 0xfffe,
	UDP_TRACK_WANTED = 0xffff,
};

/* Passed when least <= (word & mask) <= least + span. */
struct udp_track_test {
	__u64 mask;
	__u64 least;
	__u64 span;
	__u16 word; /* enum udp_track_word */
	__u16 yes; /* the next test when passed, or enum udp_track_verdict */
	__u16 no; /* the same when not */
	__u16 __pad;
};
_Static_assert(sizeof(struct udp_track_test) == 32, "udp_track_test");

struct udp_track_filter {
	__u32 kind; /* enum udp_track_filter_kind */
	__u16 first4; /* the first test of an IPv4 packet, or enum udp_track_verdict */
	__u16 first6; /* the same of an IPv6 packet */
	struct udp_track_test tests[UDP_TRACK_TESTS];
};

/* Value of ip_stats and ip6_stats: what an address sent and received. */
struct udp_track_ip {
	__u64 bytes;
	__u64 packets;
	__u64 published; /* jiffies64 when it was last published: new addresses replace those that are idle longest */
};

/* Value of connection_stats: both directions. */
struct udp_track_stats {
	__u64 bytes;
	__u64 packets;
};

enum udp_track_publication_kind {
	UDP_TRACK_PUBLISH_STATE = 1, /* bits: the state, and an entry if there is none yet */
	UDP_TRACK_PUBLISH_IPV6 = 4, /* the addresses are of IPv6 */
	UDP_TRACK_WITHDRAW = 8, /* the connection has ended */
};

/* Value of publications: what changed in a connection (publish.h). User space writes it and runs udp_track_publish. */
struct udp_track_publication {
	__u64 id;
	struct udp_track_counts total; /* of both directions */
	struct udp_track_counts
		grown; /* of that, what this run has not published: where the map does not say what was */
	__u32 kind; /* enum udp_track_publication_kind, or-ed */
	__u32 state; /* enum udp_track_state */
	__u64 addresses[2][2]; /* of both ends, network order; of IPv4 in the low half of the first word */
};
_Static_assert(sizeof(struct udp_track_publication) == 80, "udp_track_publication");

/* Arguments and answers of udp_track_publish. */
struct udp_track_publishing {
	__u32 count; /* of publications; user space */
	__u32 next; /* the program moves it on */
	__u64 unpublished; /* connections without an entry, because none could be made */
	__u64 addresses; /* entries of ip_stats and ip6_stats */
	struct udp_track_counts without_entry; /* counts without room there, once per address */
	struct udp_track_counts given_up; /* counts of entries that were replaced by others; user space */
};
_Static_assert(sizeof(struct udp_track_publishing) == 56, "udp_track_publishing");

/* What user space has found out about a connection. */
enum udp_track_amendment_kind {
	UDP_TRACK_SET_ROLE = 1, /* how the roles are known: UDP_TRACK_KNOWN, UDP_TRACK_GUESSED, or neither, in `role` */
	UDP_TRACK_SWAP_ROLES = 2, /* the other side asks */
	UDP_TRACK_ANSWER = 4, /* an answer from another port or address has come at `ns` */
	UDP_TRACK_WANT_FRAMES = 8, /* copy its frames */
	UDP_TRACK_LEAVE_FRAMES = 16, /* do not copy its frames */
	UDP_TRACK_SPINS = 32, /* it is QUIC, of a version with a spin bit */
	UDP_TRACK_HEAR = 64, /* read one more datagram of each side */
};

/* Value of amendments. User space writes it and runs udp_track_amend. */
struct udp_track_amendment {
	__u64 id; /* of the connection at `place`; if it is another one, nothing is done */
	__u64 ns;
	__u32 place;
	__u8 kind; /* enum udp_track_amendment_kind, or-ed */
	__u8 role; /* enum udp_track_sides */
	__u8 __pad[2];
};
_Static_assert(sizeof(struct udp_track_amendment) == 24, "udp_track_amendment");

/* Arguments of udp_track_amend. */
struct udp_track_amending {
	__u32 count; /* of amendments; user space */
	__u32 next; /* the program moves it on */
};

/*
 * The sums of all ended connections. Only user space writes them, and a signal may end it at any instruction. So it writes the new sums
 * beside the valid ones, then switches `current`, and then frees the place. The next run knows of each ENDING place whether it is in the
 * sums.
 */
struct udp_track_ended_sum {
	__u64 connections;
	struct udp_track_counts counts;
	__u64 place; /* the latest one in the sum, + 1 */
};
struct udp_track_ended {
	__u64 current; /* which of them is valid */
	struct udp_track_ended_sum sums[2];
};

/* Answer of udp_track_clock: one moment on both clocks. */
struct udp_track_clock {
	__u64 jiffies;
	__u64 ns;
};

/*
 * The slot of an interface: the low half of a word is its index, the high half its slot. An index has two possible places: by its low bits
 * in `first`, by its hash in `second`. Interfaces with consecutive indexes never collide in `first`; only after thousands of interfaces
 * two may collide, and then one of them uses `second`.
 */
struct udp_track_interfaces {
	__u64 first[UDP_TRACK_INTERFACE_PLACES];
	__u64 second[UDP_TRACK_INTERFACE_PLACES];
};

/*
 * What readers of the pins need to know beside the maps: src/bpf/pin/pins.rs. User space writes it after everything is attached. The
 * first word stays the first word in every version.
 */
struct udp_track_instance {
	__u64 layout; /* which version of these structs: UDP_TRACK_LAYOUT, made in build.rs */
	__u64 netns; /* of the interfaces: its cookie (SO_NETNS_COOKIE), or its inode number where there is none */
	__u64 filter_digest; /* of struct udp_track_filter */
	__u64 jiffy_ns; /* length of a jiffy */
	__s64 jiffy_zero_ns; /* CLOCK_MONOTONIC at jiffy 0 */
	__u64 started_ns; /* CLOCK_MONOTONIC when everything was attached */
	__u64 unreplied_ns; /* --udp-timeout */
	__u64 assured_ns; /* --stream-timeout */
	__u32 pid; /* of the latest run, in its namespace of process ids */
	__u32 hooks; /* elements of `hooks` that may be in use: two for each slot, in the order of enum udp_track_direction */
	__u32 cpus;
	__u32 max_connections; /* --max-connections */
	__u32 events; /* settings.events */
	__u32 response_times; /* settings.response_times */
	__u32 payloads; /* settings.payloads */
	__u32 dns; /* settings.dns */
	__u32 per_interface; /* settings.per_interface */
	__u32 slot_bits; /* settings.slot_bits */
	__u32 grows; /* 1: new interfaces get slots of their own */
	__u32 block_shift; /* settings.block_shift */
	__u32 frame_bytes; /* settings.frame_bytes */
	__u32 __pad;
	__u8 filter[256]; /* as people read it; cut, ends with 0 */
};
_Static_assert(sizeof(struct udp_track_instance) == 376, "udp_track_instance");

/* A hook that is or was attached; ifindex 0: no hook. */
struct udp_track_hook {
	__u32 ifindex;
	__u8 direction; /* enum udp_track_direction */
	__u8 kind; /* src/bpf/hook/attach.rs: Hook */
	__u8 ethernet; /* 1: frames begin with an Ethernet header */
	__u8 is_gone; /* 1: its interface is gone, but its books and connections are still there */
	__u8 interface[16]; /* its name (IFNAMSIZ) */
};
_Static_assert(sizeof(struct udp_track_hook) == 24, "udp_track_hook");

#endif
