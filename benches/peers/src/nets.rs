//! Networks: the engine's trie beside other tries, sorted ranges, and a table with a place for every /24.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use ip_network_table::IpNetworkTable;
use ipnet::Ipv4Net;
use policy_lang::{Net, bench::Nets};
use prefix_trie::PrefixMap;

use crate::{
    corpus::Corpus,
    measure::{Contestant, race, resident, timed},
    report::Table,
};

const QUESTIONS: usize = 500_000;

/// Gupta, Lin, McKeown (1998): a table for the first 24 bits, and blocks of 256 for longer prefixes.
struct Dir24 {
    first: Vec<u16>,
    longer: Vec<u16>,
}

/// Marks the number of a block.
const BLOCK: u16 = 1 << 15;

impl Dir24 {
    /// `nets` with values below 2^15: a next hop, where a policy wants the number of a rule.
    fn new(nets: &[Ipv4Net]) -> Self {
        let mut order: Vec<usize> = (0..nets.len()).collect();
        order.sort_by_key(|at| nets[*at].prefix_len());
        let mut table = Self {
            first: vec![0; 1 << 24],
            longer: Vec::new(),
        };
        let mut blocks = vec![None; 0];
        blocks.resize(1 << 24, None::<u32>);
        for at in order {
            let (net, value) = (nets[at], (1 + at % 30_000) as u16);
            let start = net.network().to_bits() as usize;
            if net.prefix_len() <= 24 {
                let count = 1 << (24 - net.prefix_len());
                table.first[start >> 8..(start >> 8) + count].fill(value);
                continue;
            }
            let block = *blocks[start >> 8].get_or_insert_with(|| {
                let before = table.first[start >> 8];
                table.longer.extend([before; 256]);
                (table.longer.len() / 256 - 1) as u32
            });
            let from = block as usize * 256 + (start & 255);
            table.longer[from..from + (1 << (32 - net.prefix_len()))].fill(value);
        }
        // Fifteen bits do not number all blocks of a table with many long prefixes; those beyond are left out.
        for (place, block) in table.first.iter_mut().zip(&blocks) {
            if let Some(block) = block.filter(|block| *block < u32::from(BLOCK)) {
                *place = BLOCK | block as u16;
            }
        }
        table
    }

    fn longest(&self, addr: u32) -> u16 {
        let value = self.first[(addr >> 8) as usize];
        match value & BLOCK {
            0 => value,
            _ => self.longer[usize::from(value & !BLOCK) * 256 + (addr & 255) as usize],
        }
    }

    fn bytes(&self) -> usize {
        2 * (self.first.len() + self.longer.len())
    }
}

/// Disjoint ranges in order, each with the network that is the smallest around it, and where those of each /16
/// start: looked up by halving.
struct Ranges {
    starts: Vec<u32>,
    values: Vec<u32>,
    index: Vec<u32>,
}

impl Ranges {
    const NONE: u32 = u32::MAX;

    fn new(nets: &[Ipv4Net]) -> Self {
        let mut order: Vec<(Ipv4Net, u32)> = nets.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut table = Self {
            starts: vec![0],
            values: vec![Self::NONE],
            index: Vec::new(),
        };
        // Networks around the place that is being filled, the smallest last.
        let mut around: Vec<(u64, u32)> = Vec::new();
        for (net, value) in order {
            let start = u64::from(net.network().to_bits());
            table.close(&mut around, start);
            table.begin(start, value);
            around.push((u64::from(net.broadcast().to_bits()) + 1, value));
        }
        table.close(&mut around, 1 << 32);
        let first_in = |high: u32| table.starts.partition_point(|start| start >> 16 < high);
        table.index = (0..=1 << 16).map(|high| first_in(high) as u32).collect();
        table
    }

    /// Ends the networks that end before or at `until`.
    fn close(&mut self, around: &mut Vec<(u64, u32)>, until: u64) {
        while let Some((end, _)) = around.pop_if(|(end, _)| *end <= until) {
            let value = around.last().map_or(Self::NONE, |(_, value)| *value);
            self.begin(end, value);
        }
    }

    fn begin(&mut self, start: u64, value: u32) {
        let Ok(start) = u32::try_from(start) else {
            return;
        };
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        self.starts.push(start);
        self.values.push(value);
    }

    fn longest(&self, addr: u32) -> Option<u32> {
        let high = (addr >> 16) as usize;
        let (first, last) = (self.index[high] as usize, self.index[high + 1] as usize);
        let within = self.starts[first..last].partition_point(|start| *start <= addr);
        let value = self.values[first + within - 1];
        (value != Self::NONE).then_some(value)
    }

    fn bytes(&self) -> usize {
        4 * (self.starts.len() + self.values.len() + self.index.len())
    }
}

