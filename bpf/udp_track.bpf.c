// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs: XDP and TC for packets, and two that user space runs itself. Each wraps its context, calls the steps
 * in order and lets the packet go: udptrack never drops or changes one.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "udp_track.h"
#include "parse.h"
#include "maps.h"
#include "tuple.h"
#include "table.h"
#include "message.h"
#include "response.h"
#include "state.h"
#include "filter.h"
#include "events.h"
#include "count.h"
#include "fragment.h"
#include "names.h"
#include "publish.h"
#include "amend.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TC_ACT_UNSPEC	(-1) /* whatever other programs and filters decide */
#define PACKET_LOOPBACK 5 /* include/uapi/linux/if_packet.h */
#define PULL_BYTES	512 /* more than the longest chain of headers that is of use */

/* Beside this, a program on the same CPU may write only where there is PREEMPT_RT. */
static __always_inline void add(struct udp_track_counts *sum, const struct udp_track_counts *wire, const bool usual)
{
	if (!usual && settings.realtime) {
		__sync_fetch_and_add(&sum->packets, wire->packets);
		__sync_fetch_and_add(&sum->bytes, wire->bytes);
		return;
	}
	sum->packets += wire->packets;
	sum->bytes += wire->bytes;
}

/* A frame to the books: each ends here once, in `seen`, and in `tracked` or in one reason. True when it was tracked. */
static __always_inline bool book(struct udp_track_books *account, const struct udp_track_counts *wire, __u32 outcome,
				 const bool usual)
{
	add(&account->seen, wire, usual);
	if (outcome == TRACKED) {
		add(&account->tracked, wire, usual);
		return true;
	}
	barrier_var(outcome); /* or the bound is asked of a copy: "unbounded memory access" */
	if (outcome < UDP_TRACK_SKIPS)
		add(&account->skipped[outcome], wire, usual);
	return false;
}

/* What became of a plain frame. */
enum plain {
	NOT_PLAIN, /* or DNS to be read */
	COUNTED, /* and in the books */
	PARSED_PLAIN, /* to be counted by count_packet() */
};

/*
 * A plain frame to its connection, where that lies in its first set. Else what was parsed of it is in `further`: on the hot path the frame is in
 * registers, and the verifier follows what comes next once, not once for each family.
 */
static __always_inline enum plain track_plain(struct cursor *c, struct packet *p, const bool ethernet, __u64 bytes,
					      __u32 ifindex, __u32 slot, struct udp_track_books *account,
					      struct frame *further)
{
	__u32 room;
	__be16 ethertype = parse_plain_link(c, p, ethernet, &room);
	struct frame frame = {
		.wire = { .packets = 1, .bytes = bytes },
		.ifindex = ifindex,
		.slot = slot,
	};
	bool counted;

