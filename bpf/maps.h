/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map and every setting: why this type and size, who writes, who reads. Sizes of 1 are set by user space before load. */
#ifndef MAPS_H
#define MAPS_H

/* Fixed before load, so a branch that a setting switches off is not in the running program at all. */
const volatile struct udp_track_settings settings = {};
const volatile struct udp_track_filter filter = {};

/*
 * State of each connection, for readers such as bpftool: a copy of connection_stats' state, written when that changes
 * (show_state() in connection.h). HASH, preallocated: nothing is allocated in softirq.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64); /* connection id */
	__type(value, __u32); /* enum udp_track_state */
} connection_track SEC(".maps");

/*
 * Counts, tuple and times of each connection: the authority. Written by the packet path and ended by udp_track_expire,
 * both under the entry's lock; never updated as a whole, as that would lose counts in flight. HASH, not LRU: no live
 * connection is thrown out. Read by user space in batches.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64); /* connection id */
	__type(value, struct udp_track_stats);
} connection_stats SEC(".maps");

/*
 * Response times, one line for each connection. Not in connection_stats: a request and its answer pass on different CPUs,
 * and a packet that turns the direction need not look for its connection there. An ARRAY, as the slot knows the line's number.
 * Written by packets that turn the direction, under the line's lock; read by user space.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_track_response_line);
} responses SEC(".maps");

/*
 * Whether a request waits in a line: each packet has to see that, so it lies dense, 64 lines of `responses` in one of the
 * processor's. Written with the line, under its lock. ARRAY; MMAPABLE puts it on a page, and so on cache lines.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* line / UDP_TRACK_WAITS */
	__type(value, struct udp_track_waits);
} waits SEC(".maps");

/* Lines that ended connections have given back. STACK: the one used last is the likeliest to be in a CPU's cache. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_lines SEC(".maps");

/* How many lines were ever used: those from there on need not be listed as free, nor read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_track_fresh_lines);
} fresh_lines SEC(".maps");

/* What each IPv4 address sent and received. Fed by write-backs only: a server's entry is one line that all CPUs share. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32); /* network order */
	__type(value, struct udp_track_ip);
} ip_stats SEC(".maps");

/* The same for IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct in6_addr); /* network order */
	__type(value, struct udp_track_ip);
} ip6_stats SEC(".maps");

/*
 * The hot path's memory (cache.h): per CPU a part of settings.set_mask + 1 sets, written by that CPU alone. A plain
 * ARRAY and not a PERCPU_ARRAY: its slots lie on cache lines (MMAPABLE puts it on a page), and the sweep of a CPU that
 * is offline can reach them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* cpu * sets + set */
	__type(value, struct udp_track_set4);
} cache4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct udp_track_set6);
} cache6 SEC(".maps");

/*
 * What the filter has refused lately, so that it need not be asked for each packet (filter.h): a line for each set of the
 * cache, with the same index, written by that CPU alone. One element where there is no filter. ARRAY as above.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* cpu * sets + set */
	__type(value, struct udp_track_refused);
} refused SEC(".maps");

/* The books, per CPU, interface and direction. Written by that CPU alone, read by user space; ARRAY as above. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	/* (cpu * interface slots + interface slot) * 2 + direction (find_books); from settings.sweep_books on
	 * one for each CPU's sweep, which a packet may interrupt */
	__type(key, __u32);
	__type(value, struct udp_track_books);
} books SEC(".maps");

/* Ports of fragmented datagrams, from head to later fragments. LRU: a flood of heads may only cost other heads. */
struct fragment_key {
	__u64 addresses[4]; /* source, destination; IPv4 in [0] and [2] */
	__u32 id;
	__u16 vlan_outer; /* with FRAGMENT_IPV6: as bits, an IPv4 and an IPv6 address may be equal */
	__u16 vlan_inner;
};
#define FRAGMENT_IPV6 0x8000
struct fragment_ports {
	__u64 seen; /* jiffies64: ids are reused */
	__u32 ports; /* source << 16 | destination, each network order */
	__u32 __pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/* Packets for -e new,data. One page where nobody asked; user space drains it on a tick and is never woken (events.h). */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

/* DNS queries and answers (names.h). One page where names are off; drained and never waking, as above. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} dns_messages SEC(".maps");

/*
 * Which queries wait for an answer, by connection: only those answers are read. ARRAY, each connection in the one place that
 * its id says: a place that is taken goes to the newer one, and CPUs may overwrite each other. What that costs is a name.
 */
#define DNS_WAITING 8
struct dns_query {
	__u64 connection; /* id */
	__u16 ids[DNS_WAITING]; /* of DNS, network order */
	__u8 waiting; /* bits: which of them */
	__u8 next; /* to be overwritten */
	__u8 side; /* that asked */
	__u8 __pad[5];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_query);
} dns_queries SEC(".maps");

