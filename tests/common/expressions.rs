//! Random filter expressions, about the few addresses, ports and tags that random frames have.

use super::random::Rng;

/// An expression with about so many conditions.
pub fn expression(rng: &mut Rng, size: usize) -> String {
    if size <= 1 {
        return condition(rng);
    }
    let left = rng.between(1, size - 1);
    let sides = [left, size - left].map(|size| {
        let inner = expression(rng, size);
        match rng.below(4) {
            0 => format!("not ({inner})"),
            1 => inner,
            _ => format!("({inner})"),
        }
    });
    let join = rng.pick(&[" and ", " or ", "&&", "||"]);
    format!("{}{join}{}", sides[0], sides[1])
}

fn condition(rng: &mut Rng) -> String {
    let not = rng.pick(&["", "", "", "not ", "!"]);
    let ends = rng.pick(&["", "", "", "src ", "dst ", "src or dst ", "dst and src "]);
    let condition = match rng.below(8) {
        0 => rng.pick(&["ip", "ip6", "vlan", "udp"]).to_owned(),
        1 => format!("vlan {}", rng.pick(&[5, 7, 9, 4095])),
        2 => format!("{ends}host {}", address(rng)),
        3 => format!("{ends}net {}", net(rng)),
        4 => format!("{ends}port {} or {}", port(rng), port(rng)),
        5 => {
            let family = rng.pick(&["ip ", "ip6 ", "udp "]);
            format!("{family}{ends}port ({} or {})", port(rng), port(rng))
        }
        6 => {
            let mut range = [port(rng), port(rng)];
            range.sort_unstable();
            format!("{ends}portrange {}-{}", range[0], range[1])
        }
        _ => format!("{ends}port {}", port(rng)),
    };
    format!("{not}{condition}")
}

fn address(rng: &mut Rng) -> String {
    let net = rng.pick(&["10.88.0.", "fd88::"]);
    format!("{net}{}", rng.between(1, 3))
}

fn net(rng: &mut Rng) -> &'static str {
    rng.pick(&[
        "10.88.0.0/24",
        "10.88.0.2/31",
        "10/8",
        "0.0.0.0/0",
        "11.0.0.0/8",
        "10.88.0.1/32",
        "fd88::/64",
        "fd88::2/127",
        "fd88::/16",
        "::/0",
        "fd88:0:0:1::/64",
        "fd88::3/128",
    ])
}

fn port(rng: &mut Rng) -> u16 {
    rng.pick(&[0, 53, 123, 124, 40000, 65535])
}
