/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * QUIC's spin bit (RFC 9000 17.4): the client turns it around once a round trip, the server sends it back as it came. So edges of it go
 * round as a single packet would, and an observer sees each pass in both directions: from an edge to the next one of the same side is
 * a round trip, from one of one side to the next of the other is the part of it behind that other side.
 *
 * Connections are looked at that user space knows to be QUIC, of a version with that bit (SPINS in `attention`): no packet of any other
 * comes here. What is kept are the latest edges, each in 16 bits; what they say, and whether they say anything, is for user space
 * (src/bpf/read/spin.rs): an endpoint may leave the bit as it is, or make it random.
 *
 * Anybody can forge a datagram: it can spoil the times of its own connection, and costs an edge at most.
 */
#ifndef SPIN_H
#define SPIN_H

#define QUIC_LONG	0x80 /* RFC 9000 17.2, 17.3.1; a packet of which QUIC_FIXED was left out (RFC 9287) is passed over */
#define QUIC_FIXED	0x40
#define QUIC_SPIN	0x20
#define BIT_SEEN	1
#define DENSE_PACKETS	4 /* fewer from edge to edge tell no time, and one of eight random bits stays for longer */
#define REORDERED_SHIFT 3 /* what comes sooner than an eighth of a round trip after an edge was overtaken by it */
#define GROWTH_SHIFT	3

/* A time in 15 bits (enum udp_track_spinning), by halves as bucket_of(). */
static __always_inline __u16 short_time(__u64 ns)
{
	__u64 rest = ns >> UDP_TRACK_SPIN_UNIT_BITS;
	__u32 shift = 0;

	if (rest >> (UDP_TRACK_SPIN_MANTISSA_BITS + 15))
		return UDP_TRACK_SPIN_LONG_AGO;
	for (__u32 half = 8; half; half /= 2) {
		if (rest >> (UDP_TRACK_SPIN_MANTISSA_BITS + half - 1)) {
			rest >>= half;
			shift += half;
		}
	}
	return shift << UDP_TRACK_SPIN_MANTISSA_BITS | (__u16)rest;
}

/*
 * About a round trip, from what it was before, and the latest: up by an eighth of the way, so that an edge that was overtaken early is
 * soon one; down to half at once, so that a sender that had nothing to send is soon forgotten.
 */
static __always_inline __u32 next_round(__u32 before, __u64 ns)
{
	__u32 latest = ns < ~0U ? ns : ~0U;

	if (!before)
		return latest;
	if (latest > before)
		return before + ((latest - before) >> GROWTH_SHIFT);
	return latest > before / 2 ? latest : before / 2;
}

/* An edge of a side, `packets` into it. Under the lock. */
static __always_inline void take_edge(struct udp_track_spin *spin, __u32 side, __u64 ns, __u16 packets)
{
	__u64 own_ns = spin->edge_ns[side], other_ns = spin->edge_ns[!side];
	__u64 before_ns = own_ns > other_ns ? own_ns : other_ns;
	__u32 index = spin->version / 2 % UDP_TRACK_SPIN_EDGES;
	__u16 after = before_ns ? short_time(ns - before_ns) : UDP_TRACK_SPIN_LONG_AGO;

	barrier_var(
		index); /* or clang drops what it knows to be true, and the verifier does not: "unbounded memory access" */
	if (index >= UDP_TRACK_SPIN_EDGES)
		return;
	if (ns < before_ns) /* another CPU read the clock later, and came first */
		return;
	if (own_ns && ns - own_ns < spin->round_ns >> REORDERED_SHIFT)
		return;
	*(volatile __u32 *)&spin->version = spin->version + 1;
	barrier();
	spin->edges[index] = after | side << UDP_TRACK_SPIN_SIDE_BIT;
	spin->dense = spin->dense << 1 | (own_ns && (__u16)(packets - spin->packets[side]) < DENSE_PACKETS);
	if (own_ns)
		spin->round_ns = next_round(spin->round_ns, ns - own_ns);
	spin->edge_ns[side] = ns;
	spin->packets[side] = packets;
	spin->bit[side] ^= QUIC_SPIN;
	barrier();
	*(volatile __u32 *)&spin->version = spin->version + 1;
}

/* A datagram of a connection that spins: `first` is its first byte. A global function: the verifier checks it once. */
__noinline int udp_track_spin(__u32 place, __u32 side, __u32 first)
{
	struct udp_track_spin *spin = bpf_map_lookup_elem(&spins, &place);
	struct udp_track_line *line;
	struct udp_track_lock *lock;
	__u16 packets;
	__u64 ns;
	__u8 bit;

	if ((first & (QUIC_LONG | QUIC_FIXED)) != QUIC_FIXED || !spin)
		return 0;
	side &= 1;
	bit = (first & QUIC_SPIN) | BIT_SEEN;
	if (spin->bit[side] == bit)
		return 0;
	line = line_at(place & PLACE);
	lock = lock_of((place & PLACE) / UDP_TRACK_WAYS);
	if (!line || !lock)
		return 0;
	packets = line->counted[side] >> UDP_TRACK_PACKET_SHIFT;
	ns = now_ns();
	bpf_spin_lock(&lock->lock);
	if (!spin->bit[side])
		spin->bit[side] = bit;
	else if (spin->bit[side] != bit)
		take_edge(spin, side, ns, packets);
	bpf_spin_unlock(&lock->lock);
	return 0;
}

#endif
