//! Names: the engine beside a hash map that is asked for every suffix, a succinct trie, a transducer, and the
//! engine of a content blocker.

use std::hint::black_box;

use adblock::{Engine, lists::ParseOptions, request::Request};
use fst::raw::Fst;
use hashbrown::HashMap;
use policy_lang::{Policy, Port, Target};

use crate::{
    corpus::{Corpus, compile},
    louds::Louds,
    measure::{Contestant, race, resident, timed},
    report::Table,
};

#[path = "../../../policy-lang/tests/shelf/mod.rs"]
#[allow(dead_code)]
mod shelf;

/// Questions in a round.
const QUESTIONS: usize = 200_000;
/// Names that the content blocker gets: more take minutes to load.
const MOST_FOR_ADBLOCK: usize = 100_000;

/// The rules of one comparison: a blocked list, and some names with ports and wildcards.
struct Rules<'c> {
    words: &'c [String],
    list: String,
    /// Name, first and last port: allowed, whatever the list says.
    ports: Vec<(String, u16, u16)>,
    /// Names all below which is allowed.
    wild: Vec<String>,
}

impl<'c> Rules<'c> {
    fn new(corpus: &'c Corpus, count: usize) -> Self {
        let words = &corpus.words[..count.min(corpus.words.len())];
        let special = words.iter().step_by((count / 200).max(5));
        let names: Vec<_> = special
            .map(|word| word.trim_start_matches('.').to_owned())
            .collect();
        let (ported, wild): (Vec<_>, Vec<_>) = (0..).zip(names).partition(|(at, _)| at % 2 == 0);
        Self {
            words,
            list: corpus.list(count),
            ports: ported
                .into_iter()
                .map(|(at, name)| (name, 443, 443 + at as u16 % 3 * 10))
                .collect(),
            wild: wild.into_iter().map(|(_, name)| name).collect(),
        }
    }

    fn text(&self) -> String {
        let ports = self
            .ports
            .iter()
            .map(|(name, first, last)| match first == last {
                true => format!("allow {name}:{first}\n"),
                false => format!("allow {name}:{first}-{last}\n"),
            });
        let wild = self.wild.iter().map(|name| format!("allow *.{name}:443\n"));
        ports.chain(wild).collect()
    }
}

/// The rules about one name, as the hash map keeps them: as small as the engine's.
#[derive(Default, Clone, Copy)]
struct Mine {
    blocked: bool,
    blocked_below: bool,
    /// First and last port that are allowed; 0 none.
    ports: (u16, u16),
    allowed_below: (u16, u16),
}

impl Mine {
    fn exact(&self, port: u16) -> Option<bool> {
        match self.ports.0 <= port && port <= self.ports.1 {
            true => Some(true),
            false => self.blocked.then_some(false),
        }
    }

    fn below(&self, port: u16) -> Option<bool> {
        match self.allowed_below.0 <= port && port <= self.allowed_below.1 {
            true => Some(true),
            false => self.blocked_below.then_some(false),
        }
    }
}

type Map = HashMap<Box<str>, Mine, foldhash::fast::RandomState>;

fn map(rules: &Rules<'_>) -> Map {
    let mut map = Map::default();
    for word in rules.words {
        let mine = map.entry(word.trim_start_matches('.').into()).or_default();
        mine.blocked = true;
        mine.blocked_below |= word.starts_with('.');
    }
    for (name, first, last) in &rules.ports {
        map.entry(name.as_str().into()).or_default().ports = (*first, *last);
    }
    for name in &rules.wild {
        map.entry(name.as_str().into()).or_default().allowed_below = (443, 443);
    }
    map.shrink_to_fit();
    map
}

/// The name itself, then every suffix, longest first.
fn ask_map(map: &Map, name: &str, port: u16) -> bool {
    if let Some(allowed) = map.get(name).and_then(|mine| mine.exact(port)) {
        return allowed;
    }
    let mut rest = name;
    while let Some((_, parent)) = rest.split_once('.') {
        if let Some(allowed) = map.get(parent).and_then(|mine| mine.below(port)) {
            return allowed;
        }
        rest = parent;
    }
    true
}

