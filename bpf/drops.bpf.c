// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which UDP datagrams the kernel drops behind the hooks, why, and whose they were. Nothing runs for a packet that is not dropped.
 *
 * An object of its own, as process.bpf.c is: it reads the kernel's own structs, and where it cannot be loaded, packets must be counted
 * all the same. It shares the table and the settings of udp_track.bpf.c and changes neither.
 *
 * What is counted
 * - What a hook has counted before: a drop belongs to the hook that the packet passed last. A datagram that this machine sends and that
 *   dies before its interface (a firewall's output, no neighbour) was never counted as sent, and is not counted here either.
 * - The kernel frees copies, too. No loss: what is for other machines, what a capture has no room for, the copy of a multicast that
 *   the machine sends itself, and what nobody had read when its socket was closed. A multicast datagram that several sockets want is
 *   one for each: a socket without room loses one.
 * - One loss is counted once, where the packet is freed: a socket without room fires udp_fail_queue_rcv_skb, too.
 *
 * What a kernel tells
 * - From Linux 6.11 on kfree_skb has the socket, and so its network namespace. Before, the packet's device tells that: the kernel looks
 *   whether a socket has room before it takes the device out. Where several CPUs fill the last room of one socket at once, or there is
 *   no memory, the device is gone: then it is ours if a hook has seen its connection.
 * - Before 5.17 kfree_skb has no reason. There only what a socket has no room for is counted: kfree_skb keeps each UDP packet, and the
 *   next call on that CPU, udp_fail_queue_rcv_skb, says that it was one. The kernel has softirqs off from before the first to after the
 *   second, so that nothing that frees packets comes between; where a task can (PREEMPT_RT), the port must be the socket's. The kernel
 *   calls it for IPv4 alone (until 6.5).
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "udp_track.h"
#include "drops.h"
#include "parse.h"
#include "maps.h"
#include "now.h"
#include "tuple.h"
#include "table.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PACKET_OTHERHOST 3 /* include/uapi/linux/if_packet.h */
#define PACKET_OUTGOING	 4
#define PACKET_LOOPBACK	 5
#define ENOMEM		 12 /* include/uapi/asm-generic/errno-base.h */
#define SOCK_DGRAM	 2 /* include/linux/net.h; MIPS, where it is 1, is not among the architectures */
#define NO_OFFSET	 0xffff /* of a header that was not set (include/linux/skbuff.h) */
#define IPV4_PROTOCOL \
	9 /* offset in the header: "R2 invalid mem access" where the compiler chooses between two of CO-RE's */
#define IPV6_NEXT_HEADER 6
#define XDP_NATIVE	 0 /* src/bpf/hook/attach.rs: Hook */

const volatile struct udp_drops_settings drops_settings SEC(".rodata.drops") = {};

/* What connections have lost. Only those that have lost something are here: HASH, preallocated, as a tracepoint may interrupt whoever
 * allocates memory. Elements are made by the program and taken away by user space before the place is free. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32); /* place */
	__type(value, struct udp_drops_connection);
} dropped SEC(".maps");

/* What was dropped, by reason and hook. HASH as above: most reasons never occur. Written by the program, atomically. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct udp_drops_key);
	__type(value, struct udp_drops_book);
} dropped_books SEC(".maps");

/* What `dropped` begins with. A program's stack has no room for it: on Linux 5.10 a chain of calls has 512 bytes ("combined stack size of
 * 3 calls is 544. Too large"). */
const volatile struct udp_drops_connection nothing_lost SEC(".rodata.drops") = {};

struct udp_drops_state drops_state SEC(".data.drops") = {};

/* Types that no map names, for the skeleton. */
const enum udp_drops_sizes *udp_drops_unused_sizes __attribute__((unused));
const enum udp_drops_class *udp_drops_unused_class __attribute__((unused));
const enum udp_drops_kind *udp_drops_unused_kind __attribute__((unused));
const enum udp_drops_without_reasons *udp_drops_unused_own __attribute__((unused));

#include "dropped.h"

/* Before 5.17: the UDP packet that was freed last on this CPU, until the kernel has said why. */
struct freed {
	struct drop drop;
	__u32 is_there;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct freed);
} freed_last SEC(".maps");

