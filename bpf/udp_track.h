/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The interface between the kernel programs and user space: every struct, enum and constant that both sides see.
 * Rust gets them through the skeleton's types. Plain __uN only, padding spelled out, sizes asserted here and in
 * src/bpf/record.rs.
 *
 * Byte order: addresses and ports inside tuples are network order, loaded as they lie in the packet; everything else
 * is host order. "Side" 0 is the lower end of a canonical tuple, side 1 the higher one (key.h).
 */
#ifndef UDP_TRACK_H
#define UDP_TRACK_H

/* Values of connection_track. 2 is the first document's ESTABLISHED. */
enum udp_track_state {
	UDP_TRACK_ESTABLISHED = 2, /* seen, nobody has answered yet */
	UDP_TRACK_REPLIED = 3, /* both directions were seen */
	UDP_TRACK_ASSURED = 4, /* replied, and traffic still after 2 s: netfilter's rule (nf_conntrack_proto_udp.c) */
	UDP_TRACK_UNREACHABLE = 5, /* an ICMP or ICMPv6 error quoted this connection */
};

/* Why a frame belongs to no connection: indexes of udp_track_books.skipped. src/connection/books.rs has the same order. */
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
	UDP_TRACK_COLLISION,
	UDP_TRACK_CLOSING,
	UDP_TRACK_MAP_ERROR,
	UDP_TRACK_SKIPS,
};

/* The UDP header on the wire (RFC 768), network order. Aligned as IP headers are, at least, or each field would be read in bytes. */
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
 * IPv4: words[0] = outer VLAN id << 48 | lower address << 16 | lower port
 *       words[1] = inner VLAN id << 48 | higher address << 16 | higher port, words[2..4] = 0
 * IPv6: words[0..1] = lower address, words[2..3] = higher address,
 *       words[4] = 1 << 63 | inner VLAN id << 48 | outer VLAN id << 32 | higher port << 16 | lower port
 */
#define UDP_TRACK_TUPLE_WORDS 5
struct udp_track_tuple {
	__u64 words[UDP_TRACK_TUPLE_WORDS];
};
#define UDP_TRACK_IPV6 (1ULL << 63)

/*
 * Where an entry of connection_stats stands. Born EMPTY by bpf_map_update_elem(), LIVE under its lock with the first
 * packet, DEAD under its lock when user space ends it.
 */
enum udp_track_life {
	UDP_TRACK_EMPTY,
	UDP_TRACK_LIVE,
	UDP_TRACK_DEAD,
};

/* One connection, as user space gets it when the connection has ended. */
struct udp_track_connection {
	__u64 bytes; /* both directions; first, so that a reader of the value's first word keeps working */
	struct udp_track_counts from[2]; /* by the side that sent */
	struct udp_track_tuple tuple;
	__u64 first_ns; /* bpf_ktime_get_ns() at the first packet */
	__u64 reply_ns; /* the same at the other side's first packet; 0 = none yet */
	__u64 last; /* jiffies64 at the latest packet */
	__u32 first; /* jiffies, low 32 bits, at the first packet: compare by difference, while the connection is young */
	__u32 line; /* its line of `responses`, or UDP_TRACK_NO_LINE */
	__u32 ifindex; /* the interface it was first seen on, and is counted on */
	__u8 state; /* enum udp_track_state */
	__u8 life; /* enum udp_track_life */
	__u8 origin; /* side that sent the first packet */
	__u8 seen; /* sides that have sent: bit 0, bit 1 */
	__u8 unreachable; /* side that the ICMP error said cannot be reached */
	__u8 ttl[2]; /* TTL or hop limit of a side's first packet; 0 = not seen */
	__u8 __pad;
	__u32 changed; /* jiffies, low 32 bits, of the latest change of state, or of the latest ICMP error */
};
_Static_assert(sizeof(struct udp_track_connection) == 128, "udp_track_connection");

