/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter: which connections are wanted. User space compiles the expression (src/filter/) to tests in read-only data, and
 * a packet runs through those of its family. Each test sends it forward to another or to a verdict, so it ends; the
 * verifier sees that too, as it knows read-only data and follows the tests themselves: a loop without a counter.
 *
 * What a filter decides
 * - A connection is wanted or not by the packet that would open it. A wanted one is counted whole, in both directions.
 * - So only a packet that is not at its home place (table.h) is looked at: a connection in the table was wanted. Most hits cost
 *   nothing with a filter, and a run without one has no code for it.
 * - A filter without src and dst says the same of both directions of a tuple, at all times and on all CPUs, as it looks at
 *   nothing else. What it refuses is never in the table, and is not looked for there.
 * - With src or dst it judges a direction, and a packet that it refuses may be the answer to one that it wanted. It is, if
 *   the filter wants the other direction and the connection is in the table. It is then counted, and opens nothing. So who opened a
 *   connection is who the filter wanted, also where both directions pass on two CPUs at once. If the filter wants neither
 *   direction, nobody can have opened it, and the table is not asked.
 * - Who sends the first packet that is seen need not open the connection: with `src host A`, what B sends before A is
 *   filtered, and A is the originator when it answers. After the end of a connection it is again A who opens it. Where the
 *   wanted packet found no room (TABLE_FULL), its answer is filtered: nothing says that it was asked for.
 *
 * Why seen = tracked + skipped
 * - A refused packet ends as FILTERED before anything has been counted, reported or created for it. One that joins is counted to a
 *   place that is there, or not at all.
 * - Fragments: a head leaves its ports for those that follow, wanted or not, so all parts of a datagram have one tuple and one
 *   verdict. Without its head a fragment has no ports: that stays FRAGMENT_WITHOUT_HEAD.
 * - ICMP errors are NOT_UDP whatever they quote. One about a refused connection finds no place and changes nothing.
 */
#ifndef FILTER_H
#define FILTER_H

/* A word of what `side` of this tuple sends (enum udp_track_word). No array: before Linux 5.12 none on the stack can be indexed. */
static __always_inline __u64 word4(const struct udp_track_tuple *tuple, __u32 side, __u32 word)
{
	__u64 source = tuple->words[side & 1 ? 1 : 0], destination = tuple->words[side & 1 ? 0 : 1];

	switch (word) {
	case UDP_TRACK_SOURCE_HIGH:
		return (__u32)(source >> 16);
	case UDP_TRACK_DESTINATION_HIGH:
		return (__u32)(destination >> 16);
	case UDP_TRACK_SOURCE_PORT:
		return bpf_ntohs((__u16)source);
	case UDP_TRACK_DESTINATION_PORT:
		return bpf_ntohs((__u16)destination);
	case UDP_TRACK_VLANS:
		return (tuple->words[0] >> 48 & VLAN_ID) | (tuple->words[1] >> 48 & VLAN_ID) << 16;
	}
	return 0;
}

static __always_inline __u64 word6(const struct udp_track_tuple *tuple, __u32 side, __u32 word)
{
	__u64 lower[2] = { tuple->words[3], tuple->words[4] }, higher[2] = { tuple->words[2], tuple->words[1] };
	__u32 ports = tuple->words[0];

	switch (word) {
	case UDP_TRACK_SOURCE_HIGH:
		return side & 1 ? higher[0] : lower[0];
	case UDP_TRACK_SOURCE_LOW:
		return side & 1 ? higher[1] : lower[1];
	case UDP_TRACK_DESTINATION_HIGH:
		return side & 1 ? lower[0] : higher[0];
	case UDP_TRACK_DESTINATION_LOW:
		return side & 1 ? lower[1] : higher[1];
	case UDP_TRACK_SOURCE_PORT:
		return bpf_ntohs((__u16)(side & 1 ? ports >> 16 : ports));
	case UDP_TRACK_DESTINATION_PORT:
		return bpf_ntohs((__u16)(side & 1 ? ports : ports >> 16));
	case UDP_TRACK_VLANS:
		return (tuple->words[0] >> 32 & VLAN_ID) | (tuple->words[0] >> 48 & VLAN_ID) << 16;
	}
	return 0;
}

/* Whether the filter wants what `side` of this tuple sends. */
static __noinline int wants(const struct udp_track_tuple *tuple, __u32 side)
{
	bool ipv6;
	__u32 at;

	if (!tuple)
		return 0;
	ipv6 = is_tuple6(tuple);
	at = ipv6 ? filter.first6 : filter.first4;
	while (at < UDP_TRACK_TESTS) {
		const volatile struct udp_track_test *test = &filter.tests[at];
		__u64 word = ipv6 ? word6(tuple, side, test->word) : word4(tuple, side, test->word);
		__u64 beyond = (word & test->mask) - test->least;

		at = beyond <= test->span ? test->yes : test->no;
	}
	return at == UDP_TRACK_WANTED;
}

enum judgement {
	REFUSED,
	ACCEPTED,
	JOINS, /* refused by itself, but counted if its connection is there */
};

/* enum judgement of a packet. */
static __always_inline int judge(const struct frame *frame)
{
	/* Verified also where it is never called: no tests are a loop from the first one to itself. */
	if (!filter.kind || wants(&frame->tuple, frame->side))
		return ACCEPTED;
	if (filter.kind == UDP_TRACK_DIRECTED && wants(&frame->tuple, !frame->side))
		return JOINS;
	return REFUSED;
}

#endif
