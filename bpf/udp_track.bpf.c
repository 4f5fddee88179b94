// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs: XDP and TC for packets, and those that user space runs itself. Each wraps its context, calls the steps
 * in order and lets the packet go: udptrack never drops or changes one.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "udp_track.h"
#include "parse.h"
#include "maps.h"
#include "now.h"
#include "tuple.h"
#include "table.h"
#include "message.h"
#include "response.h"
#include "state.h"
#include "filter.h"
#include "events.h"
#include "spin.h"
#include "count.h"
#include "fragment.h"
#include "payload.h"
#include "track.h"
#include "xdp.h"
#include "skb.h"
#include "frames.h"
#include "replay.h"
#include "publish.h"
#include "amend.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TC_ACT_UNSPEC	(-1) /* whatever other programs and filters decide */
#define PACKET_LOOPBACK 5 /* include/uapi/linux/if_packet.h */

/* User space adds BPF_F_XDP_HAS_FRAGS where the kernel knows it. */
SEC("xdp")
int udp_track_xdp(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex, slot = interface_slot(ifindex);
	struct udp_track_books *counters = find_books(slot, UDP_TRACK_INGRESS);
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
	__u32 wanted;

	if (!counters)
		return XDP_PASS;
	plain = track_plain(&c, &p, true, c.frame_bytes, ifindex, slot, counters, &further, &wanted);
	if (plain == COUNTED)
		return XDP_PASS;
	if (plain == COUNTED_SPINNING) {
		udp_track_spin_xdp(ctx, p.payload + sizeof(struct udp_header), wanted, further.side);
		return XDP_PASS;
	}
	if (plain == NOT_PLAIN)
		outcome = parse_other_xdp(ctx, &further);
	else if (settings.response_times)
		further.message = udp_track_message_xdp(ctx, p.payload, ports_of(&p));
	wanted = track_further(&further, outcome, counters);
	if (has_payloads() && wanted & (WANTS_PAYLOAD | WANTS_SPIN))
		udp_track_payload_xdp(ctx, further.payload, wanted, further.side);
	if (settings.frame_bytes && wanted & WANTS_FRAME)
		lose_frame(counters, udp_track_frame_xdp(ctx, wanted));
	return XDP_PASS;
}

static __always_inline int track_skb(struct __sk_buff *ctx, __u32 direction, const bool ethernet)
{
	__u32 ifindex = ctx->ifindex, slot = interface_slot(ifindex);
	struct udp_track_books *counters = find_books(slot, direction);
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
	__u32 wanted;

	/* The kernel's copy, for itself, of a broadcast or multicast that it sent: it never was on the wire. */
	if (direction == UDP_TRACK_INGRESS && ctx->pkt_type == PACKET_LOOPBACK)
		return TC_ACT_UNSPEC;
	if (!counters)
		return TC_ACT_UNSPEC;
	if (buffer.vlan_present)
		add_tag(&p, buffer.vlan_tci);
	if (!buffer.segment_bytes)
		plain = track_plain(&c, &p, ethernet, bytes, ifindex, slot, counters, &further, &wanted);
	if (plain == COUNTED)
		return TC_ACT_UNSPEC;
	if (plain == COUNTED_SPINNING) {
		udp_track_spin_skb(ctx, p.payload + sizeof(struct udp_header), wanted, further.side);
		return TC_ACT_UNSPEC;
	}
	if (plain == NOT_PLAIN)
		outcome = parse_other_skb(ctx, &further, ethernet);
	else if (settings.response_times)
		further.message = udp_track_message_skb(ctx, p.payload, ports_of(&p));
	wanted = track_further(&further, outcome, counters);
	if (has_payloads() && wanted & (WANTS_PAYLOAD | WANTS_SPIN))
		udp_track_payload_skb(ctx, further.payload, wanted,
				      further.side | (direction == UDP_TRACK_EGRESS ? DIRECTION : 0),
				      further.wire.packets);
	if (settings.frame_bytes && wanted & WANTS_FRAME)
		lose_frame(counters, udp_track_frame_skb(ctx, wanted, direction, further.wire.packets));
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
 * Frames of a capture, by user space (BPF_PROG_TEST_RUN) and never attached; loaded for that alone. Not by the hot path: that is one for who
 * waits for the packet. User space has the frame: where it is wanted, it is told so, and whose it is, in place of a copy.
 */
SEC("tc")
int udp_track_replay(struct __sk_buff *ctx)
{
	struct udp_track_books *counters = find_books(replay.slot, replay.direction & 1);
	struct frame frame;
	__u32 wanted;
	int outcome;

	if (!counters)
		return TC_ACT_UNSPEC;
	outcome = parse_other_replayed(ctx, &frame);
	wanted = track_further(&frame, outcome, counters);
	if (has_payloads() && wanted & (WANTS_PAYLOAD | WANTS_SPIN))
		udp_track_payload_replay(ctx, frame.payload, wanted, frame.side);
	if (settings.frame_bytes && wanted & WANTS_FRAME)
		return UDP_TRACK_REPLAY_WANTED | (wanted & PLACE);
	return TC_ACT_UNSPEC;
}

/*
 * What user space runs, too, for itself. TC programs, as these can be run on every kernel, can take locks, and running one changes nothing
 * in the system.
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