/// Reversed names; 1 is the name itself, 2 with all below it.
fn transducer(words: &[String]) -> Fst<Vec<u8>> {
    let key = |word: &String| {
        word.trim_start_matches('.')
            .bytes()
            .rev()
            .collect::<Vec<u8>>()
    };
    let mut keys: Vec<(Vec<u8>, u64)> = words
        .iter()
        .map(|word| (key(word), 1 + u64::from(word.starts_with('.'))))
        .collect();
    keys.sort_unstable_by(|left, right| (&left.0, right.1).cmp(&(&right.0, left.1)));
    keys.dedup_by(|left, right| left.0 == right.0);
    Fst::from_iter_map(keys).expect("keys are sorted")
}

fn ask_transducer(fst: &Fst<Vec<u8>>, name: &str) -> bool {
    let mut node = fst.root();
    let mut sum = 0;
    for byte in name.bytes().rev() {
        if byte == b'.' && node.is_final() && sum + node.final_output().value() == 2 {
            return true;
        }
        let Some(at) = node.find_input(byte) else {
            return false;
        };
        let step = node.transition(at);
        sum += step.out.value();
        node = fst.node(step.addr);
    }
    node.is_final()
}

/// One size.
pub fn compare(corpus: &Corpus, count: usize) -> Table {
    let rules = Rules::new(corpus, count);
    let names = corpus.questions(count, QUESTIONS);
    let ports: Vec<u16> = (0..names.len())
        .map(|at| [443, 80, 443, 8443][at % 4])
        .collect();
    let questions: Vec<(String, u16)> = names.iter().cloned().zip(ports.iter().copied()).collect();
    let targets: Vec<Target> = questions
        .iter()
        .map(|(name, port)| Target::parse(name, Port::new(*port)).expect("names are names"))
        .collect();

    let mut build = Vec::new();
    let mut built =
        |name, bytes: f64, time: f64| build.push((name, bytes / count as f64, time / 1e6));
    let before = resident();
    let (mut policy, mut hash) = (None, None);
    let text = rules.text();
    let (time, _) = timed(|| {
        policy
            .insert(compile(&text, rules.list.clone()))
            .rules()
            .len() as u64
    });
    let policy = policy.expect("just made");
    let after = resident();
    let image = shelf_of(&rules);
    built("sandbox", after - before, time);
    let (time, _) = timed(|| hash.insert(map(&rules)).len() as u64);
    let hash = hash.expect("just made");
    built("hashbrown + foldhash", resident() - after, time);
    let mut louds = None;
    let (time, _) = timed(|| louds.insert(Louds::new(rules.words)).bytes() as u64);
    let louds = louds.expect("just made");
    built("LOUDS", louds.bytes() as f64, time);
    let mut fst = None;
    let (time, _) = timed(|| fst.insert(transducer(rules.words)).size() as u64);
    let fst = fst.expect("just made");
    built("fst", fst.size() as f64, time);

    let agreed = agree(&policy, &targets, &hash, &questions);
    let saved = image.map(|mut shelf| {
        let text = format!("{text}default allow\nblock list \"names\"\n");
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(timed(|| shelf.compile(&text).0.rules().len() as u64).0);
        }
        let time = times.into_iter().fold(f64::INFINITY, f64::min);
        let before = resident();
        let policy = shelf.compile(&text).0;
        built("sandbox, from an image", resident() - before, time);
        policy
    });
    if let Some(saved) = &saved {
        assert_eq!(agree(saved, &targets, &hash, &questions), agreed);
    }
    agree_on_names(&rules, &names, &louds, &fst);

    let engine = (count <= MOST_FOR_ADBLOCK).then(|| {
        let filters = rules
            .words
            .iter()
            .map(|word| format!("||{}^", word.trim_start_matches('.')));
        Engine::from_rules(filters.collect::<Vec<_>>(), ParseOptions::default())
    });
    let urls: Vec<_> = names
        .iter()
        .take(QUESTIONS / 10)
        .map(|name| format!("https://{name}/"))
        .collect();
    let mut contestants = vec![
        Contestant {
            name: "sandbox",
            work: Box::new(|| targets.iter().map(|t| u64::from(ours(&policy, t))).sum()),
        },
        Contestant {
            name: "hashbrown + foldhash",
            work: Box::new(|| {
                questions
                    .iter()
                    .map(|(name, port)| u64::from(ask_map(&hash, name, *port)))
                    .sum()
            }),
        },
        Contestant {
            name: "sandbox, each after the last",
            work: Box::new(|| chain(targets.len(), |at| ours(&policy, &targets[at]))),
        },
        Contestant {
            name: "hashbrown + foldhash, each after the last",
            work: Box::new(|| {
                chain(questions.len(), |at| {
                    ask_map(&hash, &questions[at].0, questions[at].1)
                })
            }),
        },
        Contestant {
            name: "LOUDS",
            work: Box::new(|| names.iter().map(|name| u64::from(louds.has(name))).sum()),
        },
        Contestant {
            name: "fst",
            work: Box::new(|| {
                names
                    .iter()
                    .map(|n| u64::from(ask_transducer(&fst, n)))
                    .sum()
            }),
        },
    ];
    if let Some(saved) = &saved {
        contestants.push(Contestant {
            name: "sandbox, from an image",
            work: Box::new(|| targets.iter().map(|t| u64::from(ours(saved, t))).sum()),
        });
        contestants.push(Contestant {
            name: "sandbox, from an image, each after the last",
            work: Box::new(|| chain(targets.len(), |at| ours(saved, &targets[at]))),
        });
    }
    if let Some(engine) = &engine {
        // Ten times over, so that a round has as many questions as the others'.
        contestants.push(Contestant {
            name: "adblock, URL parsed",
            work: Box::new(|| {
                (0..10)
                    .flat_map(|_| &urls)
                    .map(|url| u64::from(blocks(engine, url)))
                    .sum()
            }),
        });
    }
    Table::of_hosts(count, agreed, build, race(names.len(), contestants))
}

