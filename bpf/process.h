/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What process.bpf.c tells user space: one UDP socket and one process that holds it, or held it last; and what its buffers
 * hold. Plain __uN only, padding spelled out, sizes asserted here and in src/bpf/read/. Host byte order, but for addresses.
 */
#ifndef PROCESS_H
#define PROCESS_H

struct udp_process_settings {
	/* Inode of user space's namespace of process ids; 0 = the initial one, where every process has its number. */
	__u32 pid_namespace;
	__u32 __pad;
};

struct udp_process_socket {
	__u64 socket; /* address of the kernel's struct sock: tells sockets apart that are open at the same time */
	__u64 closed_ns; /* bpf_ktime_get_ns() when it was closed; 0 = it is open */
	__u64 started_ns; /* start of the process since boot: with the id, a name that is not used again */
	__u64 cgroup; /* id in the version 2 hierarchy: the inode of its folder */
	__u8 local[16]; /* network order, IPv4 as ::ffff:a.b.c.d; 0 = any */
	__u8 peer[16]; /* the same; 0 = not connected */
	__u16 local_port;
	__u16 peer_port;
	__u32 device; /* index of the interface it is bound to (SO_BINDTODEVICE); 0 = any */
	__u32 netns; /* inode of its network namespace */
	__u32 pid; /* in the namespace of the settings; 0 = none there, or a kernel thread closed it */
	__u32 uid; /* effective */
	__u8 ipv6; /* AF_INET6 */
	__u8 only_ipv6; /* IPV6_V6ONLY */
	__u8 at_home; /* the process itself is in the socket's network namespace, which only then can be asked about by its id */
	__u8 __pad;
	__u8 command[16];
};
_Static_assert(sizeof(struct udp_process_socket) == 104, "udp_process_socket");

/* A socket's buffers at one moment. Bytes are the kernel's: a datagram with all the memory that it takes. */
struct udp_process_buffer {
	struct udp_process_socket socket; /* without its holder */
	__u64 inode; /* of its file: with the address, a name that is not used again */
	__u64 next; /* changes when the datagram that is read next is another one; 0 = there is none */
	__u32 receive_buffer; /* sk_rcvbuf */
	__u32 charged; /* sk_rmem_alloc: what the limit is compared with */
	__u32 queued; /* without what was read and is not given back yet: rx_queue of /proc/net/udp */
	__u32 datagrams; /* that wait: merged ones count as one */
	__u32 drops; /* since it was opened; wraps */
	__u32 send_buffer; /* sk_sndbuf */
	__u32 sending; /* tx_queue of /proc/net/udp */
	__u8 chosen; /* the program has set the size of its receive buffer */
	__u8 __pad[3];
};
_Static_assert(sizeof(struct udp_process_buffer) == 152, "udp_process_buffer");

#endif
