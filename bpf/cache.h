/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hot path: a per-CPU, 4-way set-associative cache of the connections in use. A packet of a cached connection
 * costs one array line; what it adds is written back (udp_track_merge(), connection.h)
 * - when a side of the connection sends for the first time, as that changes its state,
 * - when the slot has gathered for settings.flush_jiffies,
 * - when another connection takes the slot,
 * - by the sweep, which user space runs on each CPU before it reads the maps.
 *
 * Why the counts are exact
 * - One writer per slot: the CPU it belongs to. Packets run in softirq or with softirqs off, so two never interleave.
 *   The sweep runs on the same CPU; where a packet could interrupt it, it works inside a lock, which keeps interrupts
 *   off, and checks that the slot still is the one it looked at (generation).
 * - A slot is given to a connection only after that connection's packet was counted in connection_stats: so an entry
 *   is there from the first packet on, a flood that finds no room gets no slots, and a connection that is not in the
 *   cache shows every packet in connection_stats.
 * - A sweep frees the slots that were idle for half a second and user space ends a connection only when it was idle for
 *   a second or more and has counted nothing since the sweep: an ended connection has no slot, and its next packet
 *   opens it anew. (Slots of a CPU that is offline are the exception: they wait, and open the connection again.)
 * - A slot whose delta cannot be written back now (its entry is just being removed) is kept and not given away.
 */
#ifndef CACHE_H
#define CACHE_H

/*
 * Where in this CPU's part a connection's slot is looked for first; its set is the one around that. A free way there is taken
 * first, too: so in a cache with room, most packets find their slot in one look.
 */
static __always_inline __u32 home_slot(__u64 mixed)
{
	return mixed >> settings.home_shift;
}

static __always_inline __u32 home_set(const struct udp_track_books *account, __u64 mixed)
{
	return account->first_set + home_slot(mixed) / UDP_TRACK_WAYS;
}

/* Who missed a full set latest: bits that depend on all that connections of one set differ in. */
static __always_inline __u32 door_tag(__u64 mixed)
{
	return (__u32)(mixed >> 24) | 1;
}

static __always_inline bool is_slot4(const struct udp_track_slot4 *slot, const struct udp_track_tuple *tuple,
				     __u32 ifindex)
{
	return slot->words[0] == tuple->words[0] && slot->words[1] == tuple->words[1] && slot->delta.ifindex == ifindex;
}

static __always_inline bool is_slot6(const struct udp_track_slot6 *slot, const struct udp_track_tuple *tuple,
				     __u32 ifindex)
{
	return !((slot->words[0] ^ tuple->words[0]) | (slot->words[1] ^ tuple->words[1]) |
		 (slot->words[2] ^ tuple->words[2]) | (slot->words[3] ^ tuple->words[3]) |
		 (slot->words[4] ^ tuple->words[4])) &&
	       slot->delta.ifindex == ifindex;
}

static __always_inline bool is_dirty(const struct udp_track_delta *delta)
{
	return delta->packets[0] | delta->packets[1];
}

/* Writes a slot back; true when its delta is empty now. */
static __always_inline bool flush(const struct udp_track_books *account, __u32 place, __u32 set,
				  const struct udp_track_delta *delta)
{
	return is_counted(udp_track_merge(account->index, place, set, 0, delta->generation));
}

/* Adds a packet to a slot; true when the slot has to be written back now. */
static __always_inline bool count_in_slot(struct udp_track_delta *delta, __u32 side,
					  const struct udp_track_counts *wire, __u32 now)
{
	delta->bytes[side & 1] += wire->bytes;
	delta->packets[side & 1] += wire->packets;
	delta->last = now;
	return !(delta->sides >> (side & 1) & 1) || now - delta->flushed > settings.flush_jiffies;
}

/* The id of the tuple in the scratch: a packet that has a slot rarely wants it. */
static __noinline __u64 scratch_id(struct udp_track_books *account)
{
	return account ? connection_id(&scratch_of(account)->tuple) : 0;
}

