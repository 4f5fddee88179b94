//! How full the receive buffer of a socket is.

use std::net::SocketAddr;
use std::rc::Rc;

use super::facts::Owner;

/// The receive buffer of a bound UDP socket of this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Where the socket receives.
    pub local: SocketAddr,
    /// Who holds it. Nobody holds the kernel's own ones.
    pub owner: Option<Rc<Owner>>,
    /// Which part of it is used: 1 is all, and a little more is possible. At least 1 where a datagram was dropped for want of room since
    /// the look before.
    pub fill: f64,
}
