/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter: which connections are wanted. User space compiles the expression (src/filter/) to tests in read-only data, and
 * a packet runs through those of its family. Each test sends it forward to another or to a verdict, so it ends; the
 * verifier sees that too, as it knows read-only data and follows the tests themselves: a loop without a counter.
 *
 * What a filter decides
 * - A connection is wanted or not by the packet that would open it. A wanted one is counted whole, in both directions.
 * - So only a packet without a slot is looked at. A slot belongs to a connection that was counted (cache.h), hence wanted:
 *   a hit costs nothing with a filter, and a run without one has no code for it.
 * - A filter without src and dst says the same of both directions of a tuple, at all times and on all CPUs, as it looks at
 *   nothing else. What it refuses is never in connection_stats.
 * - With src or dst it judges a direction, and a packet that it refuses may be the answer to one that it wanted. It is, if
 *   the filter wants the other direction and the connection is there, LIVE and with this tuple. It then joins:
 *   udp_track_merge() asks under the entry's lock, and opens nothing for it. So who opened a connection is who the filter
 *   wanted, also where both directions pass on two CPUs at once. If the filter wants neither direction, nobody can have
 *   opened it, and no map is asked.
 * - Who sends the first packet that is seen need not open the connection: with `src host A`, what B sends before A is
 *   filtered, and A is the originator when it answers. After the end of a connection it is again A who opens it. Where the
 *   wanted packet found no room (TABLE_FULL), its answer is filtered: nothing says that it was asked for.
 *
 * What a refused packet costs
 * - The tests, once: then its tuple, with the side that sent if the filter has src or dst, lies in this CPU's line of
 *   `refused`, and its next packet finds it there in place of a slot. What is in a line can never be wrong, as a verdict
 *   depends on nothing that changes; another refused tuple may take the line, which costs that many tests again.
 * - JOINS is not kept: whether a connection is there changes.
 *
 * Why seen = tracked + skipped
 * - A refused packet ends as FILTERED before anything has been counted, reported or created for it, and gets no slot. One
 *   that joins is counted by udp_track_merge(), or not at all and ends as FILTERED or as others do (CLOSING, ...).
 * - Fragments: a head leaves its ports for those that follow, wanted or not, so all parts of a datagram have one tuple and one
 *   verdict. Without its head a fragment has no ports: that stays FRAGMENT_WITHOUT_HEAD.
 * - ICMP errors are NOT_UDP whatever they quote. One about a refused connection finds no entry and changes nothing.
 * - Without the cache each packet comes here: the same verdicts, at a price. Write-backs of slots never do: they were wanted.
 */
#ifndef FILTER_H
#define FILTER_H

enum judgement {
	REFUSED,
	ACCEPTED,
	JOINS, /* refused by itself, but counted if its connection is there */
};

/* The words of a packet that `side` sends (enum udp_track_word). */
static __always_inline void spread4(const struct udp_track_tuple *tuple, __u32 side, __u64 *words)
{
	__u64 source = side ? tuple->words[1] : tuple->words[0];
	__u64 destination = side ? tuple->words[0] : tuple->words[1];

	words[UDP_TRACK_SOURCE_HIGH] = (__u32)(source >> 16);
	words[UDP_TRACK_DESTINATION_HIGH] = (__u32)(destination >> 16);
	words[UDP_TRACK_SOURCE_PORT] = bpf_ntohs((__u16)source);
	words[UDP_TRACK_DESTINATION_PORT] = bpf_ntohs((__u16)destination);
	words[UDP_TRACK_VLANS] = (tuple->words[0] >> 48) | (tuple->words[1] >> 48) << 16;
}

static __always_inline void spread6(const struct udp_track_tuple *tuple, __u32 side, __u64 *words)
{
	__u32 ports = tuple->words[4];

	words[UDP_TRACK_SOURCE_HIGH] = side ? tuple->words[2] : tuple->words[0];
	words[UDP_TRACK_SOURCE_LOW] = side ? tuple->words[3] : tuple->words[1];
	words[UDP_TRACK_DESTINATION_HIGH] = side ? tuple->words[0] : tuple->words[2];
	words[UDP_TRACK_DESTINATION_LOW] = side ? tuple->words[1] : tuple->words[3];
	words[UDP_TRACK_SOURCE_PORT] = bpf_ntohs((__u16)(side ? ports >> 16 : ports));
	words[UDP_TRACK_DESTINATION_PORT] = bpf_ntohs((__u16)(side ? ports : ports >> 16));
	words[UDP_TRACK_VLANS] = (__u32)(tuple->words[4] >> 32) & ~(__u32)(UDP_TRACK_IPV6 >> 32);
}

/* Whether the filter wants what `side` of this tuple sends. */
static __noinline int wants(const struct udp_track_tuple *tuple, __u32 side, struct udp_track_books *account)
{
	__u64 *words;
	__u32 at;

	if (!tuple || !account)
		return 0;
	words = scratch_of(account)->words;
	if (is_tuple6(tuple)) {
		spread6(tuple, side, words);
		at = filter.first6;
	} else {
		spread4(tuple, side, words);
		at = filter.first4;
	}
	while (at < UDP_TRACK_TESTS) {
		const volatile struct udp_track_test *test = &filter.tests[at];
		__u64 beyond = (words[test->word & (UDP_TRACK_WORDS - 1)] & test->mask) - test->least;

		at = beyond <= test->span ? test->yes : test->no;
	}
	return at == UDP_TRACK_WANTED;
}

/* Bits of a tuple's last word that are free in both families. */
#define REFUSED_USED (1ULL << 61)
#define REFUSED_SIDE (1ULL << 62)

static __always_inline __u64 refused_mark(__u32 side)
{
	return REFUSED_USED | (filter.kind == UDP_TRACK_DIRECTED && side ? REFUSED_SIDE : 0);
}

/* Whether this CPU knows already that it is not wanted. */
static __always_inline bool is_refused(const struct udp_track_tuple *tuple, __u32 side, __u32 index)
{
	struct udp_track_refused *line = bpf_map_lookup_elem(&refused, &index);

	return line && !((line->words[0] ^ tuple->words[0]) | (line->words[1] ^ tuple->words[1]) |
			 (line->words[2] ^ tuple->words[2]) | (line->words[3] ^ tuple->words[3]) |
			 (line->words[4] ^ (tuple->words[4] | refused_mark(side))));
}

static __always_inline void remember_refused(const struct udp_track_tuple *tuple, __u32 side, __u32 index)
{
	struct udp_track_refused *line = bpf_map_lookup_elem(&refused, &index);

	if (!line)
		return;
	__builtin_memcpy(line->words, tuple->words, sizeof(line->words));
	line->words[4] |= refused_mark(side);
}

/*
 * enum judgement of the packet at hand (scratch.tuple), which has no slot; `set` is the one that it would be in. A global
 * function: the verifier follows the tests once, not once for each place that a packet comes from.
 */
__noinline int udp_track_judge(__u32 books_index, __u32 side, __u32 set)
{
	struct udp_track_books *account = bpf_map_lookup_elem(&books, &books_index);
	const struct udp_track_tuple *tuple;

	/* Verified also where it is never called: no tests are a loop from the first one to itself. */
	if (!account || !filter.kind)
		return ACCEPTED;
	tuple = &scratch_of(account)->tuple;
	if (wants(tuple, side, account))
		return ACCEPTED;
	if (filter.kind == UDP_TRACK_DIRECTED && wants(tuple, !side, account))
		return JOINS;
	if (settings.cache)
		remember_refused(tuple, side, set);
	return REFUSED;
}

#endif
