/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The interface between drops.bpf.c and user space: which datagrams the kernel dropped behind the hooks, and why. Plain __uN only,
 * padding spelled out, sizes asserted here and in src/bpf/read/drops.rs. Host byte order.
 */
#ifndef DROPS_H
#define DROPS_H

/* What a reason comes down to: indexes of udp_drops_connection. src/model/dropped.rs has the same order. */
enum udp_drops_class {
	UDP_DROPS_SOCKET_BUFFER,
	UDP_DROPS_NO_SOCKET,
	UDP_DROPS_CHECKSUM,
	UDP_DROPS_FIREWALL,
	UDP_DROPS_ROUTING,
	UDP_DROPS_QUEUE,
	UDP_DROPS_MEMORY,
	UDP_DROPS_FRAGMENTS,
	UDP_DROPS_MTU,
	UDP_DROPS_OTHER,
	UDP_DROPS_CLASSES,
};

/* What is to be known of a reason beside its class. */
enum udp_drops_kind {
	UDP_DROPS_ANYWHERE, /* what the packet looks like tells where it died */
	UDP_DROPS_UNSPECIFIED, /* the same, but for what a queue has cut into segments: those have reasons of their own */
	UDP_DROPS_IGNORED, /* no loss of a datagram that a hook has counted */
	UDP_DROPS_LEAVING, /* a queue's: behind the hook that sees what is sent */
	UDP_DROPS_ARRIVING, /* never there */
	UDP_DROPS_BACKLOG, /* before the network layers: behind native XDP alone */
	UDP_DROPS_SOCKET, /* a socket had no room; the packet has lost its device */
	UDP_DROPS_READING, /* found wrong where a process reads, who has taken the device away, or before */
	UDP_DROPS_REASSEMBLY, /* a fragment that waited for others; the same */
};

struct udp_drops_reason {
	__u8 class; /* enum udp_drops_class */
	__u8 kind; /* enum udp_drops_kind */
};

enum udp_drops_sizes {
	UDP_DROPS_REASONS = 256, /* indexes of reasons: the kernel's numbers; 0, which is no reason, is all others */
	UDP_DROPS_QUEUES = 224, /* from here on: reasons of queues, where the kernel numbers these apart */
	UDP_DROPS_QUEUE_REASONS = 32,
};

/* Two that user space has names for where the kernel tells none (before 5.17). */
enum udp_drops_without_reasons {
	UDP_DROPS_RCVBUFF = 1,
	UDP_DROPS_PROTO_MEM = 2,
};

/* Fixed before the programs are loaded. */
struct udp_drops_settings {
	__u64 netns; /* inode number of the network namespace of the interfaces */
	__u32 classes_of_strangers; /* bits, enum udp_drops_class: what anybody can cause; they take half of the room at most */
	__u32 room; /* elements of `dropped` */
	__u32 reads_directly; /* 1: the verifier lets programs read where the kernel's pointers to bytes lead (6.17) */
	__u32 has_reason; /* 1: kfree_skb tells it (5.17) */
	__u32 has_socket; /* 1: and the socket that the packet was for (6.11) */
	__u32 queue_reasons; /* what enum qdisc_drop_reason begins with (7.3 has it); 0 = this kernel has none */
	struct udp_drops_reason reasons[UDP_DROPS_REASONS];
};

struct udp_drops_counts {
	__u64 packets; /* a merged packet is as many as it has segments */
	__u64 bytes; /* frame bytes, as the hooks count them, without padding */
};

/* Key of dropped_books. */
struct udp_drops_key {
	__u16 reason; /* index, below UDP_DROPS_REASONS; 0 = other */
	__u16 slot; /* of the interface */
	__u32 direction; /* enum udp_track_direction: the hook that has counted it */
};
_Static_assert(sizeof(struct udp_drops_key) == 8, "udp_drops_key");

/* Value of dropped_books. */
struct udp_drops_book {
	struct udp_drops_counts all;
	struct udp_drops_counts apart; /* of these, what belongs to no connection in the table */
};
_Static_assert(sizeof(struct udp_drops_book) == 32, "udp_drops_book");

/* Value of dropped: what one connection has lost. */
struct udp_drops_connection {
	__u64 id; /* 0 = it was made just now, and nothing is counted in it yet */
	struct udp_drops_counts classes[UDP_DROPS_CLASSES];
	struct udp_drops_counts higher; /* of these, what side 1 sent (struct udp_track_line); added after */
};
_Static_assert(sizeof(struct udp_drops_connection) == 184, "udp_drops_connection");

/* What is beside the maps. */
struct udp_drops_state {
	__u64 opened; /* elements of `dropped` that were made; the program */
	__u64 freed; /* and taken away; user space */
	struct udp_drops_counts unplaced; /* of connections that found no room in `dropped`: they are in the books */
	struct udp_drops_counts unbooked; /* that dropped_books had no room for */
};
_Static_assert(sizeof(struct udp_drops_state) == 48, "udp_drops_state");

#endif
