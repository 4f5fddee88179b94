/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map and every setting: why this type and size, who writes, who reads. Sizes of 1 are set by user space before load. */
#ifndef MAPS_H
#define MAPS_H

/* Fixed before load, so a branch that a setting switches off is not in the running program at all. */
const volatile struct udp_track_settings settings SEC(".rodata.settings") = {};
const volatile struct udp_track_filter filter = {};

/*
 * The connections: one table for all CPUs (table.h). ARRAY, MMAPABLE: its elements begin on a page and so lie on the processor's
 * lines, and user space walks and ends them in its own memory. Places are made by the packet path, emptied by user space.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* block * sets of a block + set in it */
	__type(value, struct udp_track_set);
} connections SEC(".maps");

/*
 * What of a connection most packets do not touch, by set. Apart, so that the lines of `connections` lie dense: on half the pages, and
 * in half of the processor's cache. ARRAY, MMAPABLE as above.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* as in connections */
	__type(value, struct udp_track_details);
} details SEC(".maps");

/*
 * Response times, by place. Not in `connections`: only packets that turn the direction come here. Written by them under the lock of
 * the place's block, read and emptied by user space. ARRAY, MMAPABLE as above.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* set * UDP_TRACK_WAYS + way */
	__type(value, struct udp_track_response);
} responses SEC(".maps");

/*
 * Edges of QUIC's spin bit, by place. One element where nobody asks. ARRAY, MMAPABLE as above: written by packets of QUIC connections
 * under the lock of the place's block, read and emptied by user space.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* as in responses */
	__type(value, struct udp_track_spin);
} spins SEC(".maps");

/*
 * What the payload of a connection has said, by place: its id, and in the low 8 bits of that a number (src/model/protocol.rs: Heard),
 * so that what comes late is no other connection's. Written and emptied by user space, which reads payloads, and read by it: no
 * program looks at it. ARRAY, MMAPABLE as above.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* as in responses */
	__type(value, __u64);
} protocols SEC(".maps");

/*
 * When requests were asked of which several are under way on one connection, where the protocol has an id that tells them apart: all
 * but one of each connection. LRU_HASH: what is never answered makes room.
 */
struct udp_track_request {
	__u32 place;
	__u32 message;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct udp_track_request);
	__type(value, __u64); /* now_ns() */
} requests SEC(".maps");

/*
 * A lock for each block of `connections`, held while a place is taken or a state changes. A map of its own, as what is mapped
 * into user space can hold none.
 */
struct udp_track_lock {
	struct bpf_spin_lock lock;
	__u32 __pad[15]; /* a line of the processor's each */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32); /* block */
	__type(value, struct udp_track_lock);
} locks SEC(".maps");

/*
 * State of each connection, for readers such as bpftool: published from `connections` each tick (publish.h), as are the next
 * three. HASH, preallocated: entries are made and removed by the ten thousand.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64); /* connection id */
	__type(value, __u32); /* enum udp_track_state */
} connection_track SEC(".maps");

/* Bytes and packets of each connection: also what of it is in ip_stats, for a run that takes up what an earlier one has kept. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64); /* connection id */
	__type(value, struct udp_track_stats);
} connection_stats SEC(".maps");

/* What each IPv4 address sent and received. */
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

/* What is to be published, and how far that is. ARRAY, MMAPABLE: written by user space, read by udp_track_publish alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct udp_track_publication);
} publications SEC(".maps");

/* What user space has found out of connections, for udp_track_amend alone. ARRAY, MMAPABLE: as publications. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UDP_TRACK_AMENDMENTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct udp_track_amendment);
} amendments SEC(".maps");

/* The books, per CPU, interface and direction. Written by that CPU alone, read by user space. ARRAY as above. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* (cpu * interface slots + interface slot) * 2 + direction (find_books) */
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
	__u64 seen; /* now_jiffies(): ids are reused */
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

/* Datagrams for user space (payload.h). One page where nobody wants them; drained and never waking, as above. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} payloads SEC(".maps");

/* Frames for captures (frames.h). One page where nobody wants them; drained and never waking, as above. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} frames SEC(".maps");

/*
 * What DNS messages say in their headers, by place: all of them are counted. One element where nobody asks. ARRAY, MMAPABLE as above:
 * written by packets of DNS connections, read and emptied by user space.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32); /* set * UDP_TRACK_WAYS + way */
	__type(value, struct udp_track_dns_counts);
} dns_counts SEC(".maps");

