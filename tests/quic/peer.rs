//! Servers and clients of QUIC, of aioquic (`peer.py`).

use std::net::SocketAddr;
use std::process::Command;

use crate::common::netns::{Netns, Pair};
use crate::common::process::Process;
use crate::common::{Ip, TempDir};

/// tests/quic/peer.py in a namespace; packaging/install-deps.sh brings what it needs.
pub fn peer(netns: &Netns) -> Command {
    const ROOT: &str = env!("CARGO_MANIFEST_DIR");
    let mut python = netns.command(format!("{ROOT}/target/test-programs/python/bin/python3"));
    python.arg(format!("{ROOT}/tests/quic/peer.py"));
    python
}

/// A folder with a certificate and its key.
pub fn certificate() -> TempDir {
    let folder = TempDir::new("quic");
    let path = |name: &str| folder.path().join(name);
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-subj", "/CN=example.org", "-keyout"])
        .arg(path("key"))
        .arg("-out")
        .arg(path("certificate"));
    Process::run(&mut openssl);
    folder
}

/// A server that echoes.
pub fn serve(pair: &Pair, ip: Ip, port: u16, certificate: &TempDir, more: &[&str]) -> Process {
    serve_at(pair, pair.b.addr(ip, port), certificate, more)
}

/// The same at any address of the second namespace.
pub fn serve_at(pair: &Pair, address: SocketAddr, certificate: &TempDir, more: &[&str]) -> Process {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let mut server = peer(&pair.b);
    server
        .args(["serve", &ip, &port])
        .arg("--certificate")
        .arg(certificate.path().join("certificate"))
        .arg("--key")
        .arg(certificate.path().join("key"))
        .args(more);
    Process::serve(&pair.b, &mut server, &[address])
}

/// A client that asks for this name, from this port.
pub fn ask(pair: &Pair, ip: Ip, port: u16, (from, name): (u16, &str), more: &[&str]) {
    let mut client = peer(&pair.a);
    client
        .args(["ask", &pair.b.ip(ip).to_string(), &port.to_string()])
        .args(["--local-port", &from.to_string(), "--name", name])
        .args(more);
    Process::run(&mut client);
}
