/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ring-buffer records, for the kinds that somebody asked for. Never a wake-up, which would interrupt the packet path each
 * time that the reader has caught up: user space looks on a tick. What does not fit is counted by the caller, and the maps
 * stay exact.
 */
#ifndef EVENTS_H
#define EVENTS_H

/* One packet of a connection in the table; returns 1 when the record was lost. */
static __noinline int send_event(const struct frame *frame, __u32 kind, __u32 place)
{
	struct udp_track_line *line = line_at(place & PLACE);
	struct udp_track_detail *detail = detail_at(place & PLACE);
	struct udp_track_event *event;

	if (!frame || !line || !detail)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 1;
	event->id = line->id;
	event->time = kind == UDP_TRACK_NEW ? detail->first_ns : now_jiffies();
#pragma unroll
	for (int i = 0; i < UDP_TRACK_TUPLE_WORDS; i++)
		event->tuple.words[i] = frame->tuple.words[i];
	event->place = place & PLACE;
	event->bytes = frame->wire.bytes;
	event->packets = frame->wire.packets;
	event->ifindex = frame->ifindex;
	event->kind = kind;
	event->side = frame->side;
	__builtin_memset(event->__pad, 0, sizeof(event->__pad));
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

#endif
