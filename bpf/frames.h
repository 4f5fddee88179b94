/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames for user space, which writes them to captures. Nothing of it is there when the settings have it off.
 *
 * Whose frames are wanted stands in `attention` of their line: those of each new connection, until user space says that they are not
 * (amend.h). Only frames that were counted come here, after that, and ICMP errors about a connection whose frames are wanted. There is
 * no budget but the ring: what finds no room there is counted in the books of its interface.
 */
#ifndef FRAMES_H
#define FRAMES_H

/* Room in a record, constant as the ring buffer wants it: headers and the start of the payload, a short and a long Ethernet frame, a jumbo
 * frame, any. */
#define SHORT_FRAME  128
#define MIDDLE_FRAME 512
#define LONG_FRAME   2048
#define JUMBO_FRAME  9216
#define XDP_MAX	     0xffff /* bpf_xdp_load_bytes() gives no more at once */

/* Returns 1 where it is lost. */
static __always_inline int send_frame(void *ctx, const bool xdp, const struct udp_track_frame *about, __u64 bytes,
				      const __u32 room)
{
	struct udp_track_frame *record = bpf_ringbuf_reserve(&frames, sizeof(*record) + room, 0);

	if (!record)
		return 1;
	*record = *about;
	record->bytes = bytes;
	/* Each bound by itself, as in payload.h. */
	barrier_var(bytes);
	if ((__s64)bytes < 1)
		goto lost;
	barrier_var(bytes);
	if (bytes > room || load_bytes(ctx, xdp, 0, record + 1, bytes))
		goto lost;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
lost:
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	return 1;
}

/* The same, in the smallest room. Steps that --snaplen leaves out are not in the program. */
static __always_inline int copy_frame(void *ctx, const bool xdp, struct udp_track_frame *about)
{
	struct udp_track_line *line = line_at(about->place);
	__u64 bytes = about->length;

	if (!line)
		return 1;
	about->connection = line->id;
	about->ns = now_ns();
	if (bytes > settings.frame_bytes)
		bytes = settings.frame_bytes;
	if (xdp && bytes > XDP_MAX)
		bytes = XDP_MAX;
	if (bytes <= SHORT_FRAME)
		return send_frame(ctx, xdp, about, bytes, SHORT_FRAME);
	if (settings.frame_bytes <= SHORT_FRAME)
		return 1;
	if (bytes <= MIDDLE_FRAME)
		return send_frame(ctx, xdp, about, bytes, MIDDLE_FRAME);
	if (settings.frame_bytes <= MIDDLE_FRAME)
		return 1;
	if (bytes <= LONG_FRAME)
		return send_frame(ctx, xdp, about, bytes, LONG_FRAME);
	if (settings.frame_bytes <= LONG_FRAME)
		return 1;
	if (bytes <= JUMBO_FRAME)
		return send_frame(ctx, xdp, about, bytes, JUMBO_FRAME);
	return send_frame(ctx, xdp, about, bytes, UDP_TRACK_FRAME_BYTES);
}

/*
 * A frame that was counted to the connection at `place`, or is about it. Returns 1 where it does not reach user space. Global functions: the
 * verifier checks each once.
 */
__noinline int udp_track_frame_xdp(struct xdp_md *ctx, __u32 place)
{
	struct udp_track_frame about = {
		.place = place & PLACE,
		.ifindex = ctx->ingress_ifindex,
		.length = xdp_frame_bytes(ctx),
		.packets = 1,
		.direction = UDP_TRACK_INGRESS,
	};

	return copy_frame(ctx, true, &about);
}

/* The same of a socket buffer, which is so many packets on the wire. */
__noinline int udp_track_frame_skb(struct __sk_buff *ctx, __u32 place, __u32 direction, __u32 packets)
{
	struct buffer buffer = read_buffer(ctx);
	struct udp_track_frame about = {
		.place = place & PLACE,
		.ifindex = ctx->ifindex,
		.length = buffer.bytes,
		.packets = packets,
		.segment_bytes = buffer.segment_bytes,
		.direction = direction,
	};

	if (buffer.vlan_present) {
		about.vlan_tci = buffer.vlan_tci;
		about.vlan_protocol = ctx->vlan_proto;
	}
	return copy_frame(ctx, false, &about);
}

#endif
