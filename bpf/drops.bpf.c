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
 * - One loss is counted once, where the packet is freed: a socket without room fires udp_fail_queue_rcv_skb, too. Since Linux 6.11
 *   kfree_skb has the socket, and so its network namespace: a packet that waits for a socket has lost its device. Before, nothing here
 *   tells whose packet it was, and these programs are not loaded.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "udp_track.h"
#include "drops.h"
#include "parse.h"
#include "maps.h"
#include "tuple.h"
#include "table.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PACKET_OTHERHOST 3 /* include/uapi/linux/if_packet.h */
#define PACKET_OUTGOING	 4
#define PACKET_LOOPBACK	 5
#define SOCK_DGRAM	 2 /* include/linux/net.h; MIPS, where it is 1, is not among the architectures */
#define NO_OFFSET	 0xffff /* of a header that was not set (include/linux/skbuff.h) */
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

struct udp_drops_state drops_state SEC(".data.drops") = {};

/* Types that no map names, for the skeleton. */
const enum udp_drops_class *udp_drops_unused_class __attribute__((unused));
const enum udp_drops_kind *udp_drops_unused_kind __attribute__((unused));

/* A dropped packet. */
struct drop {
	struct packet p;
	struct udp_track_counts wire;
	__u32 ip_bytes; /* from the IP header on */
	__u32 repeated; /* of these, the headers that each segment of a merged packet has */
	__u8 ethernet; /* of the hook that counted it */
	__u8 kind; /* enum udp_drops_kind */
	__u8 class; /* enum udp_drops_class */
	__u8 unproven; /* nothing tells its network namespace: it is ours if a hook has seen it */
	__u32 reason;
	__u32 slot;
	__u32 direction;
};

/* Where its headers lie. */
struct headers {
	const unsigned char *head;
	__u32 end; /* of what lies there in one piece, from the head on */
};

static __always_inline bool read_header(void *to, __u32 bytes, const struct headers *in, __u32 offset)
{
	return offset + bytes <= in->end && !bpf_probe_read_kernel(to, bytes, in->head + offset);
}

struct ports {
	__be16 source, destination;
};

static __always_inline bool read_ports(struct packet *p, const struct headers *in, __u32 offset)
{
	struct ports ports;

	if (p->fragment == FRAGMENT_LATER)
		return true;
	if (!read_header(&ports, sizeof(ports), in, offset))
		return false;
	p->source_port = ports.source;
	p->destination_port = ports.destination;
	return true;
}

/* False when it is no UDP: as soon as that can be told. */
static __always_inline bool read_ipv4(struct drop *drop, const struct headers *in, __u32 offset)
{
	struct packet *p = &drop->p;
	struct iphdr ip;
	__u16 fragment;
	__u32 length;

	if (!read_header(&ip, sizeof(ip), in, offset) || ip.protocol != IPPROTO_UDP || ip.version != 4)
		return false;
	length = ip.ihl * 4;
	p->version = 4;
	p->source4 = ip.saddr;
	p->destination4 = ip.daddr;
	fragment = bpf_ntohs(ip.frag_off);
	if (fragment & IPV4_OFFSET)
		p->fragment = FRAGMENT_LATER;
	else if (fragment & IPV4_MORE_FRAGMENTS)
		p->fragment = FRAGMENT_HEAD;
	p->fragment_id = ip.id;
	drop->ip_bytes = bpf_ntohs(ip.tot_len);
	drop->repeated = length + sizeof(struct udp_header);
	return read_ports(p, in, offset + length);
}

struct ipv6_extension {
	__u8 next;
	__u8 length;
	__be16 fragment;
	__be32 fragment_id;
};

