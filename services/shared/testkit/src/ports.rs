//! Ports of loopback for servers that a test starts.
//!
//! A port that the system gave out a moment ago is in the range from which it takes the near ends of
//! connections, so under many tests at once somebody else has it by the time it is used. These are
//! below that range, and reserved among all tests of this machine.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

/// Below what systems use for the near ends of connections (Linux begins at 32768).
const RANGE: Range<u16> = 10_000..32_000;
/// Ports of one reservation.
const BLOCK: u16 = 32;

/// Some ports that nobody else uses, until dropped.
#[derive(Debug)]
pub struct Ports {
    _reserved: File,
    left: Range<u16>,
}

impl Ports {
    /// Reserves a block of ports.
    ///
    /// # Panics
    /// If all are taken.
    #[must_use]
    pub fn reserve() -> Self {
        let folder = tempfile::env::temp_dir().join("keystile-test-ports");
        fs::create_dir_all(&folder).expect("a folder of reservations");
        let blocks = (RANGE.end - RANGE.start) / BLOCK;
        // Tests of one moment begin at different places.
        let begin = std::process::id() % u32::from(blocks);
        for number in 0..u32::from(blocks) {
            let block = u16::try_from((begin + number) % u32::from(blocks)).expect("small");
            let first = RANGE.start + block * BLOCK;
            let reserved = File::create(folder.join(first.to_string())).expect("a reservation");
            let left = first..first + BLOCK;
            if reserved.try_lock().is_ok() && left.clone().all(is_free) {
                return Self { _reserved: reserved, left };
            }
        }
        panic!("no ports are free from {} to {}", RANGE.start, RANGE.end);
    }

    /// One of them.
    ///
    /// # Panics
    /// If they are used up.
    pub fn take(&mut self) -> u16 {
        self.left.next().expect("not more ports than one reservation has")
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