/// Half inside some network, half anywhere.
fn questions(nets: &[Ipv4Net]) -> Vec<Ipv4Addr> {
    let mut rng = Rng::with_seed(0xadd4);
    let made = (0..QUESTIONS).map(|_| match (rng.bool(), rng.choice(nets)) {
        (true, Some(net)) => {
            let host = rng.u32(..) & net.hostmask().to_bits();
            Ipv4Addr::from_bits(net.network().to_bits() | host)
        }
        _ => Ipv4Addr::from_bits(rng.u32(..)),
    });
    made.collect()
}

pub fn compare(corpus: &Corpus, count: usize) -> Table {
    let texts = corpus.v4.get(..count).unwrap_or(&corpus.v4);
    let mut nets: Vec<Ipv4Net> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let mut known = hashbrown::HashSet::new();
    nets.retain(|net| known.insert(*net));
    let addrs = questions(&nets);

    let mut build = Vec::new();
    let mut built =
        |name, bytes: f64, time: f64| build.push((name, bytes / nets.len() as f64, time / 1e6));
    let mut ours = None;
    let (time, _) = timed(|| {
        let nets = nets.iter().map(|net| Net::from(ipnet::IpNet::V4(*net)));
        ours.insert(Nets::new(nets)).bytes() as u64
    });
    let ours = ours.expect("just made");
    built("sandbox", ours.bytes() as f64, time);
    let before = resident();
    let mut trie = PrefixMap::new();
    let (time, _) = timed(|| {
        for (net, at) in nets.iter().zip(0u32..) {
            trie.insert(*net, at);
        }
        trie.len() as u64
    });
    let after = resident();
    built("prefix-trie", after - before, time);
    let mut table = IpNetworkTable::new();
    let (time, _) = timed(|| {
        for (net, at) in nets.iter().zip(0u32..) {
            let net = ip_network::Ipv4Network::new(net.network(), net.prefix_len());
            table.insert(net.expect("host bits are clear"), at);
        }
        table.len().0 as u64
    });
    built("ip_network_table", resident() - after, time);
    let mut ranges = None;
    let (time, _) = timed(|| ranges.insert(Ranges::new(&nets)).bytes() as u64);
    let ranges = ranges.expect("just made");
    built("ranges by /16, halving", ranges.bytes() as f64, time);
    let mut dir = None;
    let (time, _) = timed(|| dir.insert(Dir24::new(&nets)).bytes() as u64);
    let dir = dir.expect("just made");
    built("DIR-24-8, 15-bit values", dir.bytes() as f64, time);

    let mut inside = 0;
    for addr in &addrs {
        let mine = ours.longest(IpAddr::V4(*addr));
        let host = Ipv4Net::from(*addr);
        assert_eq!(
            mine,
            trie.get_lpm(&host).map(|(_, at)| *at as usize),
            "{addr}"
        );
        assert_eq!(
            mine,
            table.longest_match_ipv4(*addr).map(|(_, at)| *at as usize),
            "{addr}"
        );
        assert_eq!(
            mine,
            ranges.longest(addr.to_bits()).map(|at| at as usize),
            "{addr}"
        );
        inside += usize::from(mine.is_some());
    }
    // What is done with an answer must not be a branch that nobody can guess: it is not what is compared.
    let contestants = vec![
        Contestant {
            name: "sandbox",
            work: Box::new(|| {
                let found = addrs.iter().map(|addr| ours.longest(IpAddr::V4(*addr)));
                found.map(|at| at.map_or(0, |at| at as u64)).sum()
            }),
        },
        Contestant {
            name: "prefix-trie",
            work: Box::new(|| {
                let found = addrs.iter().map(|addr| trie.get_lpm(&Ipv4Net::from(*addr)));
                found.map(|at| at.map_or(0, |(_, at)| u64::from(*at))).sum()
            }),
        },
        Contestant {
            name: "ip_network_table",
            work: Box::new(|| {
                let found = addrs.iter().map(|addr| table.longest_match_ipv4(*addr));
                found.map(|at| at.map_or(0, |(_, at)| u64::from(*at))).sum()
            }),
        },
        Contestant {
            name: "ranges by /16, halving",
            work: Box::new(|| {
                let found = addrs.iter().map(|addr| ranges.longest(addr.to_bits()));
                found.map(|at| at.map_or(0, u64::from)).sum()
            }),
        },
        Contestant {
            name: "DIR-24-8, 15-bit values",
            work: Box::new(|| {
                addrs
                    .iter()
                    .map(|addr| u64::from(dir.longest(addr.to_bits())))
                    .sum()
            }),
        },
    ];
    Table::of_nets(nets.len(), inside, build, race(addrs.len(), contestants))
}