/* How many datagrams each CPU may read in a jiffy, and what it did not. Written by that CPU alone, read by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, UDP_TRACK_DIRECTIONS);
	__type(key, __u32); /* enum udp_track_direction */
	__type(value, struct udp_track_payload_budget);
} payload_budgets SEC(".maps");

/* What readers of the pinned maps have to know beside them. Written by user space alone, never by the programs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_track_instance);
} instance SEC(".maps");

/* The same: what is attached. Room for both hooks of each slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_track_hook);
} hooks SEC(".maps");

/* Written by user space alone, which may come and go. */
struct udp_track_ended ended SEC(".data.ended");
struct udp_track_interfaces interfaces SEC(".data.slots");

/* Arguments and answers of the programs that user space runs itself; mapped into user space, used by one side at a time. */
struct udp_track_publishing publishing SEC(".data.publish");
struct udp_track_clock clock SEC(".data.clock");
struct udp_track_amending amending SEC(".data.amend");
struct udp_track_replay replay SEC(".data.replay");

/* Types that no map names, for the skeleton. */
const struct udp_track_event *udp_track_unused_event __attribute__((unused));
const enum udp_track_sizes *udp_track_unused_sizes __attribute__((unused));
const enum udp_track_skip *udp_track_unused_skip __attribute__((unused));
const enum udp_track_state *udp_track_unused_state __attribute__((unused));
const enum udp_track_event_kind *udp_track_unused_kind __attribute__((unused));
const enum udp_track_filter_kind *udp_track_unused_filter_kind __attribute__((unused));
const enum udp_track_word *udp_track_unused_word __attribute__((unused));
const enum udp_track_verdict *udp_track_unused_verdict __attribute__((unused));
const enum udp_track_direction *udp_track_unused_direction __attribute__((unused));
const enum udp_track_tuple_bit *udp_track_unused_tuple_bit __attribute__((unused));
const enum udp_track_sides *udp_track_unused_sides __attribute__((unused));
const enum udp_track_counted *udp_track_unused_counted __attribute__((unused));
const enum udp_track_requests *udp_track_unused_requests __attribute__((unused));
const enum udp_track_amendment_kind *udp_track_unused_amendment __attribute__((unused));
const enum udp_track_spinning *udp_track_unused_spinning __attribute__((unused));
const enum udp_track_publication_kind *udp_track_unused_publication __attribute__((unused));
const enum udp_track_payloads *udp_track_unused_payloads __attribute__((unused));
const enum udp_track_payload_kind *udp_track_unused_payload_kind __attribute__((unused));
const enum udp_track_unread *udp_track_unused_unread __attribute__((unused));
const struct udp_track_payload *udp_track_unused_payload __attribute__((unused));
const struct udp_track_frame *udp_track_unused_frame __attribute__((unused));

/* Which of the tracked interfaces this is: a number below the count of slots. User space writes an interface here before it attaches, and
 * writes it to its other place before it takes it from the one: whoever looks finds it. */
static __always_inline __u32 interface_slot(__u32 ifindex)
{
	__u64 word;

	if (!settings.slot_bits) /* a single one */
		return 0;
	word = *(volatile __u64 *)&interfaces.first[ifindex % UDP_TRACK_INTERFACE_PLACES];
	if ((__u32)word != ifindex) /* by the golden ratio, which spreads neighbours well (Knuth, TAOCP 6.4) */
		word = *(volatile __u64 *)&interfaces.second[ifindex * 0x9e3779b1 >> (32 - UDP_TRACK_INTERFACE_BITS)];
	return word >> 32;
}

static __always_inline struct udp_track_books *find_books(__u32 slot, __u32 direction)
{
	__u32 index = bpf_get_smp_processor_id();

	index = ((index << settings.slot_bits) + slot) * UDP_TRACK_DIRECTIONS + direction;
	return bpf_map_lookup_elem(&books, &index);
}

#endif