	if (ethertype == bpf_htons(ETHERTYPE_IPV4)) {
		if (!parse_plain4(c, p, room) || (settings.names && is_dns(p) && has_dns_budget()))
			return NOT_PLAIN;
		frame.side = make_tuple4(p, &frame.tuple);
		counted = count_in_first_set(&frame, false);
	} else if (ethertype == bpf_htons(ETHERTYPE_IPV6)) {
		if (!parse_plain6(c, p, room) || (settings.names && is_dns(p) && has_dns_budget()))
			return NOT_PLAIN;
		frame.side = make_tuple6(p, &frame.tuple);
		counted = count_in_first_set(&frame, true);
	} else {
		return NOT_PLAIN;
	}
	if (counted) {
		book(account, &frame.wire, TRACKED, true);
		return COUNTED;
	}
	frame.ttl = p->ttl;
	p->payload = cursor_offset(c) + (p->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	*further = frame;
	return PARSED_PLAIN;
}

/*
 * A frame that was parsed, plain or not, out of the hot path's way. True when it was tracked. Each program calls it in one place: the
 * verifier follows it anew from each.
 */
static __noinline int track_further(struct frame *frame, int outcome, struct udp_track_books *account)
{
	if (!frame || !account)
		return 0;
	if (outcome == PARSED)
		outcome = count_packet(frame, account);
	return book(account, &frame->wire, outcome, false);
}

/* Whether a frame is a whole datagram from or to port 53. */
static __always_inline bool is_whole_dns(const struct packet *p)
{
	return settings.names && p->fragment == FRAGMENT_NONE && is_dns(p);
}

/* What was parsed, as a frame to be tracked: a fragment gets the ports of its head. Returns PARSED, or the reason to skip it. */
static __always_inline int complete(struct packet *p, struct frame *frame, int outcome)
{
	if (outcome != PARSED)
		return outcome;
	if (p->fragment != FRAGMENT_NONE && !match_fragment(p))
		return UDP_TRACK_FRAGMENT_WITHOUT_HEAD;
	frame->side = make_tuple(p, &frame->tuple);
	frame->ttl = p->ttl;
	if (is_whole_dns(p))
		frame->dns = p->payload;
	return PARSED;
}

/* An ICMP error, of which this is the quoted packet: the far end of the connection cannot be reached. */
static __noinline int track_error(const struct packet *quoted, struct frame *frame)
{
	__u32 place;

	if (!quoted || !frame)
		return 0;
	frame->side = make_tuple(quoted, &frame->tuple);
	place = find_place(frame, mix(&frame->tuple, frame->slot, true, false));
	/* The other side is who the quoted packet did not reach. */
	if (!(place & NO_PLACE))
		mark_unreachable(place, !frame->side);
	return 0;
}

/* Makes of an ICMP error the packet that it quotes; false when it quotes no UDP, or goes to somebody else than who sent that. */
static __always_inline int read_quote(void *data, void *end, struct packet *error)
{
	struct cursor c = { .start = data, .position = data, .end = end };
	__u64 to6[2] = { error->destination6[0], error->destination6[1] };
	__u32 to4 = error->destination4;

	error->fragment = FRAGMENT_NONE;
	if (!parse_quote(&c, error))
		return false;
	if (error->version == 4)
		return error->source4 == to4;
	return error->source6[0] == to6[0] && error->source6[1] == to6[1];
}

static __noinline int read_quote_xdp(struct xdp_md *ctx, struct packet *error)
{
	return error && read_quote((void *)(long)ctx->data, (void *)(long)ctx->data_end, error);
}

static __noinline int read_quote_skb(struct __sk_buff *ctx, struct packet *error)
{
	return error && read_quote((void *)(long)ctx->data, (void *)(long)ctx->data_end, error);
}

/* Host order: source << 16 | destination. */
static __always_inline __u32 ports_of(const struct packet *p)
{
	return (__u32)bpf_ntohs(p->source_port) << 16 | bpf_ntohs(p->destination_port);
}

/* Whether it matters which message a parsed frame is. */
static __always_inline bool has_message(const struct packet *p, int outcome)
{
	return settings.response_times && outcome == PARSED && p->fragment == FRAGMENT_NONE;
}

#define SHORT_BUFFER 1024 /* no driver begins a frame in several buffers with so short a one */

/*
 * How long the whole frame is. One in several buffers, of which data to data_end is the first, may hold a packet that
 * ends in it and padding in the others: so this is asked for each frame that could have several. Such frames and
 * bpf_xdp_get_buff_len() came with Linux 5.18.
 */
static __always_inline __u32 xdp_frame_bytes(struct xdp_md *ctx)
{
	__u32 bytes = ctx->data_end - ctx->data;

	if (bytes > SHORT_BUFFER && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_xdp_get_buff_len))
		bytes = bpf_xdp_get_buff_len(ctx);
	return bytes;
}

/* A frame of any shape: headers, length, and which message it is. */
static __noinline int parse_xdp(struct xdp_md *ctx, struct packet *p, struct frame *frame)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = xdp_frame_bytes(ctx),
	};
	int outcome;

	if (!p || !frame)
		return UDP_TRACK_MALFORMED;
	frame->wire.packets = 1;
	frame->wire.bytes = c.frame_bytes;
	outcome = parse_frame(&c, p, true);
	if (has_message(p, outcome))
		frame->message = udp_track_message_xdp(ctx, p->payload, ports_of(p));
	return outcome;
}

/*
 * A frame of any shape, ready for track_further(). Here and in parse_other_skb() an ICMP error does what it does: it is no packet to be
 * tracked itself.
 */
static __noinline int parse_other_xdp(struct xdp_md *ctx, struct frame *frame)
{
	struct packet p = {};
	int outcome;

	if (!frame)
		return UDP_TRACK_MALFORMED;
	*frame = (struct frame){ .ifindex = ctx->ingress_ifindex, .slot = interface_slot(ctx->ingress_ifindex) };
	outcome = parse_xdp(ctx, &p, frame);
	if (outcome == UDP_TRACK_NOT_UDP && is_icmp(&p) && read_quote_xdp(ctx, &p))
		track_error(&p, frame);
	return complete(&p, frame, outcome);
}

/* User space adds BPF_F_XDP_HAS_FRAGS where the kernel knows it. */
SEC("xdp")
int udp_track_xdp(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex, slot = interface_slot(ifindex);
	struct udp_track_books *account = find_books(slot, UDP_TRACK_INGRESS);
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = xdp_frame_bytes(ctx),
	};
	struct frame further;
	struct packet p = {};
	int outcome = PARSED;
	enum plain plain;

	if (!account)
		return XDP_PASS;
	plain = track_plain(&c, &p, true, c.frame_bytes, ifindex, slot, account, &further);
	if (plain == COUNTED)
		return XDP_PASS;
	if (plain == NOT_PLAIN)
		outcome = parse_other_xdp(ctx, &further);
	else if (settings.response_times)
		further.message = udp_track_message_xdp(ctx, p.payload, ports_of(&p));
	if (track_further(&further, outcome, account) && further.dns)
		udp_track_read_xdp(ctx, further.dns, mix(&further.tuple, further.slot, true, false), further.side);
	return XDP_PASS;
}

