// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* udptrack's programs, but received packets end at XDP: then the receiver has nothing else to do. A run never drops one. */
#include "vmlinux.h"
#define XDP_PASS XDP_DROP
#include "../bpf/udp_track.bpf.c"
