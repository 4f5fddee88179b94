/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments: only a datagram's head carries ports; what it said is remembered for those that follow. */
#ifndef FRAGMENT_H
#define FRAGMENT_H

/* Gives a later fragment the ports of its head, and lets a head be found; false when no head was seen. */
static __noinline int match_fragment(struct packet *p)
{
	struct fragment_key key = {};
	struct fragment_ports *head;
	__u64 now = bpf_jiffies64();

	if (!p)
		return false;
	key.id = p->fragment_id;
	key.vlan_outer = p->vlan_outer;
	key.vlan_inner = p->vlan_inner;
	if (p->version == 4) {
		key.addresses[0] = p->source4;
		key.addresses[2] = p->destination4;
	} else {
		__builtin_memcpy(&key.addresses[0], p->source6, sizeof(p->source6));
		__builtin_memcpy(&key.addresses[2], p->destination6, sizeof(p->destination6));
	}
	if (p->fragment == FRAGMENT_HEAD) {
		struct fragment_ports ports = {
			.seen = now,
			.source = p->source_port,
			.destination = p->destination_port,
		};

		bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
		return true;
	}
	head = bpf_map_lookup_elem(&fragments, &key);
	if (!head || now - head->seen > settings.fragment_jiffies)
		return false;
	p->source_port = head->source;
	p->destination_port = head->destination;
	return true;
}

#endif
