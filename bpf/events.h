/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ring-buffer records, for the kinds that somebody asked for. Never a wake-up, which would interrupt the packet path each
 * time that the reader has caught up: user space looks on a tick. What does not fit is counted by the caller, and the maps
 * stay exact.
 */
#ifndef EVENTS_H
#define EVENTS_H

#define EVENT_IPV6 (1 << 16)

/* Kind, side, family and interface of an event in one argument: BPF functions have five at most. */
static __always_inline __u64 event_label(enum udp_track_event_kind kind, __u32 side, bool is_ipv6, __u32 ifindex)
{
	return (__u64)ifindex << 32 | (is_ipv6 ? EVENT_IPV6 : 0) | (side & 1) << 8 | kind;
}

/* The same of its packets and bytes; both have 32 bits in the record. */
static __always_inline __u64 event_counts(const struct udp_track_counts *counts)
{
	return counts->packets << 32 | (__u32)counts->bytes;
}

/* `words` are those of the tuple: two of IPv4, five of IPv6. Id 0: not known yet. True when the record was lost. */
static __noinline int send_event(__u64 label, __u64 id, __u64 time, const __u64 *words, __u64 counts)
{
	struct udp_track_event *event;

	if (!words)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 1;
	event->time = time;
	event->tuple.words[0] = words[0];
	event->tuple.words[1] = words[1];
	if (label & EVENT_IPV6) {
		event->tuple.words[2] = words[2];
		event->tuple.words[3] = words[3];
		event->tuple.words[4] = words[4];
	} else {
		event->tuple.words[2] = event->tuple.words[3] = event->tuple.words[4] = 0;
	}
	event->id = id ? id : connection_id(&event->tuple);
	event->bytes = counts;
	event->packets = counts >> 32;
	event->ifindex = label >> 32;
	event->kind = label;
	event->side = label >> 8;
	event->__pad[0] = event->__pad[1] = 0;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

#endif
