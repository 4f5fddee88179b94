/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments: only a datagram's head carries ports; what it said is remembered for those that follow. */
#ifndef FRAGMENT_H
#define FRAGMENT_H

#define PORTS_FOUND (1ULL << 32)

/* Ports of a fragmented datagram, source << 16 | destination, with PORTS_FOUND; a head brings them along. */
static __noinline __u64 find_ports(const struct fragment_key *key, __u32 is_head, __u32 ports)
{
	__u64 now = now_jiffies();
	struct fragment_ports *head;

	if (!key)
		return 0;
	if (is_head) {
		struct fragment_ports fresh = { .seen = now, .ports = ports };

		bpf_map_update_elem(&fragments, key, &fresh, BPF_ANY);
		return PORTS_FOUND | ports;
	}
	head = bpf_map_lookup_elem(&fragments, key);
	if (!head || now - head->seen > settings.fragment_jiffies)
		return 0;
	return PORTS_FOUND | head->ports;
}

/* Gives a later fragment the ports of its head, and lets a head be found; false when no head was seen. */
static __noinline int match_fragment(struct packet *p)
{
	struct fragment_key key = {};
	__u64 ports;

	if (!p)
		return 0;
	key.id = p->fragment_id;
	key.vlan_outer = p->vlan_outer;
	key.vlan_inner = p->vlan_inner;
	if (p->version == 4) {
		key.addresses[0] = p->source4;
		key.addresses[2] = p->destination4;
	} else {
		key.vlan_outer |= FRAGMENT_IPV6;
		key.addresses[0] = p->source6[0];
		key.addresses[1] = p->source6[1];
		key.addresses[2] = p->destination6[0];
		key.addresses[3] = p->destination6[1];
	}
	ports = find_ports(&key, p->fragment == FRAGMENT_HEAD, (__u32)p->source_port << 16 | p->destination_port);
	p->source_port = ports >> 16;
	p->destination_port = ports;
	return !!(ports & PORTS_FOUND);
}

#endif