/* Bytes of the headers that each segment of a GSO super-packet repeats, link header and in-frame tags included. */
static __always_inline __u32 repeated_bytes(const struct cursor *c, const struct packet *p, int outcome)
{
	struct tcphdr *tcp = c->position;

	if (outcome == PARSED) /* the cursor is on the UDP header */
		return cursor_offset(c) + sizeof(struct udp_header);
	if (p->protocol == IPPROTO_TCP && (void *)(tcp + 1) <= c->end)
		return cursor_offset(c) + tcp->doff * 4;
	return cursor_offset(c);
}

/* What a socket buffer says of itself, read at once: clang would else share the address of a field between branches, and the verifier
 * refuses ("dereference of modified ctx ptr"). */
struct buffer {
	__u32 bytes;
	__u32 segment_bytes; /* of a GSO super-packet; else 0 */
	__u32 segments;
	__u32 vlan_present;
	__u32 vlan_tci;
};

static __always_inline struct buffer read_buffer(const struct __sk_buff *ctx)
{
	struct buffer buffer = {
		.bytes = ctx->len,
		.segment_bytes = ctx->gso_size,
		.segments = ctx->gso_segs,
		.vlan_present = ctx->vlan_present,
		.vlan_tci = ctx->vlan_tci,
	};

	barrier();
	return buffer;
}

/* What a socket buffer is on the wire: its segments and their headers, tags included. */
static __always_inline void measure_skb(const struct buffer *buffer, const struct cursor *c, const struct packet *p,
					int outcome, struct udp_track_counts *wire)
{
	__u32 bytes = buffer->bytes, segment_bytes = buffer->segment_bytes, segments = buffer->segments, headers;
	__u32 tag = buffer->vlan_present ? VLAN_TAG_BYTES : 0;

	wire->packets = 1;
	wire->bytes = bytes + tag;
	if (!segment_bytes)
		return;
	headers = repeated_bytes(c, p, outcome);
	if (!segments && bytes > headers) /* not filled in by every source (virtio_net, Linux 5.10 on veth) */
		segments = (bytes - headers + segment_bytes - 1) / segment_bytes;
	if (segments > 1) {
		wire->packets = segments;
		wire->bytes += (__u64)(segments - 1) * (headers + tag);
	}
}

/*
 * Whether the headers that matter lie in the buffer's linear part, as they do for nearly all frames. Asked before the frame is parsed, so that it
 * is parsed once; a frame that is of no interest has nothing more to show.
 */
static __always_inline bool has_headers(struct __sk_buff *ctx, const bool ethernet)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct packet p = {};
	__u32 room;
	__be16 ethertype = parse_plain_link(&c, &p, ethernet, &room);

	if (ethertype == bpf_htons(ETHERTYPE_IPV4)) {
		struct iphdr *ip = c.position;
		struct udp_header *udp = (void *)(ip + 1);

		if ((void *)udp > c.end)
			return false;
		if (ip->protocol == IPPROTO_UDP)
			return *(__u8 *)ip == IPV4_WITHOUT_OPTIONS && (void *)(udp + 1) <= c.end;
		return ip->protocol != IPPROTO_ICMP;
	}
	if (ethertype == bpf_htons(ETHERTYPE_IPV6)) {
		struct ipv6hdr *ip = c.position;
		struct udp_header *udp = (void *)(ip + 1);

		if ((void *)udp > c.end)
			return false;
		return ip->nexthdr == IPPROTO_TCP || (ip->nexthdr == IPPROTO_UDP && (void *)(udp + 1) <= c.end);
	}
	return ethertype && !is_vlan(ethertype);
}

/* Headers may lie outside the linear part: then it is extended. */
static __noinline int pull_headers(struct __sk_buff *ctx, const bool ethernet)
{
	__u32 wanted = ctx->len < PULL_BYTES ? ctx->len : PULL_BYTES;

	if (ctx->data_end - ctx->data < wanted && !has_headers(ctx, ethernet))
		bpf_skb_pull_data(ctx, wanted);
	return 0;
}