/* Value of connection_stats. Everything in it is read and written under its lock, but for hints that are rechecked. */
struct udp_track_stats {
	struct udp_track_connection connection;
	struct bpf_spin_lock lock;
	__u32 __pad;
};
_Static_assert(sizeof(struct udp_track_stats) == 136, "udp_track_stats");

#define UDP_TRACK_NO_LINE (~0u)

/* Bucket n holds times below 2^(13 + n) ns and not below that of n - 1; the last one all that are longer. */
#define UDP_TRACK_RESPONSE_BUCKETS 20

/* How long the originator of a connection waited for answers: from its first unanswered packet to the next one back. */
struct udp_track_response {
	__u64 waiting_ns; /* bpf_ktime_get_ns() at a packet of the originator that is not answered yet; 0 = none */
	__u64 answered; /* waits that a packet back has ended */
	__u64 sum_ns; /* of all of them */
	__u64 min_ns; /* 0 = none */
	__u64 max_ns;
	__u32 histogram[UDP_TRACK_RESPONSE_BUCKETS]; /* stops at the largest number */
};

/* Value of responses: two cache lines, touched only by packets that turn the direction. */
struct udp_track_response_line {
	struct udp_track_response response;
	__u32 tag; /* low half of the connection's id: a slot that outlived its connection must not write here */
	struct bpf_spin_lock lock; /* held for each change */
};
_Static_assert(sizeof(struct udp_track_response_line) == 128, "udp_track_response_line");

/* Value of waits: for this many lines, whether a request waits. A cache line. */
#define UDP_TRACK_WAITS 64
struct udp_track_waits {
	__u8 waits[UDP_TRACK_WAITS];
};

/* Value of fresh_lines. */
struct udp_track_fresh_lines {
	__u32 next; /* lines below have been used */
	struct bpf_spin_lock lock;
};

/* Value of ip_stats and ip6_stats: what an address sent and received. */
struct udp_track_ip {
	__u64 bytes;
	__u64 packets;
};

/* What a slot knows of its connection's sides: bits 0 and 1, those that connection_stats has seen; bit 2, the originator's. */
enum udp_track_sides {
	UDP_TRACK_SEEN = 3,
	UDP_TRACK_ORIGIN = 4,
};

/* What one CPU has counted of one connection since it last wrote back to connection_stats (cache.h). */
struct udp_track_delta {
	__u64 bytes[2]; /* by the side that sent */
	__u32 packets[2]; /* the same; write-back comes long before they wrap */
	__u32 ifindex; /* 0 = the slot is free */
	__u32 last; /* jiffies, low 32 bits, of the latest packet: compare by difference */
	__u32 flushed; /* the same of the last write-back */
	__u32 door; /* way 0 only: the latest connection that missed the full set */
	__u32 line; /* the connection's, as in connection_stats */
	__u16 generation; /* grows each time the slot is given to a connection */
	__u8 sides; /* enum udp_track_sides */
	__u8 joins; /* one packet that may not open a connection (filter.h); 0 in slots */
};
_Static_assert(sizeof(struct udp_track_delta) == 48, "udp_track_delta");

/*
 * The books of one hook, or of the sweep, on one CPU: seen = tracked + skipped, always. One line pair for the fast path, written by
 * that CPU alone.
 */
struct udp_track_books {
	struct udp_track_counts seen;
	struct udp_track_counts tracked;
	struct udp_track_counts skipped[UDP_TRACK_SKIPS];
	struct udp_track_counts ip_table_full; /* what ip_stats or ip6_stats had no room for, once per address */
	__u64 events_lost; /* the ring buffer was full */
	__u64 table_full_at; /* jiffies64 of the last failed insert: none is tried again in that jiffy */
	__u64 ip_full_at; /* the same for ip_stats and ip6_stats */
	__u32 index; /* of this element in `books`; user space writes it, and the next, before anything is attached */
	__u32 first_set; /* of this CPU's part of the cache */
	__u64 scratch[54]; /* struct scratch in maps.h: the programs' own */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct udp_track_books) == 704, "udp_track_books");

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
	__u64 time; /* UDP_TRACK_NEW: bpf_ktime_get_ns(); UDP_TRACK_DATA: jiffies64, as the clock would cost more than the rest */
	struct udp_track_tuple tuple;
	__u32 bytes;
	__u32 packets;
	__u32 ifindex;
	__u8 kind; /* enum udp_track_event_kind */
	__u8 side; /* that sent it */
	__u8 __pad[2];
};
_Static_assert(sizeof(struct udp_track_event) == 72, "udp_track_event");

