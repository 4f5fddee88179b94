//! CSV: the fields of the JSON records, flat, a row for each record.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::eve::FlowRecord;
use super::eve_group::GroupRecord;
use super::eve_socket::SocketRecord;
use super::records::Form;
use crate::model::text::Visible;

/// Each column, and where its value stands in the JSON record. Empty where the record has none.
const COLUMNS: &[(&str, &str)] = &[
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
    ("first_reply_ns", "/udptrack/first_reply_ns"),
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
    ("response_sum_ns", "/udptrack/response/sum_ns"),
    ("response_lower_bound", "/udptrack/response/lower_bound"),
    ("response_histogram", "/udptrack/response/histogram"),
    ("waiting_ns", "/udptrack/waiting_ns"),
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

/// The same of groups. A list of programs stands in one cell: their names.
const GROUP_COLUMNS: &[(&str, &str)] = &[
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
    ("response_sum_ns", "/udptrack/response/sum_ns"),
    ("response_lower_bound", "/udptrack/response/lower_bound"),
    ("response_histogram", "/udptrack/response/histogram"),
    ("waiting_ns", "/udptrack/waiting_ns"),
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

/// The same of sockets.
const SOCKET_COLUMNS: &[(&str, &str)] = &[
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

/// A row for each connection that did something, or for each group; the books have no place in it.
pub struct CsvRows<W: Write> {
    rows: csv::Writer<W>,
    columns: &'static [(&'static str, &'static str)],
}

impl<W: Write> CsvRows<W> {
    /// Rows of connections, to `out`, after the header.
    pub fn new(out: W) -> io::Result<Self> {
        Self::of(out, COLUMNS)
    }

    /// Rows of groups.
    pub fn groups(out: W) -> io::Result<Self> {
        Self::of(out, GROUP_COLUMNS)
    }

    /// Rows of sockets.
    pub fn sockets(out: W) -> io::Result<Self> {
        Self::of(out, SOCKET_COLUMNS)
    }

    pub(super) fn of(out: W, columns: &'static [(&'static str, &'static str)]) -> io::Result<Self> {
        let mut rows = csv::Writer::from_writer(out);
        rows.write_record(columns.iter().map(|(name, _)| name))
            .map_err(to_io)?;
        Ok(Self { rows, columns })
    }

    pub(super) fn row(&mut self, record: &impl Serialize) -> io::Result<()> {
        let record = serde_json::to_value(record)?;
        for (_, place) in self.columns {
            self.rows
                .write_field(cell(record.pointer(place)))
                .map_err(to_io)?;
        }
        self.rows.write_record(None::<&[u8]>).map_err(to_io)
    }
}

impl<W: Write> Form for CsvRows<W> {
    fn flow(&mut self, record: &FlowRecord<'_>) -> io::Result<()> {
        self.row(record)
    }

    fn group(&mut self, record: &GroupRecord<'_>) -> io::Result<()> {
        self.row(record)
    }

    fn socket(&mut self, record: &SocketRecord<'_>) -> io::Result<()> {
        self.row(record)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rows.flush()
    }
}

/// The error of the stream itself, so that a closed pipe is known as one.
fn to_io(error: csv::Error) -> io::Error {
    error.into()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => harmless(text),
        Some(Value::Array(values)) => {
            let cells: Vec<String> = values.iter().map(|value| cell(Some(value))).collect();
            cells.join(" ")
        }
        Some(Value::Object(object)) => cell(object.get("command")),
        Some(value) => value.to_string(),
    }
}

/// Names come from outside. What could steer a terminal is escaped as in all other text; what a spreadsheet would take for
/// a formula gets an apostrophe before it, which spreadsheets read as "this is text".
fn harmless(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let mark = if formula { "'" } else { "" };
    format!("{mark}{}", Visible(text))
}

#[cfg(test)]
mod tests;