/* A socket buffer of any shape. */
static __noinline int parse_skb(struct __sk_buff *ctx, struct packet *p, struct frame *frame, const bool ethernet)
{
	struct buffer buffer = read_buffer(ctx);
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = buffer.bytes,
	};
	int outcome;

	if (!p || !frame)
		return UDP_TRACK_MALFORMED;
	if (buffer.vlan_present)
		add_tag(p, buffer.vlan_tci);
	outcome = parse_frame(&c, p, ethernet);
	measure_skb(&buffer, &c, p, outcome, &frame->wire);
	if (has_message(p, outcome))
		frame->message = udp_track_message_skb(ctx, p->payload, ports_of(p));
	return outcome;
}

static __noinline int parse_other_skb(struct __sk_buff *ctx, struct frame *frame, const bool ethernet)
{
	__u32 ifindex = ctx->ifindex;
	struct packet p = {};
	int outcome;

	if (!frame)
		return UDP_TRACK_MALFORMED;
	*frame = (struct frame){ .ifindex = ifindex, .slot = interface_slot(ifindex) };
	pull_headers(ctx, ethernet);
	outcome = parse_skb(ctx, &p, frame, ethernet);
	if (outcome == UDP_TRACK_NOT_UDP && is_icmp(&p) && read_quote_skb(ctx, &p))
		track_error(&p, frame);
	return complete(&p, frame, outcome);
}

static __always_inline int track_skb(struct __sk_buff *ctx, __u32 direction, const bool ethernet)
{
	__u32 ifindex = ctx->ifindex, slot = interface_slot(ifindex);
	struct udp_track_books *account = find_books(slot, direction);
	struct buffer buffer = read_buffer(ctx);
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = buffer.bytes,
	};
	__u32 bytes = buffer.bytes + (buffer.vlan_present ? VLAN_TAG_BYTES : 0);
	enum plain plain = NOT_PLAIN;
	struct frame further;
	struct packet p = {};
	int outcome = PARSED;

	/* The kernel's copy, for itself, of a broadcast or multicast that it sent: it never was on the wire. */
	if (direction == UDP_TRACK_INGRESS && ctx->pkt_type == PACKET_LOOPBACK)
		return TC_ACT_UNSPEC;
	if (!account)
		return TC_ACT_UNSPEC;
	if (buffer.vlan_present)
		add_tag(&p, buffer.vlan_tci);
	if (!buffer.segment_bytes)
		plain = track_plain(&c, &p, ethernet, bytes, ifindex, slot, account, &further);
	if (plain == COUNTED)
		return TC_ACT_UNSPEC;
	if (plain == NOT_PLAIN)
		outcome = parse_other_skb(ctx, &further, ethernet);
	else if (settings.response_times)
		further.message = udp_track_message_skb(ctx, p.payload, ports_of(&p));
	if (track_further(&further, outcome, account) && further.dns)
		udp_track_read_skb(ctx, further.dns, mix(&further.tuple, further.slot, true, false), further.side,
				   direction);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int udp_track_ingress(struct __sk_buff *ctx)
{
	return track_skb(ctx, UDP_TRACK_INGRESS, true);
}

SEC("tc")
int udp_track_egress(struct __sk_buff *ctx)
{
	return track_skb(ctx, UDP_TRACK_EGRESS, true);
}

/* The same for links without an Ethernet header. */
SEC("tc")
int udp_track_ingress_ip(struct __sk_buff *ctx)
{
	return track_skb(ctx, UDP_TRACK_INGRESS, false);
}

SEC("tc")
int udp_track_egress_ip(struct __sk_buff *ctx)
{
	return track_skb(ctx, UDP_TRACK_EGRESS, false);
}

/*
 * The rest is run by user space (BPF_PROG_TEST_RUN) and never attached. TC programs, as these can be run on every
 * kernel, can take locks, and running one changes nothing in the system.
 */

/* Puts the next publications into the maps that others read. */
SEC("tc")
int udp_track_publish(struct __sk_buff *ctx)
{
	__u32 next = publishing.next;

	for (__u32 i = 0; i < UDP_TRACK_PUBLISHED_AT_ONCE; i++) {
		if (next >= publishing.count)
			break;
		udp_track_publish_one(next++);
	}
	publishing.next = next;
	return 0;
}

/* Puts into the table what user space has found out. */
SEC("tc")
int udp_track_amend(struct __sk_buff *ctx)
{
	__u32 next = amending.next;

	for (__u32 i = 0; i < UDP_TRACK_AMENDED_AT_ONCE; i++) {
		if (next >= amending.count)
			break;
		udp_track_amend_one(next++);
	}
	amending.next = next;
	return 0;
}

/* Reads both clocks at once: user space learns how jiffies, cheap in the packet path, relate to CLOCK_MONOTONIC. */
SEC("tc")
int udp_track_clock(struct __sk_buff *ctx)
{
	clock.jiffies = bpf_jiffies64();
	clock.ns = bpf_ktime_get_ns();
	return 0;
}