static __always_inline bool read_ipv6(struct drop *drop, const struct headers *in, __u32 offset)
{
	struct packet *p = &drop->p;
	struct ipv6_extension extension;
	__u32 start = offset;
	struct ipv6hdr ip;
	__u8 next;

	if (!read_header(&ip, sizeof(ip), in, offset) || ip.nexthdr == IPPROTO_TCP || ip.version != 6)
		return false;
	p->version = 6;
	__builtin_memcpy(p->source6, &ip.saddr, sizeof(p->source6));
	__builtin_memcpy(p->destination6, &ip.daddr, sizeof(p->destination6));
	next = ip.nexthdr;
	offset += sizeof(ip);
	for (int i = 0; i < MAX_EXTENSIONS && next != IPPROTO_UDP; i++) {
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_DESTINATION &&
		    next != NEXT_FRAGMENT)
			return false;
		if (!read_header(&extension, sizeof(extension), in, offset))
			return false;
		if (next == NEXT_FRAGMENT) {
			__u16 fragment = bpf_ntohs(extension.fragment);

			p->fragment_id = extension.fragment_id;
			if (fragment & IPV6_OFFSET)
				p->fragment = FRAGMENT_LATER;
			else if (fragment & IPV6_MORE_FRAGMENTS)
				p->fragment = FRAGMENT_HEAD;
			offset += sizeof(extension);
		} else {
			offset += (extension.length + 1) * 8;
		}
		next = extension.next;
		/* What follows the ports of a later fragment is no header. */
		if (p->fragment == FRAGMENT_LATER)
			break;
	}
	if (next != IPPROTO_UDP)
		return false;
	drop->ip_bytes = sizeof(ip) + bpf_ntohs(ip.payload_len);
	drop->repeated = offset - start + sizeof(struct udp_header);
	return read_ports(p, in, offset);
}

static __always_inline void read_tag(const struct sk_buff *skb, struct packet *p)
{
	if (skb->vlan_all)
		add_tag(p, skb->vlan_tci);
}

/* The device of a packet, where the kernel has not put something else there: a socket's queue does (struct udp_dev_scratch, whose upper
 * half is no kernel address). */
static __always_inline const struct net_device *device_of(const struct sk_buff *skb)
{
	__s64 scratch = skb->dev_scratch; /* the same word: "pointer arithmetic prohibited" */

	return scratch < 0 ? skb->dev : NULL;
}

static __always_inline bool is_ours(const struct net_device *device)
{
	return device->nd_net.net->ns.inum == drops_settings.netns;
}

/* The same of the process that reads from its socket now. */
static __always_inline bool is_readers(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum) == drops_settings.netns;
}

/* The hook of a direction on a tracked interface. */
static __always_inline bool find_hook(struct drop *drop, __u32 ifindex, __u32 direction)
{
	__u32 slot = interface_slot(ifindex), index = slot * UDP_TRACK_DIRECTIONS + direction;
	struct udp_track_hook *hook = bpf_map_lookup_elem(&hooks, &index);

	if (!hook || hook->ifindex != ifindex || hook->is_gone)
		return false;
	if (drop->kind == UDP_DROPS_BACKLOG && hook->kind != XDP_NATIVE)
		return false;
	drop->slot = slot;
	drop->direction = direction;
	drop->ethernet = hook->ethernet;
	return true;
}

/* Whether it was given to its device to be sent: from then on its data begin with the link's header. On a link without one, only what
 * this machine sends itself has set that before. */
static __always_inline bool has_left(const struct sk_buff *skb, const struct headers *in,
				     const struct net_device *device)
{
	__u32 link = skb->mac_header, data = (const unsigned char *)skb->data - in->head;

	if (link == NO_OFFSET || data != link)
		return false;
	return device->hard_header_len ? skb->network_header > link : skb->skb_iif != (int)device->ifindex;
}

