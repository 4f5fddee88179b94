/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ring-buffer records, for the kinds that somebody asked for. Never a wake-up, which would interrupt the packet path each
 * time that the reader has caught up: user space looks on a tick. What does not fit is counted by the caller, and the maps
 * stay exact.
 */
#ifndef EVENTS_H
#define EVENTS_H

/* Kind, side and interface of an event in one argument: BPF functions have five at most. */
static __always_inline __u64 event_label(enum udp_track_event_kind kind, __u32 side, __u32 ifindex)
{
	return (__u64)ifindex << 32 | side << 8 | kind;
}

/* True when the record was lost. */
static __noinline int send_event(__u64 label, __u64 id, __u64 time, const struct udp_track_tuple *tuple,
				 const struct udp_track_counts *counts)
{
	struct udp_track_event *event;

	if (!tuple || !counts)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 1;
	event->id = id;
	event->time = time;
	event->tuple = *tuple;
	event->bytes = counts->bytes;
	event->packets = counts->packets;
	event->ifindex = label >> 32;
	event->kind = label;
	event->side = label >> 8;
	event->__pad[0] = event->__pad[1] = 0;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

#endif