/* How much DNS each CPU may read in a jiffy. Written by that CPU alone, read by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_track_dns_budget);
} dns_budgets SEC(".maps");

/* A lock that nobody contends for: taken to keep interrupts, and with them packets, off this CPU (cache.h). */
struct guard {
	struct bpf_spin_lock lock;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guard);
} guards SEC(".maps");

/* What readers of the pinned maps have to know beside them. Written by user space alone, never by the programs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_track_instance);
} instance SEC(".maps");

/* The same: what is attached. Room for both hooks of each tracked interface. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_track_hook);
} hooks SEC(".maps");

/* Written by udp_track_expire alone: user space may come and go. */
struct udp_track_ended ended SEC(".data.ended");

/* Arguments and answers of the programs that user space runs itself; mapped into user space, used by one side at a time. */
struct udp_track_expiry expiry SEC(".data.expiry");
struct udp_track_sweep sweep SEC(".data.sweep");
struct udp_track_clock clock SEC(".data.clock");

/* Types that no map names, for the skeleton. */
const struct udp_track_event *udp_track_unused_event __attribute__((unused));
const enum udp_track_skip *udp_track_unused_skip __attribute__((unused));
const enum udp_track_state *udp_track_unused_state __attribute__((unused));
const enum udp_track_event_kind *udp_track_unused_kind __attribute__((unused));
const enum udp_track_filter_kind *udp_track_unused_filter_kind __attribute__((unused));
const enum udp_track_word *udp_track_unused_word __attribute__((unused));
const enum udp_track_verdict *udp_track_unused_verdict __attribute__((unused));
const enum udp_track_direction *udp_track_unused_direction __attribute__((unused));
const struct udp_track_dns *udp_track_unused_dns __attribute__((unused));
const struct udp_track_long_dns *udp_track_unused_long_dns __attribute__((unused));

/* What is left of a frame once it is parsed. */
struct frame {
	struct udp_track_counts wire;
	struct udp_track_tuple tuple; /* valid when the outcome is PARSED; of an ICMP error, what it quotes */
	__u32 side; /* that sent it */
	__u32 ttl;
	__u32 icmp; /* offset of an ICMP header, 0 = none; then these are valid: */
	__u16 vlan_outer, vlan_inner;
	__u32 version;
	__u32 dns; /* offset of the UDP header of a whole datagram from or to port 53, 0 = none */
};

/*
 * What does not fit on the 512 bytes of stack that a program and the functions below it share. Beside the books, as
 * those too belong to one hook on one CPU, where one program runs at a time.
 */
struct scratch {
	struct frame frame; /* the one at hand, when it is not a plain one */
	struct udp_track_tuple tuple; /* of the packet at hand, when it has no slot */
	struct udp_track_delta one; /* that packet */
	struct udp_track_counts moved; /* by the write-back */
	union {
		struct {
			struct udp_track_tuple flushed; /* of the slot that is written back */
			struct fragment_key fragment; /* of the fragment at hand */
		};
		__u64 words[UDP_TRACK_WORDS]; /* what a filter looks at, between the two */
	};
	__u64 ns; /* the time that the latest merge() had to read; 0 = none */
	__u32 ttl; /* of the packet at hand, when merge() may want it */
	__u32 __pad;
	__u64 spare[2];
	__u64 fresh[17]; /* a new struct udp_track_stats; the lock in that would make the books a map with locks */
};
_Static_assert(sizeof(struct scratch) == sizeof(((struct udp_track_books *)0)->scratch), "scratch");
_Static_assert(sizeof(((struct scratch *)0)->fresh) == sizeof(struct udp_track_stats), "fresh");

static __always_inline struct scratch *scratch_of(struct udp_track_books *account)
{
	return (struct scratch *)account->scratch;
}

static __always_inline struct udp_track_books *find_books(__u32 ifindex, __u32 direction)
{
	__u32 index = bpf_get_smp_processor_id();

	if (settings.interface_shift < 32) /* several interfaces */
		index = (index << (32 - settings.interface_shift)) +
			(ifindex * settings.interface_multiplier >> settings.interface_shift);
	index = index * UDP_TRACK_DIRECTIONS + direction;
	return bpf_map_lookup_elem(&books, &index);
}

static __always_inline struct udp_track_books *find_sweep_books(void)
{
	__u32 index = settings.sweep_books + bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&books, &index);
}

#endif