/* Which hook has counted it last; false when none has. */
static __always_inline bool place_drop(struct drop *drop, const struct sk_buff *skb, const struct headers *in,
				       __u32 socket_netns)
{
	const struct net_device *device = device_of(skb);
	__u32 came_by = skb->skb_iif;

	if (drop->kind == UDP_DROPS_SOCKET)
		return socket_netns == drops_settings.netns && find_hook(drop, came_by, UDP_TRACK_INGRESS);
	if (drop->kind == UDP_DROPS_REASSEMBLY || (drop->kind == UDP_DROPS_READING && !device)) {
		/* A process may read from a socket of another namespace than its own. */
		drop->unproven = drop->kind == UDP_DROPS_REASSEMBLY || !is_readers();
		return find_hook(drop, came_by, UDP_TRACK_INGRESS);
	}
	if (!device || !is_ours(device))
		return false;
	if (drop->kind == UDP_DROPS_BACKLOG)
		return find_hook(drop, device->ifindex, UDP_TRACK_INGRESS);
	if (drop->kind == UDP_DROPS_LEAVING || (drop->kind <= UDP_DROPS_UNSPECIFIED && has_left(skb, in, device))) {
		if (find_hook(drop, device->ifindex, UDP_TRACK_EGRESS)) {
			read_tag(skb, &drop->p);
			return true;
		}
	}
	return came_by && find_hook(drop, came_by, UDP_TRACK_INGRESS);
}

/* What it was on the wire. */
static __always_inline void measure(struct drop *drop, const struct sk_buff *skb, const struct headers *in)
{
	const struct skb_shared_info *shared = (const void *)(in->head + skb->end);
	__u32 link = (drop->ethernet ? sizeof(struct ethhdr) : 0) + drop->p.tags * VLAN_TAG_BYTES, segments = 1;
	__u16 segment_bytes = BPF_CORE_READ(shared, gso_size);

	if (segment_bytes) {
		segments = BPF_CORE_READ(shared, gso_segs);
		if (!segments && drop->ip_bytes > drop->repeated)
			segments = (drop->ip_bytes - drop->repeated + segment_bytes - 1) / segment_bytes;
		if (!segments)
			segments = 1;
	}
	drop->wire.packets = segments;
	drop->wire.bytes = drop->ip_bytes + (__u64)(segments - 1) * drop->repeated + (__u64)segments * link;
}

/* A later fragment gets the ports of its head, if a hook has seen that. However long ago that was: the kernel itself has waited. */
static __always_inline bool find_head(struct packet *p)
{
	struct fragment_key key = { .id = p->fragment_id, .vlan_outer = p->vlan_outer, .vlan_inner = p->vlan_inner };
	struct fragment_ports *head;

	if (p->version == 4) {
		key.addresses[0] = p->source4;
		key.addresses[2] = p->destination4;
	} else {
		key.vlan_outer |= 0x8000;
		key.addresses[0] = p->source6[0];
		key.addresses[1] = p->source6[1];
		key.addresses[2] = p->destination6[0];
		key.addresses[3] = p->destination6[1];
	}
	head = bpf_map_lookup_elem(&fragments, &key);
	if (!head)
		return false;
	p->source_port = head->ports >> 16;
	p->destination_port = head->ports;
	return true;
}

static __always_inline void add(struct udp_drops_counts *sum, const struct udp_track_counts *wire)
{
	__sync_fetch_and_add(&sum->packets, wire->packets);
	__sync_fetch_and_add(&sum->bytes, wire->bytes);
}

/*
 * Makes room for what a connection loses, if there is any left. Out of line: an element is large, and on Linux 5.10 a chain of calls has
 * 512 bytes of stack ("combined stack size of 3 calls is 544. Too large").
 */
static __noinline int open_entry(__u32 place, __u64 id, __u32 class)
{
	__u64 used = drops_state.opened - *(volatile __u64 *)&drops_state.freed;
	struct udp_drops_connection fresh = { .id = id };

	if (drops_settings.classes_of_strangers & 1 << class && used >= drops_settings.room / 2)
		return 0;
	if (!bpf_map_update_elem(&dropped, &place, &fresh, BPF_NOEXIST))
		__sync_fetch_and_add(&drops_state.opened, 1);
	return 0;
}

