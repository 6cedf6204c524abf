//! Which synthetic address stands for which name.
//!
//! The guest never learns a real address. A program that asks for one gets an address out of
//! [`RANGE`], which means nothing but "this name": a connection to it becomes a `CONNECT` with the name
//! (see [`crate::transparent`]), and the proxy on the host resolves and judges it as ever.

use std::net::Ipv4Addr;
use std::sync::Arc;

use lru::LruCache;

/// Set aside for tests of network devices (RFC 2544, appendix C.2.2): no service has an address here.
pub const RANGE: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);

/// This machine, as its resolver and relay are reached from container networks inside, too.
pub const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The host, as [`HOST_NAME`] means it. On the proxy's port it is the relay that answers here.
pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// What Docker calls the host. Which of its ports can be reached is for the policy to say.
pub const HOST_NAME: &str = "host.docker.internal";

/// The first address that stands for a name that was asked for. Those below are the machine's own.
pub const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 0);

/// The last address that may stand for a name: behind it is the range's broadcast address.
pub const LAST: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);

/// Names remembered. The one that was not asked for or used the longest gives up its address to the
/// next; whoever still has that address then names a host that the proxy judges like any other.
///
/// COST: some 100 bytes a name, 6 MiB when full.
const CAPACITY: std::num::NonZeroUsize = match std::num::NonZeroUsize::new(1 << 16) {
    Some(capacity) => capacity,
    None => std::num::NonZeroUsize::MIN,
};

/// The table, both ways.
#[derive(Debug)]
pub struct Names {
    /// Slot numbers, the least recently used last. Slot `n` is the address `FIRST + n`.
    slots: LruCache<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Default for Names {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Names {
    fn with_capacity(capacity: std::num::NonZeroUsize) -> Self {
        Self {
            slots: LruCache::new(capacity),
            names: Vec::new(),
        }
    }

    /// The address that stands for `name`, which is in lower case and without a final dot.
    pub fn address(&mut self, name: &str) -> Ipv4Addr {
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => self.add(name.into()),
        };
        Ipv4Addr::from_bits(FIRST.to_bits().saturating_add(slot))
    }

    fn add(&mut self, name: Arc<str>) -> u32 {
        let freed = self.slots.push(Arc::clone(&name), u32::MAX);
        let slot = match freed {
            Some((_, slot)) => slot,
            None => u32::try_from(self.names.len()).unwrap_or_default(),
        };
        self.slots.put(Arc::clone(&name), slot);
        match self.names.get_mut(slot as usize) {
            Some(entry) => *entry = name,
            None => self.names.push(name),
        }
        slot
    }

    /// The name that `address` stands for. Being used keeps it in the table.
    pub fn name(&mut self, address: Ipv4Addr) -> Option<Arc<str>> {
        if address == HOST {
            return Some(HOST_NAME.into());
        }
        let slot = address.to_bits().checked_sub(FIRST.to_bits())?;
        let name = Arc::clone(self.names.get(slot as usize)?);
        self.slots.promote(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    #[test]
    fn an_address_means_its_name_and_no_other() {
        let mut names = Names::default();
        let one = names.address("one.example");
        let two = names.address("two.example");
        assert_eq!((one, two), (FIRST, Ipv4Addr::new(198, 18, 1, 1)));
        assert_eq!(names.address("one.example"), one);
        assert_eq!(names.name(HOST).as_deref(), Some("host.docker.internal"));
        assert_eq!(names.name(two).as_deref(), Some("two.example"));
        for never_given in [OWN, Ipv4Addr::new(198, 18, 1, 2), LAST, Ipv4Addr::LOCALHOST] {
            assert_eq!(names.name(never_given), None, "{never_given}");
        }
    }

    #[test]
    fn a_full_table_forgets_what_was_used_the_longest_ago() {
        let mut names = Names::with_capacity(NonZeroUsize::new(3).unwrap());
        let [a, b, c] = ["a", "b", "c"].map(|name| names.address(name));
        names.name(a); // connected to
        names.address("b"); // asked for again
        assert_eq!(names.address("d"), c, "the address of `c`");
        assert_eq!(names.name(c).as_deref(), Some("d"));
        assert_eq!((names.address("a"), names.address("b")), (a, b));
    }

    #[test]
    fn every_name_has_an_address_within_the_range() {
        let room = LAST.to_bits() - FIRST.to_bits();
        assert!(u32::try_from(CAPACITY.get()).unwrap() <= room);
        let (network, prefix) = RANGE;
        let mask = u32::MAX << (32 - prefix);
        for address in [OWN, HOST, FIRST, LAST] {
            assert_eq!(address.to_bits() & mask, network.to_bits(), "{address}");
        }
    }
}