static __always_inline struct freed *freed_here(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&freed_last, &first);
}

static __always_inline void add(struct udp_drops_counts *sum, const struct udp_track_counts *wire)
{
	__sync_fetch_and_add(&sum->packets, wire->packets);
	__sync_fetch_and_add(&sum->bytes, wire->bytes);
}

/* Makes room for what a connection loses, if there is any left. */
static __noinline int open_entry(__u32 place, __u32 class)
{
	__u64 used = drops_state.opened - *(volatile __u64 *)&drops_state.freed;

	if (drops_settings.classes_of_strangers & 1 << class && used >= drops_settings.room / 2)
		return 0;
	if (!bpf_map_update_elem(&dropped, &place, (const void *)&nothing_lost, BPF_NOEXIST))
		__sync_fetch_and_add(&drops_state.opened, 1);
	return 0;
}

/* Counts it to its connection; false when it has none in the table. */
static __noinline int count_to_connection(const struct drop *drop)
{
	struct udp_drops_connection *entry;
	struct frame frame = {};
	struct udp_track_line *line;
	__u32 place, class, side;
	__u64 id;

	if (!drop)
		return false;
	frame.slot = drop->slot;
	side = make_tuple(&drop->p, &frame.tuple);
	place = find_place(&frame, mix(&frame.tuple, frame.slot, true, false));
	if (place & NO_PLACE)
		return false;
	place &= PLACE;
	line = line_at(place);
	if (!line)
		return false;
	class = drop->class;
	barrier_var(class);
	if (class >= UDP_DROPS_CLASSES)
		return false;
	entry = bpf_map_lookup_elem(&dropped, &place);
	if (!entry) {
		open_entry(place, class);
		entry = bpf_map_lookup_elem(&dropped, &place);
	}
	id = line->id;
	/* Whoever finds it new writes the same: it is taken away before its place is another connection's. */
	if (entry && !entry->id)
		entry->id = id;
	if (entry && entry->id == id) {
		add(&entry->classes[class], &drop->wire);
		if (side)
			add(&entry->higher, &drop->wire);
	} else {
		add(&drops_state.unplaced, &drop->wire);
	}
	return true;
}

static __noinline int count_in_books(const struct drop *drop, int has_connection)
{
	struct udp_drops_key key = {};
	struct udp_drops_book *book;

	if (!drop)
		return 0;
	key.reason = drop->reason;
	key.slot = drop->slot;
	key.direction = drop->direction;
	book = bpf_map_lookup_elem(&dropped_books, &key);
	if (!book) {
		struct udp_drops_book fresh = {};

		bpf_map_update_elem(&dropped_books, &key, &fresh, BPF_NOEXIST);
		book = bpf_map_lookup_elem(&dropped_books, &key);
	}
	if (!book) {
		add(&drops_state.unbooked, &drop->wire);
		return 0;
	}
	add(&book->all, &drop->wire);
	if (!has_connection)
		add(&book->apart, &drop->wire);
	return 0;
}

/* The network namespace of the UDP socket that had no room; 0 where it was another kind of socket, which got a copy. */
static __always_inline __u32 namespace_of(const struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_UDP && sk->sk_type == SOCK_DGRAM ? sk->__sk_common.skc_net.net->ns.inum : 0;
}

static __always_inline __u8 read_byte(const unsigned char *from)
{
	__u8 byte = 0;

	if (drops_settings.reads_directly)
		return *(volatile unsigned char *)from;
	bpf_probe_read_kernel(&byte, 1, from);
	return byte;
}

/* Whether it may be UDP. Most that is dropped on a busy machine is TCP: nothing else is asked of that. */
static __always_inline bool may_be_udp(const struct sk_buff *skb)
{
	const unsigned char *header = skb->head + skb->network_header;

	if (skb->protocol == bpf_htons(ETHERTYPE_IPV4))
		return read_byte(header + IPV4_PROTOCOL) == IPPROTO_UDP;
	return skb->protocol == bpf_htons(ETHERTYPE_IPV6) && read_byte(header + IPV6_NEXT_HEADER) != IPPROTO_TCP;
}

