//! Which column of CSV has which field of the JSON record.

/// Columns, and where the value of each stands in the JSON record. Empty where the record has none.
pub(in crate::output) type Columns = &'static [(&'static str, &'static str)];

/// Of connections.
pub(super) const FLOWS: &[Columns] = &[
    FLOW,
    RESPONSE,
    RESPONSE_BESIDE,
    ROUND_TRIP,
    FLOW_BESIDE,
    DROPPED,
    DNS,
];
/// Of groups. A list of programs stands in one cell: their names.
pub(super) const GROUPS: &[Columns] = &[
    GROUP,
    RESPONSE,
    RESPONSE_BESIDE,
    GROUP_ROUND_TRIP,
    GROUP_BESIDE,
    DROPPED,
    DNS,
];
/// Of sockets.
pub(super) const SOCKETS: &[Columns] = &[SOCKET];

const FLOW: Columns = &[
    ("timestamp", "/timestamp"),
    ("event_type", "/event_type"),
    ("event", "/udptrack/event"),
    ("flow_id", "/flow_id"),
    ("conn_id", "/udptrack/conn_id"),
    ("in_iface", "/in_iface"),
    ("src_ip", "/src_ip"),
    ("src_port", "/src_port"),
    ("src_hostname", "/udptrack/src_hostname"),
    ("dest_ip", "/dest_ip"),
    ("dest_port", "/dest_port"),
    ("dest_hostname", "/udptrack/dest_hostname"),
    ("proto", "/proto"),
    ("ip_v", "/ip_v"),
    ("vlan", "/vlan"),
    ("community_id", "/community_id"),
    ("pkts_toserver", "/flow/pkts_toserver"),
    ("pkts_toclient", "/flow/pkts_toclient"),
    ("bytes_toserver", "/flow/bytes_toserver"),
    ("bytes_toclient", "/flow/bytes_toclient"),
    ("start", "/flow/start"),
    ("end", "/flow/end"),
    ("age", "/flow/age"),
    ("state", "/flow/state"),
    ("reason", "/flow/reason"),
    ("status", "/udptrack/status"),
    ("app_proto", "/app_proto"),
    ("protocol", "/udptrack/protocol"),
    ("protocol_guessed", "/udptrack/protocol_guessed"),
    ("may_continue", "/udptrack/may_continue"),
    ("unreachable", "/udptrack/unreachable"),
    ("end_reason", "/udptrack/end_reason"),
    ("role", "/udptrack/role"),
    ("answers_only", "/udptrack/answers_only"),
    ("orig_ttl", "/udptrack/orig_ttl"),
    ("reply_ttl", "/udptrack/reply_ttl"),
    ("orig_dscp", "/udptrack/orig_dscp"),
    ("reply_dscp", "/udptrack/reply_dscp"),
    ("first_reply_ns", "/udptrack/first_reply_ns"),
];

const FLOW_BESIDE: Columns = &[
    ("orig_pid", "/udptrack/process/originator/pid"),
    ("orig_command", "/udptrack/process/originator/command"),
    ("orig_uid", "/udptrack/process/originator/uid"),
    ("orig_user", "/udptrack/process/originator/user"),
    ("orig_cgroup", "/udptrack/process/originator/cgroup"),
    ("orig_container", "/udptrack/process/originator/container"),
    ("reply_pid", "/udptrack/process/responder/pid"),
    ("reply_command", "/udptrack/process/responder/command"),
    ("reply_uid", "/udptrack/process/responder/uid"),
    ("reply_user", "/udptrack/process/responder/user"),
    ("reply_cgroup", "/udptrack/process/responder/cgroup"),
    ("reply_container", "/udptrack/process/responder/container"),
    ("forwarded", "/udptrack/forwarded"),
    ("rate_2s_pkts_toserver", "/udptrack/rates/2s/pkts_toserver"),
    ("rate_2s_pkts_toclient", "/udptrack/rates/2s/pkts_toclient"),
    (
        "rate_2s_bytes_toserver",
        "/udptrack/rates/2s/bytes_toserver",
    ),
    (
        "rate_2s_bytes_toclient",
        "/udptrack/rates/2s/bytes_toclient",
    ),
    (
        "rate_10s_pkts_toserver",
        "/udptrack/rates/10s/pkts_toserver",
    ),
    (
        "rate_10s_pkts_toclient",
        "/udptrack/rates/10s/pkts_toclient",
    ),
    (
        "rate_10s_bytes_toserver",
        "/udptrack/rates/10s/bytes_toserver",
    ),
    (
        "rate_10s_bytes_toclient",
        "/udptrack/rates/10s/bytes_toclient",
    ),
    (
        "rate_40s_pkts_toserver",
        "/udptrack/rates/40s/pkts_toserver",
    ),
    (
        "rate_40s_pkts_toclient",
        "/udptrack/rates/40s/pkts_toclient",
    ),
    (
        "rate_40s_bytes_toserver",
        "/udptrack/rates/40s/bytes_toserver",
    ),
    (
        "rate_40s_bytes_toclient",
        "/udptrack/rates/40s/bytes_toclient",
    ),
];

