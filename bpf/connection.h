/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The slow path: finds or creates a connection, moves a delta into the maps, runs the state machine.
 *
 * Why the counts are exact
 * - A delta is moved, never copied: added to the entry and zeroed in one section under the entry's lock.
 * - The lock switches interrupts off on its CPU. So a section of the sweep (a task) and a packet (a softirq) on one CPU
 *   never interleave, whether or not the kernel switches softirqs off for programs run by user space.
 * - An entry is counted to only under its lock, unless it is DEAD, and only if its tuple is the packet's. An element of
 *   a preallocated HASH is reused at once when its entry is deleted, so a pointer may come to show another connection. A
 *   new entry is written by bpf_map_update_elem(), which does not take the lock, from its first byte to its last: with
 *   its tuple before `life`, which is EMPTY then and LIVE from a section here on. So whoever holds an old pointer finds
 *   DEAD, or another tuple, or the same connection opened anew, which is then the right one to count to.
 * - Entries are deleted by udp_track_expire alone: under the lock it takes the final values and marks the entry DEAD,
 *   then deletes it. A packet that comes between the two is counted as CLOSING; the next one opens a new connection.
 * - A key is deleted from connection_track before connection_stats and inserted after: the first never holds an id that
 *   the second does not, so it has room for each.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

/* What becomes of a delta: a reason to skip it, or one of these, with its sides in bits 0-2. */
#define COUNTED 0x100 /* and the connection was there before */
#define OPENED	0x200 /* as the first of a new connection */
#define MOVED	0x400 /* not at all: the slot was given to another connection meanwhile */

static __always_inline bool is_counted(int outcome)
{
	return outcome & (COUNTED | OPENED);
}

#define E2BIG  7
#define EEXIST 17

/*
 * Error codes of map operations are looked at as int: up to Linux 6.3 these return int, the verifier calls them directly,
 * and the upper half of the register is whatever they left there.
 */
#define UPDATE(map, key, value, flags) ((int)bpf_map_update_elem(map, key, value, flags))

/* The new entry is made in the books, of which each CPU has one per hook: a program's stack has no room for it. */
static __always_inline int insert_empty(__u64 id, const struct udp_track_tuple *tuple, struct udp_track_books *account)
{
	struct udp_track_stats *fresh = (void *)scratch_of(account)->fresh;

	fresh->connection.tuple = *tuple; /* the rest is 0 and stays so */
	return UPDATE(&connection_stats, &id, scratch_of(account)->fresh, BPF_NOEXIST);
}

/* The entry of a tuple, created EMPTY if need be and possible; NULL and a reason in *outcome otherwise. */
static __always_inline struct udp_track_stats *find_connection(__u64 id, const struct udp_track_tuple *tuple,
							       struct udp_track_books *account, __u64 now, bool joins,
							       int *outcome)
{
	struct udp_track_stats *stats = bpf_map_lookup_elem(&connection_stats, &id);
	int error;

	if (stats)
		return stats;
	*outcome = UDP_TRACK_FILTERED;
	if (joins)
		return NULL;
	/* A flood on a full table pays for one failed insert a jiffy, not for one a packet. */
	*outcome = UDP_TRACK_TABLE_FULL;
	if (account->table_full_at == now)
		return NULL;
	error = insert_empty(id, tuple, account);
	if (error == -E2BIG) {
		account->table_full_at = now;
		return NULL;
	}
	*outcome = UDP_TRACK_MAP_ERROR;
	if (error && error != -EEXIST) /* EEXIST: another CPU was faster, or a DEAD entry is not gone yet */
		return NULL;
	return bpf_map_lookup_elem(&connection_stats, &id);
}

/*
 * Shows the entry's state in connection_track. Called by whoever changed it, after its section, so two CPUs may come
 * here in either order: each looks again until what it wrote is what the entry has.
 */
static __noinline int show_state(__u64 id, __u64 flags)
{
	struct udp_track_stats *stats = bpf_map_lookup_elem(&connection_stats, &id);

	if (!stats)
		return 0;
	for (int i = 0; i < 3; i++) {
		__u32 state = *(volatile __u8 *)&stats->connection.state;

		if (UPDATE(&connection_track, &id, &state, flags))
			return 0;
		if (state == *(volatile __u8 *)&stats->connection.state)
			return 0;
		flags = BPF_EXIST;
	}
	return 0;
}

