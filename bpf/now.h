/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The time of a packet: the kernel's clock, or in a replay the capture's, which user space writes before each frame. The verifier sees which of
 * both is meant and removes the other. The hot path (count_in_first_set) asks the kernel itself: no frame of a replay goes there.
 */
#ifndef NOW_H
#define NOW_H

static __always_inline __u64 now_ns(void)
{
	return settings.replay ? replay.ns : bpf_ktime_get_ns();
}

static __always_inline __u64 now_jiffies(void)
{
	return settings.replay ? replay.jiffies : bpf_jiffies64();
}

#endif