/*
 * Records of dns_messages: a query or an answer as it was in its datagram, hostile input. Two lengths, as the ring buffer wants
 * them constant: most messages are no longer than the classic limit (RFC 1035 2.3.4).
 */
struct udp_track_dns {
	__u64 connection; /* id */
	__u32 bytes; /* of the message */
	__u8 message[516]; /* 512, and padding */
};
struct udp_track_long_dns {
	__u64 connection;
	__u32 bytes;
	__u8 message[4100]; /* 4096, and padding */
};
_Static_assert(sizeof(struct udp_track_dns) == 528, "udp_track_dns");
_Static_assert(sizeof(struct udp_track_long_dns) == 4112, "udp_track_long_dns");

/* Value of dns_budgets: what one CPU may still read of DNS in this jiffy, and what was not read. */
struct udp_track_dns_budget {
	__u32 jiffy; /* low 32 bits */
	__u32 left;
	__u64 unread; /* messages, queries and answers, over the budget */
	__u64 too_long;
	__u64 lost; /* the ring buffer was full */
};
_Static_assert(sizeof(struct udp_track_dns_budget) == 32, "udp_track_dns_budget");

/* Cache slots: one line for IPv4, two for IPv6. */
struct udp_track_slot4 {
	struct udp_track_delta delta;
	__u64 words[2];
};
struct udp_track_slot6 {
	struct udp_track_delta delta;
	__u64 words[5];
	__u64 __pad[5];
};
#define UDP_TRACK_WAYS 4
struct udp_track_set4 {
	struct udp_track_slot4 way[UDP_TRACK_WAYS];
};
struct udp_track_set6 {
	struct udp_track_slot6 way[UDP_TRACK_WAYS];
};
_Static_assert(sizeof(struct udp_track_set4) == 4 * 64, "udp_track_set4");
_Static_assert(sizeof(struct udp_track_set6) == 4 * 128, "udp_track_set6");

/* Words of the hash key: one constant and one multiplier for each 32-bit half of a tuple, for two sums (key.h). */
#define UDP_TRACK_KEY_WORDS 11

/* Words of the key by which slots are found: one for each word of a tuple, and one for their sum (key.h). */
#define UDP_TRACK_HOME_WORDS (UDP_TRACK_TUPLE_WORDS + 1)

/* Fixed before the programs are loaded; read-only for them, so that the verifier removes what is switched off. */
struct udp_track_settings {
	__u64 hash_key[2 * UDP_TRACK_KEY_WORDS]; /* random at each start */
	__u64 home_key[UDP_TRACK_HOME_WORDS]; /* the same; odd */
	__u32 home_shift; /* of 64 bits: those that stay are the number of a slot in a CPU's part of the cache */
	__u32 sets; /* of the cache, per CPU; a power of two */
	__u32 interface_multiplier; /* ifindex * this >> interface_shift tells the tracked interfaces apart */
	__u32 interface_shift; /* of 32 bits: 32 when there is one interface */
	__u32 flush_jiffies; /* a slot in use writes back at least this often */
	__u32 assured_jiffies; /* 2 s */
	__u32 fragment_jiffies; /* how long a fragment's head is remembered */
	__u32 events; /* enum udp_track_event_kind, or-ed */
	__u32 cache; /* 0: count straight into the maps */
	__u32 sweep_books; /* where the sweeps' books begin: after those of the hooks */
	__u32 lines; /* of `responses`; 0: response times are not measured */
	__u32 names; /* 1: DNS queries and answers are copied to user space */
};