/* Adds to an address that may be new. Two CPUs may both find it new: one inserts, the other then adds. */
#define COUNT_ADDRESS(map, address)                                              \
	({                                                                       \
		struct udp_track_ip *ip = bpf_map_lookup_elem(map, address);     \
                                                                                 \
		if (!ip && account->ip_full_at != now) {                         \
			struct udp_track_ip fresh = {};                          \
                                                                                 \
			if (UPDATE(map, address, &fresh, BPF_NOEXIST) == -E2BIG) \
				account->ip_full_at = now;                       \
			ip = bpf_map_lookup_elem(map, address);                  \
		}                                                                \
		if (ip) {                                                        \
			__sync_fetch_and_add(&ip->bytes, counts->bytes);         \
			__sync_fetch_and_add(&ip->packets, counts->packets);     \
		} else {                                                         \
			account->ip_table_full.bytes += counts->bytes;           \
			account->ip_table_full.packets += counts->packets;       \
		}                                                                \
	})

/* Both addresses of a connection sent or received all of it. */
static __noinline int count_addresses(const struct udp_track_tuple *tuple, const struct udp_track_counts *counts,
				      struct udp_track_books *account, __u64 now)
{
	if (!tuple || !counts || !account)
		return 0;
	if (is_tuple6(tuple)) {
		struct in6_addr address;

		__builtin_memcpy(&address, &tuple->words[0], sizeof(address));
		COUNT_ADDRESS(&ip6_stats, &address);
		__builtin_memcpy(&address, &tuple->words[2], sizeof(address));
		COUNT_ADDRESS(&ip6_stats, &address);
	} else {
		__u32 address = tuple->words[0] >> 16;

		COUNT_ADDRESS(&ip_stats, &address);
		address = tuple->words[1] >> 16;
		COUNT_ADDRESS(&ip_stats, &address);
	}
	return 0;
}

/*
 * The state after packets of `sides` up to jiffy `last`. Called under the lock.
 * REPLIED is reached by a delta whose side is new (cache.h writes back at once then), so ASSURED takes a later one.
 * UNREACHABLE stays until the end that could not be reached sends: what this CPU's cache held of it before the error was
 * written back first (flush_connection). What other CPUs gathered before either change is told by its time, to a jiffy.
 */
static __always_inline __u8 next_state(const struct udp_track_connection *c, __u8 sides, __u64 last)
{
	bool both = (c->seen | sides) == 3;
	bool older = (__s32)((__u32)last - c->changed) < 0;

	if (c->state == UDP_TRACK_UNREACHABLE && (older || !(sides & 1 << (c->unreachable & 1))))
		return UDP_TRACK_UNREACHABLE;
	if (c->state == UDP_TRACK_ESTABLISHED || c->state == UDP_TRACK_UNREACHABLE)
		return both ? UDP_TRACK_REPLIED : UDP_TRACK_ESTABLISHED;
	/* Not last - first: another CPU may have opened the connection a jiffy after this one saw its packet. */
	if (c->state == UDP_TRACK_REPLIED && !older &&
	    (__s32)((__u32)last - c->first) > (__s32)settings.assured_jiffies)
		return UDP_TRACK_ASSURED;
	return c->state;
}

/* Where a delta lies: in way 0 to 3 of a set of cache4, the same of cache6, or in the scratch. */
#define PLACE_WAY  (UDP_TRACK_WAYS - 1)
#define PLACE_IPV6 UDP_TRACK_WAYS
#define PLACE_ONE  (2 * UDP_TRACK_WAYS)

/* The delta at a place of a set. A slot's tuple goes to scratch.flushed. */
static __always_inline struct udp_track_delta *find_delta(struct scratch *scratch, __u32 place, __u32 set)
{
	if (place & PLACE_ONE)
		return &scratch->one;
	if (place & PLACE_IPV6) {
		struct udp_track_set6 *set6 = bpf_map_lookup_elem(&cache6, &set);

		if (!set6)
			return NULL;
		slot6_tuple(&set6->way[place & PLACE_WAY], &scratch->flushed);
		return &set6->way[place & PLACE_WAY].delta;
	} else {
		struct udp_track_set4 *set4 = bpf_map_lookup_elem(&cache4, &set);

		if (!set4)
			return NULL;
		slot4_tuple(&set4->way[place & PLACE_WAY], &scratch->flushed);
		return &set4->way[place & PLACE_WAY].delta;
	}
}

