/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What XDP sees: frames as the driver has them, ready for track_further(). */
#ifndef XDP_H
#define XDP_H

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

static __noinline int read_quote_xdp(struct xdp_md *ctx, struct packet *error)
{
	return error && read_quote((void *)(long)ctx->data, (void *)(long)ctx->data_end, error);
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

#endif
