//! What is taken, what is refused and with which words.

use super::*;

fn config(line: &str) -> Config {
    parse(line.split_whitespace()).unwrap()
}

fn refusal(line: &str) -> String {
    let error = parse(line.split_whitespace()).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
    error.to_string()
}

#[test]
fn clap_finds_no_contradiction() {
    Arguments::command().debug_assert();
}

#[test]
fn interfaces_by_repetition_and_commas() {
    assert_eq!(
        config("udptrack -i a,b --interface c").interfaces,
        ["a", "b", "c"]
    );
    assert!(config("udptrack").interfaces.is_empty());
}

#[test]
fn defaults_are_those_of_netfilter() {
    let config = config("udptrack");
    assert_eq!(config.udp_timeout, Duration::from_secs(30));
    assert_eq!(config.stream_timeout, Duration::from_secs(120));
    assert_eq!(config.max_connections, 8192);
    assert_eq!(config.max_ips, 1024);
}

#[test]
fn events_default_to_what_the_output_shows() {
    use EventKind::{Data, End, New};
    assert_eq!(config("udptrack").events, [New, Data, End]);
    assert_eq!(config("udptrack -j").events, [End]);
    assert_eq!(config("udptrack -o table").events, []);
    assert_eq!(config("udptrack -j -e new,data").events, [New, Data]);
}

#[test]
fn bare_numbers_are_seconds() {
    assert_eq!(config("udptrack -d 0.5").delay, Duration::from_millis(500));
    assert_eq!(
        config("udptrack -d 500ms").delay,
        Duration::from_millis(500)
    );
}

#[test]
fn out_of_range_names_the_range() {
    assert!(refusal("udptrack --max-connections 0").contains("1..=67108864"));
    assert!(refusal("udptrack --max-ips 16777217").contains("1..=16777216"));
    assert!(refusal("udptrack -d 1ms").contains("100ms and 1h"));
    assert!(refusal("udptrack --udp-timeout 0").contains("1s and 1day"));
    assert!(refusal("udptrack --udp-timeout soon").contains("30s"));
    assert!(refusal("udptrack --duration 0").contains("1ms and"));
    assert!(refusal("udptrack -c 0").contains("1.."));
}

#[test]
fn contradictions_are_refused() {
    assert!(refusal("udptrack --hook tc --xdp-mode native").contains("--xdp-mode"));
    assert!(refusal("udptrack -o table -e new").contains("--events"));
    assert!(refusal("udptrack -q -v").contains("--verbose"));
    assert!(refusal("udptrack -j -o table").contains("--output"));
}
