//! A lookup allocates nothing, and a listed name costs little more than its bytes in the list.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod shelf;

use fastrand::Rng;
use policy_lang::{
    LocalAddrs, Policy, Target,
    language::{File, Source},
};
use shelf::Shelf;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The system's allocator, counted.
struct Counted;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// 18 bytes on average, as in published lists; three in ten have a third label.
fn names(count: usize) -> Vec<String> {
    let mut rng = Rng::with_seed(0x11575);
    let endings = [
        "com", "com", "net", "org", "de", "ru", "info", "co.uk", "com.br", "io",
    ];
    let word = |least: usize, rng: &mut Rng| -> String {
        (0..least + rng.usize(..11))
            .map(|_| rng.lowercase())
            .collect()
    };
    let made = (0..count).map(|_| {
        let below = if rng.u8(..10) < 3 {
            word(2, &mut rng) + "."
        } else {
            String::new()
        };
        format!(
            "{below}{}.{}",
            word(4, &mut rng),
            rng.choice(endings).unwrap()
        )
    });
    made.collect()
}

const RULES: &str =
    "default allow\nallow a.test:443\nallow *.b.test\nbypass *.c.test\nblock list \"l\"\n";

fn listed(names: &[String]) -> Policy {
    let text: String = names.iter().map(|name| format!(".{name}\n")).collect();
    let mut load = |_, name: &str, _: &str| {
        let (name, text) = (name.into(), text.clone());
        Ok(Source { name, text })
    };
    File::parse(RULES, "test")
        .unwrap()
        .compile(&mut load)
        .unwrap()
        .0
}

/// One test, because the counters are the process's.
#[test]
fn lookups_allocate_nothing_and_names_cost_little() {
    let names = names(1_000_000);
    let before = LIVE.load(Relaxed);
    let policy = listed(&names);
    let each = (LIVE.load(Relaxed) - before) as f64 / names.len() as f64;
    assert!(each <= 28.0, "{each:.1} bytes a name");

    decide_without_allocating(&policy, &names);

    // The image is no part of it: it stands for a file.
    let mut shelf = Shelf::new(names.iter().map(|name| format!(".{name}\n")).collect());
    shelf.compile(RULES);
    let before = LIVE.load(Relaxed);
    let (policy, _) = shelf.compile(RULES);
    let each = (LIVE.load(Relaxed) - before) as f64 / names.len() as f64;
    assert_eq!(shelf.loads, 1);
    assert!(each <= 10.0, "{each:.1} bytes a name from an image");
    decide_without_allocating(&policy, &names);
}

fn decide_without_allocating(policy: &Policy, names: &[String]) {
    let hosts = [
        "a.test",
        "x.b.test",
        "y.c.test",
        "none.test",
        "203.0.113.7",
        "[2001:db8::1]",
    ];
    let hosts = hosts.into_iter().map(str::to_owned);
    let listed = names
        .iter()
        .take(1_000)
        .flat_map(|name| [name.clone(), format!("www.{name}")]);
    let targets: Vec<_> = hosts
        .chain(listed)
        .map(|host| Target::parse(&host, Some(policy_lang::Port::HTTPS)).unwrap())
        .collect();
    let local = LocalAddrs::new(["192.0.2.1".parse().unwrap()]);
    let addrs = ["203.0.113.7", "64:ff9b::10.0.0.1"].map(|addr| addr.parse().unwrap());
    let calls = CALLS.load(Relaxed);
    let mut denied = 0;
    for (target, addr) in targets
        .iter()
        .flat_map(|target| addrs.map(|addr| (target, addr)))
    {
        let host = policy.admit_host(target);
        denied += usize::from(!host.action.is_allow());
        black_box(policy.admit_addr(target, host, addr, &local));
        black_box(policy.carriage(target, addr));
        black_box(policy.admit_request(target, "GET", "/"));
    }
    assert_eq!(CALLS.load(Relaxed) - calls, 0, "a lookup allocated");
    assert_eq!(
        denied,
        2 * 2 * 1_000,
        "every listed name and all below it is blocked"
    );
}