/* Reports a later packet of a connection. */
#define SEND_DATA(send, account, words, side, ifindex, wire, id) \
	(account)->events_lost +=                                \
		send(event_label(UDP_TRACK_DATA, side, ifindex), id, bpf_jiffies64(), words, event_counts(wire))

/* Counts a packet in the maps, as it has no slot; its tuple is in the scratch then. The result is that of udp_track_merge(). */
static __always_inline int count_in_maps(struct udp_track_books *account, const struct frame *frame, __u32 ifindex,
					 __u32 now, __u32 index)
{
	struct udp_track_delta *one = &scratch_of(account)->one;
	const struct udp_track_counts *wire = &frame->wire;
	const __u32 side = frame->side;
	__u64 id;
	int outcome;

	scratch_of(account)->tuple = frame->tuple;
	id = scratch_id(account);
	if (filter.kind) {
		int judgement = udp_track_judge(account->index, side, index);

		if (judgement == REFUSED)
			return UDP_TRACK_FILTERED;
		one->joins = judgement == JOINS;
	}
	/* A flood on a full table: nothing else is asked of its packets (find_connection() says the same). */
	if (account->table_full_at == bpf_jiffies64() && !one->joins && !bpf_map_lookup_elem(&connection_stats, &id))
		return UDP_TRACK_TABLE_FULL;
	scratch_of(account)->ttl = frame->ttl;
	one->bytes[0] = side ? 0 : wire->bytes;
	one->packets[0] = side ? 0 : wire->packets;
	one->bytes[1] = side ? wire->bytes : 0;
	one->packets[1] = side ? wire->packets : 0;
	one->ifindex = ifindex;
	one->last = now;
	outcome = udp_track_merge(account->index, PLACE_ONE, 0, id, one->generation);
	if (is_counted(outcome) && turns(one, side))
		udp_track_turn(one->line, id, is_request(one, side), scratch_of(account)->ns);
	if (outcome & COUNTED && settings.events & UDP_TRACK_DATA)
		SEND_DATA(send_event, account, scratch_of(account)->tuple.words, side, ifindex, wire, id);
	return outcome;
}

/* The way to give away: a free one, else the one that was idle for longest. */
#define VICTIM(set, first, now)                                                                               \
	({                                                                                                    \
		__u32 victim = first, oldest = 0;                                                             \
                                                                                                              \
		_Pragma("unroll") for (int w = 0; w < UDP_TRACK_WAYS; w++)                                    \
		{                                                                                             \
			__u32 way = ((first) + w) & (UDP_TRACK_WAYS - 1);                                     \
			__u32 age = (set)->way[way].delta.ifindex ? (now) - (set)->way[way].delta.last : ~0u; \
                                                                                                              \
			if (age > oldest) {                                                                   \
				oldest = age;                                                                 \
				victim = way;                                                                 \
			}                                                                                     \
		}                                                                                             \
		victim &(UDP_TRACK_WAYS - 1);                                                                 \
	})

/*
 * Gives a slot to a connection whose packet has just been counted in the maps. A full set gives one up only when the
 * same connection misses it twice in a row (the doorkeeper): one-packet connections would else wash out the others.
 */
#define ADMIT(set, tuple_words, words_count, mixed, index, interface, outcome, account, now, family) \
	({                                                                                           \
		__u32 way = VICTIM(set, home_slot(mixed), now);                                      \
		__u32 tag = door_tag(mixed);                                                         \
		typeof(&(set)->way[0]) slot = &(set)->way[way];                                      \
                                                                                                     \
		if (slot->delta.ifindex && (set)->way[0].delta.door != tag) {                        \
			(set)->way[0].delta.door = tag;                                              \
		} else if (!slot->delta.ifindex || !is_dirty(&slot->delta) ||                        \
			   flush(account, way | (family), index, &slot->delta)) {                    \
			__builtin_memcpy(slot->words, tuple_words, (words_count) * sizeof(__u64));   \
			slot->delta.generation++;                                                    \
			slot->delta.last = slot->delta.flushed = now;                                \
			slot->delta.sides = (outcome) & (UDP_TRACK_SEEN | UDP_TRACK_ORIGIN);         \
			slot->delta.line = scratch_of(account)->one.line;                            \
			slot->delta.ifindex = interface;                                             \
		}                                                                                    \
	})