/// The list with its image beside it, in memory, if it is long enough to have one.
fn shelf_of(rules: &Rules<'_>) -> Option<shelf::Shelf> {
    let mut shelf = shelf::Shelf::new(rules.list.clone());
    shelf.compile("block list \"names\"");
    shelf.image.is_some().then_some(shelf)
}

fn ours(policy: &Policy, target: &Target) -> bool {
    policy.admit_host(target).action.is_allow()
}

fn blocks(engine: &Engine, url: &str) -> bool {
    let request = Request::new(url, "https://source.test/", "xhr");
    request.is_ok_and(|request| engine.check_network_request(&request).matched)
}

/// Asks so that each question depends on the answer before it.
fn chain(count: usize, mut ask: impl FnMut(usize) -> bool) -> u64 {
    let mut before = 0;
    let mut sum = 0;
    for at in 0..count {
        // Always 0, which the compiler and the processor cannot know before the answer is there.
        let answer = usize::from(ask(at + (black_box(before) >> 1)));
        sum += answer as u64;
        before = answer;
    }
    sum
}

/// Engine and map must say the same about every question.
fn agree(policy: &Policy, targets: &[Target], map: &Map, questions: &[(String, u16)]) -> usize {
    let allowed = targets
        .iter()
        .zip(questions)
        .filter(|(target, (name, port))| {
            let (mine, other) = (ours(policy, target), ask_map(map, name, *port));
            assert_eq!(mine, other, "{target}");
            mine
        });
    allowed.count()
}

/// The structures without ports must say of every name whether it is listed.
fn agree_on_names(rules: &Rules<'_>, names: &[String], louds: &Louds, fst: &Fst<Vec<u8>>) {
    let listed = compile("", rules.list.clone());
    for name in names {
        let target = Target::parse(name, Port::new(443)).expect("names are names");
        let expected = !ours(&listed, &target);
        assert_eq!(louds.has(name), expected, "LOUDS: {name}");
        assert_eq!(ask_transducer(fst, name), expected, "fst: {name}");
    }
}