/* Counts it to its connection; false when it has none in the table. */
static __noinline int count_to_connection(const struct drop *drop)
{
	struct udp_drops_connection *entry;
	struct frame frame = {};
	struct udp_track_line *line;
	__u32 place, class;
	__u64 id;

	if (!drop)
		return false;
	frame.slot = drop->slot;
	make_tuple(&drop->p, &frame.tuple);
	place = find_place(&frame, mix(&frame.tuple, frame.slot, true, false));
	if (place & NO_PLACE)
		return false;
	place &= PLACE;
	line = line_at(place);
	if (!line)
		return false;
	id = line->id;
	class = drop->class;
	barrier_var(class);
	if (class >= UDP_DROPS_CLASSES)
		return false;
	entry = bpf_map_lookup_elem(&dropped, &place);
	if (!entry) {
		open_entry(place, id, class);
		entry = bpf_map_lookup_elem(&dropped, &place);
	}
	if (entry && entry->id == id)
		add(&entry->classes[class], &drop->wire);
	else
		add(&drops_state.unplaced, &drop->wire);
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

/* Whether it is IP and may be UDP. Most that is dropped on a busy machine is TCP: nothing else is asked of that. */
static __always_inline bool may_be_udp(const struct sk_buff *skb, const bool ipv4)
{
	__u32 offset =
		skb->network_header + (ipv4 ? offsetof(struct iphdr, protocol) : offsetof(struct ipv6hdr, nexthdr));
	const unsigned char *head = skb->head;
	__u8 above = 0;

	if (drops_settings.reads_directly)
		above = *(volatile unsigned char *)(head + offset);
	else
		bpf_probe_read_kernel(&above, 1, head + offset);
	return ipv4 ? above == IPPROTO_UDP : above != IPPROTO_TCP;
}

/* A packet of any protocol is freed that did not reach its end. */
SEC("tp_btf/kfree_skb")
int udp_drops_free(__u64 *ctx)
{
	const struct sk_buff *skb = (void *)ctx[0];
	__be16 protocol = skb->protocol;
	const struct sock *sk = (void *)ctx[3];
	__u32 reason = ctx[2], socket_netns = 0, type, seen, has_connection;
	struct headers in;

	if (protocol != bpf_htons(ETHERTYPE_IPV4) && protocol != bpf_htons(ETHERTYPE_IPV6))
		return 0;
	if (reason >= UDP_DROPS_REASONS)
		reason = 0;
	reason &= UDP_DROPS_REASONS - 1;
	if (drops_settings.reasons[reason].kind == UDP_DROPS_IGNORED ||
	    !may_be_udp(skb, protocol == bpf_htons(ETHERTYPE_IPV4)))
		return 0;

	struct drop drop = {
		.kind = drops_settings.reasons[reason].kind,
		.class = drops_settings.reasons[reason].class,
		.reason = reason,
	};

	in.head = skb->head;
	in.end = skb->tail;
	if (!(protocol == bpf_htons(ETHERTYPE_IPV4) ? read_ipv4(&drop, &in, skb->network_header)
						    : read_ipv6(&drop, &in, skb->network_header)))
		return 0;
	type = BPF_CORE_READ_BITFIELD(skb, pkt_type);
	if (type == PACKET_OUTGOING || type == PACKET_LOOPBACK || type == PACKET_OTHERHOST)
		return 0;
	/* The packet of a socket of another kind is a copy. */
	if (sk) {
		socket_netns = namespace_of(sk);
		if (!socket_netns)
			return 0;
	}
	if (!place_drop(&drop, skb, &in, socket_netns))
		return 0;
	measure(&drop, skb, &in);
	if (drop.kind == UDP_DROPS_UNSPECIFIED && drop.direction == UDP_TRACK_EGRESS && drop.wire.packets > 1)
		return 0;
	seen = drop.p.fragment != FRAGMENT_NONE && find_head(&drop.p);
	has_connection = (seen || drop.p.fragment != FRAGMENT_LATER) && count_to_connection(&drop);
	if (!drop.unproven || seen || has_connection)
		count_in_books(&drop, has_connection);
	return 0;
}