/* Looks into one way of the set. The barrier: clang would make the pointer anew for each field. */
#define LOOK(is_slot)                                  \
	({                                             \
		slot = &set->way[way];                 \
		barrier_var(slot);                     \
		found = is_slot(slot, tuple, ifindex); \
	})
_Static_assert(UDP_TRACK_WAYS == 4, "COUNT_PACKET() looks into four");

/*
 * Counts one packet to its connection, in a slot or else in the maps, and gives its connection a slot then. Both
 * families are written out, so that IPv4 compares and loads one line.
 */
#define COUNT_PACKET(cache, set_type, is_slot, slot_tuple, send_slot, family, words_count)                            \
	do {                                                                                                          \
		struct set_type *set = bpf_map_lookup_elem(&(cache), &index);                                         \
		__u32 way = home_slot(mixed) & (UDP_TRACK_WAYS - 1);                                                  \
		typeof(&set->way[0]) slot;                                                                            \
		__u64 ns = 0;                                                                                         \
		bool found, turned;                                                                                   \
		int outcome;                                                                                          \
                                                                                                                      \
		if (!set)                                                                                             \
			return UDP_TRACK_MAP_ERROR;                                                                   \
		LOOK(is_slot);                                                                                        \
		if (!found) {                                                                                         \
			way = (way + 1) & (UDP_TRACK_WAYS - 1);                                                       \
			LOOK(is_slot);                                                                                \
		}                                                                                                     \
		if (!found) {                                                                                         \
			way = (way + 1) & (UDP_TRACK_WAYS - 1);                                                       \
			LOOK(is_slot);                                                                                \
		}                                                                                                     \
		if (!found) {                                                                                         \
			way = (way + 1) & (UDP_TRACK_WAYS - 1);                                                       \
			LOOK(is_slot);                                                                                \
		}                                                                                                     \
		if (found) {                                                                                          \
			if (count_in_slot(&slot->delta, side, wire, now)) {                                           \
				slot->delta.flushed = now;                                                            \
				scratch_of(account)->ttl = frame->ttl;                                                \
				flush(account, way | (family), index, &slot->delta);                                  \
				ns = scratch_of(account)->ns;                                                         \
			}                                                                                             \
			turned = turns(&slot->delta, side);                                                           \
			if (turned) {                                                                                 \
				slot_tuple(slot, &scratch_of(account)->tuple);                                        \
				udp_track_turn(slot->delta.line, scratch_id(account), is_request(&slot->delta, side), \
					       ns);                                                                   \
			}                                                                                             \
			if (settings.events & UDP_TRACK_DATA)                                                         \
				SEND_DATA(send_slot, account, slot->words, side, ifindex, wire, 0);                   \
			return COUNTED;                                                                               \
		}                                                                                                     \
		if (filter.kind && is_refused(tuple, side, index))                                                    \
			return UDP_TRACK_FILTERED;                                                                    \
		outcome = count_in_maps(account, frame, ifindex, now, index);                                         \
		if (is_counted(outcome))                                                                              \
			ADMIT(set, scratch_of(account)->tuple.words, words_count, mixed, index, ifindex, outcome,     \
			      account, now, family);                                                                  \
		return outcome;                                                                                       \
	} while (0)