/*
 * Moves a delta into its connection and its addresses, opening the connection if it is not there. The delta is a slot of
 * the cache, or one packet in the scratch (with its tuple there, and the id). Returns COUNTED or OPENED, or MOVED or a
 * reason when the delta is untouched.
 *
 * A global function, with indexes instead of pointers: the verifier checks it once, not once for each of its dozen calls.
 */
__noinline int udp_track_merge(__u32 books_index, __u32 place, __u32 set, __u64 id, __u32 generation)
{
	struct udp_track_books *account = bpf_map_lookup_elem(&books, &books_index);
	__u64 now = bpf_jiffies64(), ns = 0, last;
	__u32 line = UDP_TRACK_NO_LINE, ttl;
	const struct udp_track_tuple *tuple;
	struct udp_track_connection *c;
	struct udp_track_counts *moved;
	struct udp_track_stats *stats;
	struct udp_track_delta *delta;
	int outcome = COUNTED;
	bool changed = false, joins;
	__u8 sides, fresh, origin = 0;

	if (!account)
		return UDP_TRACK_MAP_ERROR;
	delta = find_delta(scratch_of(account), place, set);
	if (!delta)
		return UDP_TRACK_MAP_ERROR;
	tuple = place & PLACE_ONE ? &scratch_of(account)->tuple : &scratch_of(account)->flushed;
	if (!(place & PLACE_ONE))
		id = connection_id(tuple);
	moved = &scratch_of(account)->moved;
	ttl = scratch_of(account)->ttl;
	scratch_of(account)->ns = 0;
	joins = filter.kind == UDP_TRACK_DIRECTED && delta->joins;
	stats = find_connection(id, tuple, account, now, joins, &outcome);
	if (!stats)
		return outcome;
	outcome = COUNTED;
	c = &stats->connection;
	/*
	 * No clock can be read under the lock. When the time is needed there all the same, this is not what was looked at:
	 * the entry was ended and opened anew meanwhile, or, in a sweep, a packet came to the slot, which then waits.
	 */
	sides = (delta->packets[0] ? 1 : 0) | (delta->packets[1] ? 2 : 0);
	if (c->life == UDP_TRACK_EMPTY || sides & ~c->seen)
		ns = bpf_ktime_get_ns();
	if (c->life == UDP_TRACK_EMPTY && settings.lines && !joins)
		line = udp_track_take_line(id);

	bpf_spin_lock(&stats->lock);
	sides = (delta->packets[0] ? 1 : 0) | (delta->packets[1] ? 2 : 0);
	if (delta->generation != generation) {
		outcome = MOVED;
	} else if (joins && (c->life == UDP_TRACK_EMPTY || !same_tuple(&c->tuple, tuple))) {
		outcome = UDP_TRACK_FILTERED; /* its connection is not there */
	} else if (c->life == UDP_TRACK_DEAD || (!ns && (c->life == UDP_TRACK_EMPTY || sides & ~c->seen))) {
		outcome = UDP_TRACK_CLOSING;
	} else if (!same_tuple(&c->tuple, tuple)) {
		outcome = UDP_TRACK_COLLISION;
	} else if (c->life == UDP_TRACK_LIVE && c->ifindex != delta->ifindex) {
		outcome = UDP_TRACK_OTHER_INTERFACE;
	} else {
		last = now - (__u32)((__u32)now - delta->last);
		if (c->life == UDP_TRACK_EMPTY) {
			outcome = OPENED;
			origin = delta->packets[0] ? 0 : 1;
			c->life = UDP_TRACK_LIVE;
			c->ifindex = delta->ifindex;
			c->origin = origin;
			c->first_ns = ns;
			c->first = last;
			c->line = line;
			c->changed = last;
			c->state = UDP_TRACK_ESTABLISHED;
		}
		if ((c->seen | sides) == 3 && c->seen != 3)
			c->reply_ns = ns;
		fresh = sides & ~c->seen;
		if (fresh == 1)
			c->ttl[0] = ttl;
		else if (fresh == 2)
			c->ttl[1] = ttl;
		{
			__u8 state = next_state(c, sides, last);

			changed = state != c->state;
			if (changed)
				c->changed = last;
			c->state = state;
		}
		c->seen |= sides;
		if (last > c->last)
			c->last = last;
		c->from[0].packets += delta->packets[0];
		c->from[0].bytes += delta->bytes[0];
		c->from[1].packets += delta->packets[1];
		c->from[1].bytes += delta->bytes[1];
		moved->packets = (__u64)delta->packets[0] + delta->packets[1];
		moved->bytes = delta->bytes[0] + delta->bytes[1];
		c->bytes += moved->bytes;
		delta->packets[0] = delta->packets[1] = 0;
		delta->bytes[0] = delta->bytes[1] = 0;
		delta->sides = c->seen | (c->origin ? UDP_TRACK_ORIGIN : 0);
		delta->line = c->line;
	}
	bpf_spin_unlock(&stats->lock);
	scratch_of(account)->ns = ns;
	if (line != UDP_TRACK_NO_LINE && outcome != OPENED)
		udp_track_give_line(line);

	/* The element that was found may have been given to another connection since: then this one has just ended. */
	if (outcome == UDP_TRACK_COLLISION && bpf_map_lookup_elem(&connection_stats, &id) != stats)
		return UDP_TRACK_CLOSING;
	if (!is_counted(outcome))
		return outcome;
	if (outcome == OPENED)
		show_state(id, BPF_ANY);
	else if (changed)
		show_state(id, BPF_EXIST);
	count_addresses(tuple, moved, account, now);
	if (outcome == OPENED && settings.events & UDP_TRACK_NEW)
		account->events_lost += send_event(event_label(UDP_TRACK_NEW, origin, delta->ifindex), id, ns,
						   tuple->words, event_counts(moved));
	return outcome | delta->sides;
}

