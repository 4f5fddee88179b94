// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs: XDP and TC for packets, and three that user space runs itself. Each wraps its context, calls the steps
 * in order and lets the packet go: udptrack never drops or changes one.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "udp_track.h"
#include "parse.h"
#include "maps.h"
#include "key.h"
#include "filter.h"
#include "events.h"
#include "response.h"
#include "connection.h"
#include "cache.h"
#include "fragment.h"
#include "names.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TC_ACT_UNSPEC	(-1) /* whatever other programs and filters decide */
#define PACKET_LOOPBACK 5 /* include/uapi/linux/if_packet.h */
#define PULL_BYTES	512 /* more than the longest chain of headers that is of use */

static __always_inline void add(struct udp_track_counts *sum, const struct udp_track_counts *wire)
{
	sum->packets += wire->packets;
	sum->bytes += wire->bytes;
}

static __always_inline int finish_frame(struct frame *frame, struct packet *p, int outcome,
					struct udp_track_books *account)
{
	frame->icmp = 0;
	frame->dns = 0;
	if (outcome == UDP_TRACK_NOT_UDP && is_icmp(p)) {
		frame->icmp = p->payload;
		frame->version = p->version;
		frame->vlan_outer = p->vlan_outer;
		frame->vlan_inner = p->vlan_inner;
	}
	if (outcome != PARSED)
		return outcome;
	if (p->fragment != FRAGMENT_NONE && !match_fragment(p, &scratch_of(account)->fragment))
		return UDP_TRACK_FRAGMENT_WITHOUT_HEAD;
	if (settings.names && p->fragment == FRAGMENT_NONE && is_dns(p))
		frame->dns = p->payload;
	frame->side = make_tuple(p, &frame->tuple);
	frame->ttl = p->ttl;
	return PARSED;
}

/*
 * A frame to its connection, and to the books: each ends here once, in `seen`, and in `tracked` or in one reason. True when it was
 * tracked.
 */
static __always_inline bool track_frame(const struct frame *frame, __u32 outcome, __u32 ifindex,
					struct udp_track_books *account)
{
	add(&account->seen, &frame->wire);
	if (outcome == (__u32)PARSED)
		outcome = count_packet(frame, ifindex, account);
	if (is_counted(outcome)) {
		add(&account->tracked, &frame->wire);
		return true;
	}
	barrier_var(outcome); /* or the bound is asked of a copy: "unbounded memory access" */
	if (outcome < UDP_TRACK_SKIPS)
		add(&account->skipped[outcome], &frame->wire);
	return false;
}

/* A plain frame to its connection; false when it is for the general way: not plain, or DNS to be read. */
static __always_inline bool track_plain(struct cursor *c, struct packet *p, const bool ethernet, __u64 bytes,
					__u32 ifindex, struct udp_track_books *account)
{
	__u32 room;
	__be16 ethertype = parse_plain_link(c, p, ethernet, &room);
	struct frame frame = { .wire = { .packets = 1, .bytes = bytes } };

	if (ethertype == bpf_htons(ETHERTYPE_IPV4)) {
		if (!parse_plain4(c, p, room) || (settings.names && is_dns(p) && has_dns_budget()))
			return false;
		frame.side = make_tuple(p, &frame.tuple);
		frame.ttl = p->ttl;
		track_frame(&frame, PARSED, ifindex, account);
		return true;
	}
	if (ethertype == bpf_htons(ETHERTYPE_IPV6)) {
		if (!parse_plain6(c, p, room) || (settings.names && is_dns(p) && has_dns_budget()))
			return false;
		frame.side = make_tuple(p, &frame.tuple);
		frame.ttl = p->ttl;
		track_frame(&frame, PARSED, ifindex, account);
		return true;
	}
	return false;
}

/* The same for a frame that was not plain or is DNS, out of the hot path's way. */
static __noinline int track_other(struct udp_track_books *account, int outcome, __u32 ifindex)
{
	return account && track_frame(&scratch_of(account)->frame, outcome, ifindex, account);
}

/* The packet that an ICMP error quotes, to error->tuple and error->side; false when it quotes no UDP. */
static __always_inline int read_quote(void *data, void *end, struct frame *error)
{
	struct cursor c = { .start = data, .position = data, .end = end };
	struct packet quoted = {
		.version = error->version,
		.vlan_outer = error->vlan_outer,
		.vlan_inner = error->vlan_inner,
		.payload = error->icmp,
	};

	if (!parse_quote(&c, &quoted))
		return 0;
	error->side = make_tuple(&quoted, &error->tuple);
	return 1;
}

static __noinline int read_quote_xdp(struct xdp_md *ctx, struct udp_track_books *account)
{
	if (!account)
		return 0;
	return read_quote((void *)(long)ctx->data, (void *)(long)ctx->data_end, &scratch_of(account)->frame);
}

static __noinline int read_quote_skb(struct __sk_buff *ctx, struct udp_track_books *account)
{
	if (!account)
		return 0;
	return read_quote((void *)(long)ctx->data, (void *)(long)ctx->data_end, &scratch_of(account)->frame);
}

