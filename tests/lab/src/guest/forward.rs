//! Forwards a port of this machine to a Unix socket in the guest.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Result, at};
use crate::guest::lab::Lab;

/// Another process may take a free port before ssh does.
const ATTEMPTS: u32 = 5;

impl Lab {
    /// Returns a port on 127.0.0.1. Each connection to it reaches the Unix socket `path` in the
    /// guest, until the guest ends.
    pub fn forward(&self, path: &str) -> Result<u16> {
        let mut attempt = 1;
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let address = listener.and_then(|listener| listener.local_addr());
            let port = address.map_err(at("a free port"))?.port();
            let output = self.ssh.forward(port, path)?;
            if output.success() {
                return Ok(port);
            }
            if attempt == ATTEMPTS {
                return self.checked(&format!("forward a port to {path}"), output).map(|_| port);
            }
            attempt += 1;
        }
    }
}