static __always_inline int count_packet(const struct frame *frame, __u32 ifindex, struct udp_track_books *account)
{
	const struct udp_track_tuple *tuple = &frame->tuple;
	const struct udp_track_counts *wire = &frame->wire;
	const __u32 side = frame->side;
	__u32 now = bpf_jiffies64();
	__u64 mixed = mix(tuple);
	__u32 index = home_set(account, mixed);

	if (!settings.cache)
		return count_in_maps(account, frame, ifindex, now, index);
	if (is_tuple6(tuple))
		COUNT_PACKET(cache6, udp_track_set6, is_slot6, slot6_tuple, send_event, PLACE_IPV6, 5);
	COUNT_PACKET(cache4, udp_track_set4, is_slot4, slot4_tuple, send_event4, 0, 2);
}

#define FLUSH_CACHED(cache, set_type, is_slot, family)                                \
	do {                                                                          \
		struct set_type *set = bpf_map_lookup_elem(&(cache), &index);         \
                                                                                      \
		if (!set)                                                             \
			return 0;                                                     \
		_Pragma("unroll") for (int w = 0; w < UDP_TRACK_WAYS; w++)            \
		{                                                                     \
			struct udp_track_delta *delta = &set->way[w].delta;           \
                                                                                      \
			if (is_slot(&set->way[w], tuple, ifindex) && is_dirty(delta)) \
				return flush(account, w | (family), index, delta);    \
		}                                                                     \
	} while (0)

/* Writes back what this CPU's cache holds of a connection: it was counted before what comes next. */
static __noinline int flush_connection(const struct udp_track_tuple *tuple, __u32 ifindex,
				       struct udp_track_books *account)
{
	__u32 index;

	if (!tuple || !account || !settings.cache)
		return 0;
	index = home_set(account, mix(tuple));
	if (is_tuple6(tuple))
		FLUSH_CACHED(cache6, udp_track_set6, is_slot6, PLACE_IPV6);
	else
		FLUSH_CACHED(cache4, udp_track_set4, is_slot4, 0);
	return 0;
}

/* Frees a slot that is idle and written back. Interrupts are off meanwhile: no packet can come in between. */
static __always_inline void free_idle(struct udp_track_delta *delta, __u32 generation, __u32 idle_jiffies)
{
	struct guard *guard;
	__u32 now = bpf_jiffies64(), zero = 0;

	if (now - delta->last < idle_jiffies)
		return;
	guard = bpf_map_lookup_elem(&guards, &zero);
	if (!guard)
		return;
	bpf_spin_lock(&guard->lock);
	if (delta->generation == generation && !is_dirty(delta) && now - delta->last >= idle_jiffies)
		delta->ifindex = 0;
	bpf_spin_unlock(&guard->lock);
}

/* Most sets of a quiet machine are empty: those cost one look. */
#define SWEEP_SET(cache, set_type, family)                                                                        \
	do {                                                                                                      \
		struct set_type *set = bpf_map_lookup_elem(&(cache), &index);                                     \
		struct udp_track_books *account;                                                                  \
                                                                                                                  \
		if (!set || !(set->way[0].delta.ifindex | set->way[1].delta.ifindex | set->way[2].delta.ifindex | \
			      set->way[3].delta.ifindex))                                                         \
			return 0;                                                                                 \
		account = find_sweep_books();                                                                     \
		if (!account)                                                                                     \
			return 0;                                                                                 \
		for (__u32 way = 0; way < UDP_TRACK_WAYS; way++) {                                                \
			__u32 generation = set->way[way].delta.generation;                                        \
                                                                                                                  \
			if (!set->way[way].delta.ifindex)                                                         \
				continue;                                                                         \
			if (is_dirty(&set->way[way].delta))                                                       \
				flush(account, way | (family), index, &set->way[way].delta);                      \
			free_idle(&set->way[way].delta, generation, sweep.idle_jiffies);                          \
		}                                                                                                 \
		return 0;                                                                                         \
	} while (0)

/* Global functions: the verifier checks each once, not once per set of the sweep. */
__noinline int udp_track_sweep_set4(__u32 index)
{
	SWEEP_SET(cache4, udp_track_set4, 0);
}

__noinline int udp_track_sweep_set6(__u32 index)
{
	SWEEP_SET(cache6, udp_track_set6, PLACE_IPV6);
}

#endif