/* An ICMP error: the far end of the connection that it quotes cannot be reached. */
static __noinline int track_error(struct udp_track_books *account, __u32 ifindex)
{
	const struct frame *error;
	__u64 id;

	if (!account)
		return 0;
	error = &scratch_of(account)->frame;
	id = connection_id(&error->tuple);
	flush_connection(&error->tuple, ifindex, account);
	/* The other side is who the quoted packet did not reach. */
	return mark_unreachable(&error->tuple, !error->side, id);
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

/* A frame of any shape, into scratch.frame. */
static __noinline int parse_xdp(struct xdp_md *ctx, struct udp_track_books *account)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = xdp_frame_bytes(ctx),
	};
	struct packet p = {};
	struct frame *frame;
	int outcome;

	if (!account)
		return UDP_TRACK_MAP_ERROR;
	frame = &scratch_of(account)->frame;
	outcome = parse_frame(&c, &p, true);
	frame->wire.packets = 1;
	frame->wire.bytes = c.frame_bytes;
	return finish_frame(frame, &p, outcome, account);
}

/* User space adds BPF_F_XDP_HAS_FRAGS where the kernel knows it. */
SEC("xdp")
int udp_track_xdp(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct udp_track_books *account = find_books(ifindex, UDP_TRACK_INGRESS);
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = xdp_frame_bytes(ctx),
	};
	struct packet p = {};

	if (!account)
		return XDP_PASS;
	if (!track_plain(&c, &p, true, c.frame_bytes, ifindex, account)) {
		int outcome = parse_xdp(ctx, account);

		if (scratch_of(account)->frame.icmp && read_quote_xdp(ctx, account))
			track_error(account, ifindex);
		if (track_other(account, outcome, ifindex) && settings.names && scratch_of(account)->frame.dns)
			udp_track_read_xdp(ctx);
	}
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

/*
 * What a socket buffer is on the wire: its segments and their headers, tags included. Fields of the context are read
 * into variables first: clang would else share the address of one between branches, and the verifier refuses
 * ("dereference of modified ctx ptr").
 */
static __always_inline void measure_skb(const struct __sk_buff *ctx, const struct cursor *c, const struct packet *p,
					int outcome, struct udp_track_counts *wire)
{
	__u32 bytes = ctx->len, segment_bytes = ctx->gso_size, segments = ctx->gso_segs, headers;
	__u32 tag = ctx->vlan_present ? VLAN_TAG_BYTES : 0;

	barrier();
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

/* A socket buffer of any shape, into scratch.frame. */
static __noinline int parse_skb(struct __sk_buff *ctx, struct udp_track_books *account, const bool ethernet)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = ctx->len,
	};
	struct packet p = {};
	int outcome;

	if (!account)
		return UDP_TRACK_MAP_ERROR;
	if (ctx->vlan_present)
		add_tag(&p, ctx->vlan_tci);
	outcome = parse_frame(&c, &p, ethernet);
	measure_skb(ctx, &c, &p, outcome, &scratch_of(account)->frame.wire);
	return finish_frame(&scratch_of(account)->frame, &p, outcome, account);
}

static __always_inline int track_skb(struct __sk_buff *ctx, __u32 direction, const bool ethernet)
{
	__u32 ifindex = ctx->ifindex;
	struct udp_track_books *account = find_books(ifindex, direction);
	__u32 bytes = ctx->len, present = ctx->vlan_present, tci = ctx->vlan_tci;
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = bytes,
	};
	struct packet p = {};

	/* The kernel's copy, for itself, of a broadcast or multicast that it sent: it never was on the wire. */
	if (direction == UDP_TRACK_INGRESS && ctx->pkt_type == PACKET_LOOPBACK)
		return TC_ACT_UNSPEC;
	if (!account)
		return TC_ACT_UNSPEC;
	if (present)
		add_tag(&p, tci);
	if (ctx->gso_size || !track_plain(&c, &p, ethernet, bytes + (present ? VLAN_TAG_BYTES : 0), ifindex, account)) {
		int outcome = parse_skb(ctx, account, ethernet);

		/* Headers may lie outside the buffer's linear part: then it is extended, and read again. */
		if ((outcome == UDP_TRACK_TRUNCATED || scratch_of(account)->frame.icmp) &&
		    ctx->data_end - ctx->data < bytes) {
			bpf_skb_pull_data(ctx, bytes < PULL_BYTES ? bytes : PULL_BYTES);
			outcome = parse_skb(ctx, account, ethernet);
		}
		if (scratch_of(account)->frame.icmp && read_quote_skb(ctx, account))
			track_error(account, ifindex);
		if (track_other(account, outcome, ifindex) && settings.names && scratch_of(account)->frame.dns)
			udp_track_read_skb(ctx, direction);
	}
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

/* Writes back the slots of a part of one CPU's cache and frees the idle ones. Run on that CPU. */
SEC("tc")
int udp_track_sweep(struct __sk_buff *ctx)
{
	__u32 sets = settings.sets;
	__u32 first = sweep.set, base = sweep.cpu * sets;

	for (__u32 i = 0; i < UDP_TRACK_SWEEP_SETS; i++) {
		__u32 set = first + i;

		if (set >= sets)
			break;
		udp_track_sweep_set4(base + set);
		udp_track_sweep_set6(base + set);
	}
	sweep.set = first + UDP_TRACK_SWEEP_SETS;
	return 0;
}

/* Ends the connections of a list that have counted nothing since user space looked at them. */
SEC("tc")
int udp_track_expire(struct __sk_buff *ctx)
{
	__u32 answers = 0;

	for (__u32 i = 0; i < UDP_TRACK_EXPIRY_BATCH; i++) {
		if (i >= expiry.count)
			break;
		answers += udp_track_end(i, answers);
	}
	expiry.ended = answers;
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