const GROUP: Columns = &[
    ("timestamp", "/timestamp"),
    ("event_type", "/event_type"),
    ("group", "/udptrack/group"),
    ("ip", "/udptrack/ip"),
    ("port", "/udptrack/port"),
    ("hostname", "/udptrack/hostname"),
    ("service", "/udptrack/service"),
    ("protocol", "/udptrack/protocol"),
    ("protocol_guessed", "/udptrack/protocol_guessed"),
    ("state", "/udptrack/state"),
    ("role", "/udptrack/role"),
    ("connections", "/udptrack/connections"),
    ("clients", "/udptrack/clients"),
    ("clients_more", "/udptrack/clients_more"),
    ("refused", "/udptrack/refused"),
    ("pkts_in", "/udptrack/pkts_in"),
    ("pkts_out", "/udptrack/pkts_out"),
    ("bytes_in", "/udptrack/bytes_in"),
    ("bytes_out", "/udptrack/bytes_out"),
    ("start", "/udptrack/start"),
    ("end", "/udptrack/end"),
];

const GROUP_BESIDE: Columns = &[
    ("rate_2s_pkts_in", "/udptrack/rates/2s/pkts_in"),
    ("rate_2s_pkts_out", "/udptrack/rates/2s/pkts_out"),
    ("rate_2s_bytes_in", "/udptrack/rates/2s/bytes_in"),
    ("rate_2s_bytes_out", "/udptrack/rates/2s/bytes_out"),
    ("rate_10s_pkts_in", "/udptrack/rates/10s/pkts_in"),
    ("rate_10s_pkts_out", "/udptrack/rates/10s/pkts_out"),
    ("rate_10s_bytes_in", "/udptrack/rates/10s/bytes_in"),
    ("rate_10s_bytes_out", "/udptrack/rates/10s/bytes_out"),
    ("rate_40s_pkts_in", "/udptrack/rates/40s/pkts_in"),
    ("rate_40s_pkts_out", "/udptrack/rates/40s/pkts_out"),
    ("rate_40s_bytes_in", "/udptrack/rates/40s/bytes_in"),
    ("rate_40s_bytes_out", "/udptrack/rates/40s/bytes_out"),
    ("skipped_pkts_in", "/udptrack/skipped/pkts_in"),
    ("skipped_pkts_out", "/udptrack/skipped/pkts_out"),
    ("skipped_bytes_in", "/udptrack/skipped/bytes_in"),
    ("skipped_bytes_out", "/udptrack/skipped/bytes_out"),
    ("processes", "/udptrack/processes"),
];

/// How requests were answered: of connections, groups, and servers of DNS.
pub(in crate::output) const RESPONSE: Columns = &[
    ("asked", "/udptrack/response/asked"),
    ("answered", "/udptrack/response/answered"),
    ("lost", "/udptrack/response/lost"),
    ("waiting", "/udptrack/response/waiting"),
    ("retries", "/udptrack/response/retries"),
    ("response_min_ns", "/udptrack/response/min_ns"),
    ("response_mean_ns", "/udptrack/response/mean_ns"),
    ("response_median_ns", "/udptrack/response/median_ns"),
    ("response_p95_ns", "/udptrack/response/p95_ns"),
    ("response_max_ns", "/udptrack/response/max_ns"),
];

const RESPONSE_BESIDE: Columns = &[
    ("response_sum_ns", "/udptrack/response/sum_ns"),
    ("response_lower_bound", "/udptrack/response/lower_bound"),
    ("response_histogram", "/udptrack/response/histogram"),
    ("waiting_ns", "/udptrack/waiting_ns"),
];