/*
 * A filter (filter.h): tests of one word of a packet, each of which says where to go on. It goes forward only. Fixed before
 * the programs are loaded, read-only for them.
 */
enum udp_track_filter_kind {
	UDP_TRACK_UNFILTERED,
	UDP_TRACK_UNDIRECTED, /* the same for both directions of a connection */
	UDP_TRACK_DIRECTED, /* with src or dst: it says who may open a connection */
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

#define UDP_TRACK_TESTS 256
struct udp_track_filter {
	__u32 kind; /* enum udp_track_filter_kind */
	__u16 first4; /* the first test of an IPv4 packet, or enum udp_track_verdict */
	__u16 first6; /* the same of an IPv6 packet */
	struct udp_track_test tests[UDP_TRACK_TESTS];
};

/* Value of refused: one tuple that the filter did not want, marked in the last word (filter.h). A cache line. */
struct udp_track_refused {
	__u64 words[5];
	__u64 __pad[3];
};
_Static_assert(sizeof(struct udp_track_refused) == 64, "udp_track_refused");

/* Requests to udp_track_expire and its answers. User space fills them, runs the program, reads them: no one else does. */
#define UDP_TRACK_EXPIRY_BATCH 128
struct udp_track_expiry_request {
	__u64 id;
	__u64 packets; /* of both directions at the scan: a connection that has counted since is not idle */
};
struct udp_track_expiry {
	__u32 count; /* requests; user space */
	__u32 ended; /* answers; the program */
	struct udp_track_expiry_request requests[UDP_TRACK_EXPIRY_BATCH];
	__u64 ended_ids[UDP_TRACK_EXPIRY_BATCH]; /* those that ended, in the order of the requests */
	struct udp_track_connection connections[UDP_TRACK_EXPIRY_BATCH]; /* their final values */
	struct udp_track_response responses[UDP_TRACK_EXPIRY_BATCH]; /* the same */
};

/* What all connections that udp_track_expire has ever ended came to. */
struct udp_track_ended {
	__u64 connections;
	struct udp_track_counts counts;
};

/* Arguments and progress of udp_track_sweep. */
struct udp_track_sweep {
	__u32 cpu; /* whose slots */
	__u32 set; /* the next set; the program moves it on */
	__u32 idle_jiffies; /* a slot unused for so long is freed */
	__u32 __pad;
};
#define UDP_TRACK_SWEEP_SETS 32 /* sets per run */

/* Answer of udp_track_clock: one moment on both clocks. */
struct udp_track_clock {
	__u64 jiffies;
	__u64 ns;
};

/*
 * What the maps do not say of themselves, for readers of their pins: src/bpf/pins.rs. User space writes it once everything
 * is attached. The first word stays the first word in every version.
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
	__u64 home_key[UDP_TRACK_HOME_WORDS]; /* settings.home_key: it tells where slots are, and no more */
	__u32 pid; /* of the latest run, in its namespace of process ids */
	__u32 hooks; /* elements of `hooks` in use */
	__u32 cpus;
	__u32 sets; /* of the cache, per CPU */
	__u32 cache; /* settings.cache */
	__u32 events; /* settings.events */
	__u32 lines; /* settings.lines */
	__u32 names; /* settings.names */
	__u32 interface_multiplier; /* settings.interface_multiplier */
	__u32 interface_shift; /* settings.interface_shift */
	__u32 home_shift; /* settings.home_shift */
	__u32 __pad;
	__u8 filter[256]; /* as people read it; cut, ends with 0 */
};
_Static_assert(sizeof(struct udp_track_instance) == 416, "udp_track_instance");

/* One hook that is attached. */
struct udp_track_hook {
	__u32 ifindex;
	__u8 direction; /* enum udp_track_direction */
	__u8 kind; /* src/bpf/attach.rs: Hook */
	__u8 ethernet; /* 1: frames begin with an Ethernet header */
	__u8 __pad;
	__u8 interface[16]; /* name when attached (IFNAMSIZ) */
};
_Static_assert(sizeof(struct udp_track_hook) == 24, "udp_track_hook");

#endif