/* An ICMP error quoted a packet of this connection that went to `side`. */
static __noinline int mark_unreachable(const struct udp_track_tuple *tuple, __u32 side, __u64 id)
{
	__u64 now = bpf_jiffies64();
	struct udp_track_stats *stats;
	bool changed = false;

	if (!tuple)
		return 0;
	stats = bpf_map_lookup_elem(&connection_stats, &id);
	if (!stats)
		return 0;
	bpf_spin_lock(&stats->lock);
	if (stats->connection.life == UDP_TRACK_LIVE && same_tuple(&stats->connection.tuple, tuple)) {
		changed = stats->connection.state != UDP_TRACK_UNREACHABLE;
		stats->connection.state = UDP_TRACK_UNREACHABLE;
		stats->connection.unreachable = side;
		stats->connection.changed = now;
	}
	bpf_spin_unlock(&stats->lock);
	if (changed)
		show_state(id, BPF_EXIST);
	return 0;
}

/*
 * Ends the connection of a request if it has counted nothing since the scan; its final values go to the next answer.
 * Returns 1 if it ended. A global function: the verifier checks it once, not once per request ("BPF program is too large").
 */
__noinline int udp_track_end(__u32 request, __u32 answer)
{
	struct udp_track_stats *stats;
	__u32 line = UDP_TRACK_NO_LINE;
	bool is_over = false;
	__u64 id;

	request &= UDP_TRACK_EXPIRY_BATCH - 1; /* a power of two; the caller counts no further */
	answer &= UDP_TRACK_EXPIRY_BATCH - 1;
	id = expiry.requests[request].id;
	stats = bpf_map_lookup_elem(&connection_stats, &id);
	if (!stats)
		return 0;
	bpf_spin_lock(&stats->lock);
	if (stats->connection.life == UDP_TRACK_LIVE &&
	    stats->connection.from[0].packets + stats->connection.from[1].packets == expiry.requests[request].packets) {
		stats->connection.life = UDP_TRACK_DEAD;
		line = stats->connection.line;
		expiry.connections[answer] = stats->connection;
		is_over = true;
	}
	bpf_spin_unlock(&stats->lock);
	if (!is_over)
		return 0;
	expiry.ended_ids[answer] = id;
	ended.connections++;
	ended.counts.packets += expiry.requests[request].packets;
	ended.counts.bytes += expiry.connections[answer].bytes;
	bpf_map_delete_elem(&connection_track, &id);
	bpf_map_delete_elem(&connection_stats, &id);
	end_line(line, &expiry.responses[answer]);
	return 1;
}

#endif
