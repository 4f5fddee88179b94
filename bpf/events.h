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
	return (__u64)ifindex << 32 | (side & 1) << 8 | kind;
}

/* The same of its packets and bytes; both have 32 bits in the record. */
static __always_inline __u64 event_counts(const struct udp_track_counts *counts)
{
	return counts->packets << 32 | (__u32)counts->bytes;
}

static __always_inline int write_event(__u64 label, __u64 id, __u64 time, const __u64 *words, const int words_count,
				       __u64 counts)
{
	struct udp_track_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 1;
	event->time = time;
	_Pragma("unroll") for (int i = 0; i < 5; i++) event->tuple.words[i] = i < words_count ? words[i] : 0;
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

/* An event of the tuple of these five words. Id 0: not known yet. True when the record was lost. */
static __noinline int send_event(__u64 label, __u64 id, __u64 time, const __u64 *words, __u64 counts)
{
	return words && write_event(label, id, time, words, 5, counts);
}

/* The same of an IPv4 slot, which has but two. A function of its own: Linux 5.10 would forget what an argument says of it. */
static __noinline int send_event4(__u64 label, __u64 id, __u64 time, const __u64 *words, __u64 counts)
{
	return words && write_event(label, id, time, words, 2, counts);
}

#endif
