/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a capture has: frames that were seen elsewhere, ready for track_further(). A test run brings the bytes that were captured; how long
 * the frame was, where and when it was seen, lies in `replay`.
 */
#ifndef REPLAY_H
#define REPLAY_H

/* A frame of any shape. What the capture has cut off is missing, not malformed: lengths are checked against that on the wire. */
static __noinline int parse_replayed(struct __sk_buff *ctx, struct packet *p, struct frame *frame)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = replay.wire_bytes + replay.added,
	};
	int outcome;

	if (!p || !frame)
		return UDP_TRACK_MALFORMED;
	frame->wire.packets = 1;
	frame->wire.bytes = replay.wire_bytes;
	if (replay.is_short)
		return UDP_TRACK_TRUNCATED;
	outcome = parse_frame(&c, p, true);
	if (has_message(p, outcome))
		frame->message = udp_track_message_skb(ctx, p->payload, ports_of(p));
	return outcome;
}

static __noinline int parse_other_replayed(struct __sk_buff *ctx, struct frame *frame)
{
	struct packet p = {};
	int outcome;

	if (!frame)
		return UDP_TRACK_MALFORMED;
	*frame = (struct frame){ .ifindex = replay.ifindex, .slot = replay.slot };
	outcome = parse_replayed(ctx, &p, frame);
	if (outcome == UDP_TRACK_NOT_UDP && is_icmp(&p) && read_quote_skb(ctx, &p))
		track_error(&p, frame);
	return complete(&p, frame, outcome);
}

#endif