const GROUP_ROUND_TRIP: Columns = &[
    (
        "round_trip_connections",
        "/udptrack/quic/round_trip/connections",
    ),
    (
        "round_trip_median_ns",
        "/udptrack/quic/round_trip/median_ns",
    ),
];

const ROUND_TRIP: Columns = &[
    ("round_trip_min_ns", "/udptrack/quic/round_trip/min_ns"),
    (
        "round_trip_median_ns",
        "/udptrack/quic/round_trip/median_ns",
    ),
    (
        "round_trip_originator_ns",
        "/udptrack/quic/round_trip/originator_ns",
    ),
    (
        "round_trip_responder_ns",
        "/udptrack/quic/round_trip/responder_ns",
    ),
];

const DROPPED: Columns = &[
    (
        "dropped_socket_buffer",
        "/udptrack/dropped/socket-buffer/pkts",
    ),
    ("dropped_no_socket", "/udptrack/dropped/no-socket/pkts"),
    ("dropped_checksum", "/udptrack/dropped/checksum/pkts"),
    ("dropped_firewall", "/udptrack/dropped/firewall/pkts"),
    ("dropped_routing", "/udptrack/dropped/routing/pkts"),
    ("dropped_queue", "/udptrack/dropped/queue/pkts"),
    ("dropped_memory", "/udptrack/dropped/memory/pkts"),
    ("dropped_fragments", "/udptrack/dropped/fragments/pkts"),
    ("dropped_mtu", "/udptrack/dropped/mtu/pkts"),
    ("dropped_other", "/udptrack/dropped/other/pkts"),
];

const DNS: Columns = &[
    ("dns_queries", "/udptrack/dns/queries"),
    ("dns_answers", "/udptrack/dns/answers"),
    ("dns_truncated", "/udptrack/dns/truncated"),
    ("dns_noerror", "/udptrack/dns/rcodes/NOERROR"),
    ("dns_formerr", "/udptrack/dns/rcodes/FORMERR"),
    ("dns_servfail", "/udptrack/dns/rcodes/SERVFAIL"),
    ("dns_nxdomain", "/udptrack/dns/rcodes/NXDOMAIN"),
    ("dns_notimp", "/udptrack/dns/rcodes/NOTIMP"),
    ("dns_refused", "/udptrack/dns/rcodes/REFUSED"),
    ("dns_other", "/udptrack/dns/rcodes/other"),
];

const SOCKET: Columns = &[
    ("timestamp", "/timestamp"),
    ("event_type", "/event_type"),
    ("ip", "/udptrack/ip"),
    ("port", "/udptrack/port"),
    ("peer_ip", "/udptrack/peer_ip"),
    ("peer_port", "/udptrack/peer_port"),
    ("in_iface", "/udptrack/in_iface"),
    ("inode", "/udptrack/inode"),
    ("pid", "/udptrack/process/pid"),
    ("command", "/udptrack/process/command"),
    ("user", "/udptrack/process/user"),
    ("uid", "/udptrack/process/uid"),
    ("cgroup", "/udptrack/process/cgroup"),
    ("container", "/udptrack/process/container"),
    ("receive_buffer", "/udptrack/receive_buffer"),
    ("so_rcvbuf", "/udptrack/so_rcvbuf"),
    ("queued", "/udptrack/queued"),
    ("queued_pkts", "/udptrack/queued_pkts"),
    ("queued_max", "/udptrack/queued_max"),
    ("fill_percent", "/udptrack/fill_percent"),
    ("fill_max_percent", "/udptrack/fill_max_percent"),
    ("drops", "/udptrack/drops"),
    ("drops_seen", "/udptrack/drops_seen"),
    ("drop_rate", "/udptrack/drop_rate"),
    ("cause", "/udptrack/cause"),
    ("burst", "/udptrack/burst"),
    ("datagram_bytes", "/udptrack/datagram_bytes"),
    ("stands_ns", "/udptrack/stands_ns"),
    ("behind_ns", "/udptrack/behind_ns"),
    ("send_buffer", "/udptrack/send_buffer"),
    ("sending", "/udptrack/sending"),
    ("limit", "/udptrack/limit"),
    ("limit_value", "/udptrack/limit_value"),
    ("limit_needed", "/udptrack/limit_needed"),
    ("advice", "/udptrack/advice"),
];
