use udptrack::process::Source;
fn main() {
    let (mut sockets, note) = udptrack::bpf::Sockets::load().unwrap();
    println!("note {note:?}");
    for _ in 0..7 {
        let start = std::time::Instant::now();
        let open = sockets.open().unwrap();
        println!("read {} sockets in {:?}", open.len(), start.elapsed());
    }
    let mut hold: Vec<std::fs::File> = (0..100_000).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
    hold.truncate(hold.len() - 100); println!("files {}", hold.len());
    for _ in 0..7 {
        let start = std::time::Instant::now();
        let open = sockets.open().unwrap();
        println!("read {} sockets in {:?}", open.len(), start.elapsed());
    }
    drop(hold);
    let socks: Vec<std::net::UdpSocket> = (0..10_000).map_while(|_| std::net::UdpSocket::bind("127.0.0.1:0").ok()).collect();
    println!("sockets {}", socks.len());
    for _ in 0..7 {
        let start = std::time::Instant::now();
        let open = sockets.open().unwrap();
        println!("read {} sockets in {:?}", open.len(), start.elapsed());
    }
    drop(socks);
    sockets.closed().unwrap();
    // hooks: in turns
    drop(sockets);
    let sink = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = sink.local_addr().unwrap();
    let one = |label: &str| {
        let n = 20_000;
        let s = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let t = std::time::Instant::now();
        for _ in 0..n { s.send_to(b"x", to).unwrap(); }
        let send = t.elapsed() / n;
        let t = std::time::Instant::now();
        for _ in 0..n { let s = std::net::UdpSocket::bind("127.0.0.1:0").unwrap(); s.send_to(b"x", to).unwrap(); }
        let life = t.elapsed() / n;
        println!("{label}: sendto {send:?}, bind+sendto+close {life:?}");
        (send, life)
    };
    for _ in 0..6 {
        one("without");
        let (mut sockets, _) = udptrack::bpf::Sockets::load().unwrap();
        sockets.open().unwrap();
        one("with   ");
        println!("  told {}", sockets.closed().unwrap().len());
    }
}