/* Counts it to its connection and in the books. */
static __always_inline void count_drop(struct drop *drop)
{
	__u32 seen = drop->p.fragment != FRAGMENT_NONE && find_head(&drop->p), has_connection;

	has_connection = (seen || drop->p.fragment != FRAGMENT_LATER) && count_to_connection(drop);
	if (!drop->unproven || seen || has_connection)
		count_in_books(drop, has_connection);
}

/* The index of a kernel's number of a reason. A global function: the verifier goes on once, not once for each range. */
__noinline __u32 udp_drops_index(__u32 reason)
{
	__u32 of_queue = reason - drops_settings.queue_reasons;

	if (drops_settings.queue_reasons && of_queue < UDP_DROPS_QUEUE_REASONS)
		return UDP_DROPS_QUEUES + of_queue;
	return reason < UDP_DROPS_QUEUES ? reason : 0;
}

/* What may be UDP. Out of line: what is not has no use for its stack and registers. */
static __noinline int take(__u64 *ctx)
{
	const struct sk_buff *skb = (void *)ctx[0];
	__u32 reason = UDP_DROPS_RCVBUFF, socket_netns = 0, type;
	struct freed *freed = NULL;
	struct headers in;

	if (drops_settings.has_reason) {
		reason = udp_drops_index(ctx[2]);
	} else {
		freed = freed_here();
		if (!freed)
			return 0;
		freed->is_there = false;
	}
	reason &= UDP_DROPS_REASONS - 1;
	if (drops_settings.reasons[reason].kind == UDP_DROPS_IGNORED)
		return 0;

	struct drop drop = {
		.kind = drops_settings.reasons[reason].kind,
		.class = drops_settings.reasons[reason].class,
		.reason = reason,
	};

	in.head = skb->head;
	in.end = skb->tail;
	if (!(skb->protocol == bpf_htons(ETHERTYPE_IPV4) ? read_ipv4(&drop, &in, skb->network_header)
							 : read_ipv6(&drop, &in, skb->network_header)))
		return 0;
	type = BPF_CORE_READ_BITFIELD(skb, pkt_type);
	if (type == PACKET_OUTGOING || type == PACKET_LOOPBACK || type == PACKET_OTHERHOST)
		return 0;
	/* The packet of a socket of another kind is a copy. */
	if (drops_settings.has_socket && ctx[3]) {
		socket_netns = namespace_of((void *)ctx[3]);
		if (!socket_netns)
			return 0;
	}
	if (!place_drop(&drop, skb, &in, socket_netns))
		return 0;
	measure(&drop, skb, &in);
	if (freed) {
		freed->drop = drop;
		freed->is_there = true;
		return 0;
	}
	if (drop.kind == UDP_DROPS_UNSPECIFIED && drop.direction == UDP_TRACK_EGRESS && drop.wire.packets > 1)
		return 0;
	count_drop(&drop);
	return 0;
}

/* A packet of any protocol is freed that did not reach its end. */
SEC("tp_btf/kfree_skb")
int udp_drops_free(__u64 *ctx)
{
	const struct sk_buff *skb = (void *)ctx[0];

	if (may_be_udp(skb))
		take(ctx);
	return 0;
}

/* Before 5.17: the packet was freed because its socket had no room. */
SEC("tp_btf/udp_fail_queue_rcv_skb")
int udp_drops_fail(__u64 *ctx)
{
	const struct sock *sk = (void *)ctx[1];
	struct freed *freed = freed_here();
	int error = ctx[0];
	struct drop *drop;
	__u32 reason;

	if (!freed || !freed->is_there)
		return 0;
	freed->is_there = false;
	drop = &freed->drop;
	if (namespace_of(sk) != drops_settings.netns || sk->__sk_common.skc_num != bpf_ntohs(drop->p.destination_port))
		return 0;
	reason = error == -ENOMEM ? UDP_DROPS_RCVBUFF : UDP_DROPS_PROTO_MEM;
	drop->reason = reason;
	drop->class = drops_settings.reasons[reason].class;
	drop->unproven = false;
	count_drop(drop);
	return 0;
}
