//! One process, many policies: a directory with one file for each, and one of them for each listener or client.
//!
//! A client is who its password says it is (`Proxy-Authorization`, RFC 9110 §11.7), and nothing else that it sends has a
//! say in it. Its credentials are looked at where it is met and go no further.

mod clients;
mod members;
mod name;
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use policy_lang::Policy;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::accept::Accept;
use crate::context::Context;
use crate::credentials::{Credentials, Handed};
use crate::entrance;
use crate::error::StartError;
use crate::exporter::{self, Reading};
use crate::ground::Ground;
use crate::live::Live;
use crate::options::Options;
use crate::room::Room;
use crate::server::{HOUSEKEEPING, until_stopped};
use crate::watch::{self, Directories};

pub use clients::{Clients, ClientsError, add};
pub(crate) use members::{Member, Members};
use members::{Table, Who};
pub use name::{Name, NameError};
use policies::{Found, Policies};

/// Whose policy the connections of a listener are under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// This one's, whoever connects.
    Policy(Name),
    /// Each client's own; who is not known gets a 407.
    Clients,
}

/// The files of an appliance.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The directory of policies. Watched; never written.
    pub directory: PathBuf,
    /// The file of clients (see [`Clients::read`]). Watched; never written.
    pub clients: Option<PathBuf>,
    /// Every listener that will be served.
    pub doors: Vec<Door>,
}

/// The filtering proxy of many.
pub struct Appliance {
    ground: Ground,
    handed: Handed,
    plan: Plan,
    members: Arc<Members>,
    seen: Mutex<Seen>,
}

/// The files as they were last.
struct Seen {
    policies: Policies,
    clients: Clients,
    /// What is wrong with each policy, and with the file of clients.
    troubles: BTreeMap<Option<Name>, String>,
}

impl Appliance {
    /// Loads every policy that a door or a client wants, and starts watching. Serves nothing yet.
    ///
    /// `options.config` is not looked at. Every file must be good; later, one that is wrong changes nothing.
    pub async fn start(options: Options, plan: Plan) -> Result<Arc<Self>, StartError> {
        // Tokens of one client's login must not be another's: none is kept where both would look.
        let options = Options {
            login_store: None,
            ..options
        };
        let (ground, trust) = Ground::new(&options)?;
        let nobody = Arc::new(Live::fixed(Policy::deny_all()));
        let nothing = Credentials::new(Handed::default(), None).map_err(StartError::Credentials)?;
        let nobody = ground.context(&options.name, nobody, nothing)?;
        for warning in &trust {
            nobody.recorder.config(1, false, warning);
        }
        let appliance = Arc::new(Self {
            ground,
            handed: options.handed,
            seen: Mutex::new(Seen {
                policies: Policies::new(plan.directory.clone(), options.lists),
                clients: Clients::default(),
                troubles: BTreeMap::new(),
            }),
            plan,
            members: Arc::new(Members::new(nobody.clone())),
        });
        appliance.look().await;
        let troubles = appliance.troubles();
        if !troubles.is_empty() {
            return Err(StartError::Appliance(troubles));
        }
        if let Some(address) = options.metrics {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| StartError::Metrics { address, source })?;
            let address = listener.local_addr().unwrap_or(address);
            appliance.ground.local.listens(address);
            let read = appliance.clone();
            let exporting = exporter::serve(listener, move || read.readings());
            tokio::spawn(until_stopped(nobody.clone(), exporting));
        }
        tokio::spawn(until_stopped(nobody.clone(), watched(appliance.clone())));
        tokio::spawn(until_stopped(nobody.clone(), located(appliance.clone())));
        tokio::spawn(until_stopped(nobody, housekeeping(appliance.clone())));
        Ok(appliance)
    }

    /// Serves the connections of `accept` until [`Appliance::shutdown`], or until accepting fails for good.
    ///
    /// From the call on, and not from the first poll, nobody is let through to the socket behind `accept`.
    pub fn serve<A: Accept>(
        self: Arc<Self>,
        accept: A,
        door: Door,
    ) -> impl Future<Output = io::Result<()>> + Send {
        if let Some(address) = accept.local_addr() {
            self.ground.local.listens(address);
        }
        let members = self.members.clone();
        entrance::accepting(members.nobody.clone(), accept, move |client| match &door {
            Door::Clients => entrance::meet(&members, client),
            Door::Policy(policy) => match members.of_listener(policy) {
                Ok(context) => entrance::take(&context, client),
                Err(_) => entrance::refuse(&members, client),
            },
        })
    }

    /// Looks at all files now, as it does by itself when one changes.
    pub async fn look(self: &Arc<Self>) {
        let looking = self.clone();
        // Reading and compiling may take long for a long list.
        let _ = tokio::task::spawn_blocking(move || looking.look_now()).await;
    }

    /// What is wrong with the files as they are.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.troubles.values().cloned().collect()
    }

    /// Takes no more connections, lets requests finish for as long as [`crate::Limits::drain`] says, then drops the rest.
    pub async fn shutdown(&self) {
        let table = self.members.table();
        for context in table.served.values() {
            context.draining.cancel();
        }
        // Whoever is met last is handed on before this ends.
        self.members.nobody.end().await;
        let mut ending = JoinSet::new();
        for context in table.served.values() {
            let context = context.clone();
            ending.spawn(async move { context.end().await });
        }
        ending.join_all().await;
    }

    /// Tells how much memory there is for what clients ask: see [`Proxy::set_room`](crate::Proxy::set_room).
    pub fn set_room(&self, room: Room) {
        for context in self.members.table().served.values() {
            context.make_room(room);
        }
        self.ground.crowd.set(room);
    }

    /// The authority's certificate as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.ground.minter.authority_pem()
    }

    fn look_now(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut *seen;
        if let Some(path) = &self.plan.clients {
            let read = Clients::read(path).map_err(|error| error_chain(&error));
            if let Some(clients) = self.judge(&mut seen.troubles, None, read) {
                seen.clients = clients;
            }
        }
        let wanted = self.wanted(&seen.clients);
        let names: BTreeSet<Name> = wanted.values().cloned().collect();
        seen.policies.keep(&names);
        seen.troubles
            .retain(|name, _| name.as_ref().is_none_or(|name| names.contains(name)));
        for name in &names {
            self.look_at(seen, name);
        }
        self.serve_all(seen, &wanted);
    }

    /// Who is to be served, and under which policy.
    fn wanted(&self, clients: &Clients) -> BTreeMap<Who, Name> {
        let listeners = self.plan.doors.iter().filter_map(|door| match door {
            Door::Policy(policy) => Some((Who::Listener(policy.clone()), policy.clone())),
            Door::Clients => None,
        });
        let clients = clients
            .iter()
            .map(|client| (Who::Client(client.name.clone()), client.policy.clone()));
        listeners.chain(clients).collect()
    }

    fn look_at(&self, seen: &mut Seen, name: &Name) {
        let recorder = &self.members.nobody.recorder;
        let found = match seen.policies.look(name) {
            Found::Same => Ok(()),
            Found::Changed(live, warnings) => {
                let generation = live.generation();
                let told = format!("policy {generation} of `{name}` is in force");
                recorder.config(generation, false, &told);
                for warning in warnings {
                    recorder.config(generation, false, &format!("`{name}`: {warning}"));
                }
                Ok(())
            }
            Found::Wrong(what) | Found::Missing(what) => Err(format!("policy `{name}`: {what}")),
        };
        self.judge(&mut seen.troubles, Some(name), found);
    }

    /// Tells of a trouble once.
    fn judge<T>(
        &self,
        troubles: &mut BTreeMap<Option<Name>, String>,
        about: Option<&Name>,
        found: Result<T, String>,
    ) -> Option<T> {
        match found {
            Ok(good) => {
                troubles.remove(&about.cloned());
                Some(good)
            }
            Err(what) => {
                let about = about.cloned();
                if troubles.get(&about) != Some(&what) {
                    self.members.nobody.recorder.config(0, true, &what);
                    troubles.insert(about, what);
                }
                None
            }
        }
    }

    /// Puts everybody who is `wanted` in their place, and ends what those do who no longer are, or are not the same.
    fn serve_all(&self, seen: &Seen, wanted: &BTreeMap<Who, Name>) {
        let old = self.members.table();
        let mut served = BTreeMap::new();
        for (who, policy) in wanted {
            let Some(live) = seen.policies.live(policy) else {
                continue;
            };
            let stays = |context: &&Arc<Context>| {
                Arc::ptr_eq(&context.live, live) && is_same(who, &old.clients, &seen.clients)
            };
            let context = match old.served.get(who).filter(stays) {
                Some(context) => context.clone(),
                None => match self.context(who, live) {
                    Ok(context) => context,
                    Err(error) => {
                        self.members
                            .nobody
                            .recorder
                            .config(0, true, &error.to_string());
                        continue;
                    }
                },
            };
            context.sweep();
            served.insert(who.clone(), context);
        }
        let ended: Vec<_> = old
            .served
            .iter()
            .filter(|(who, context)| {
                let now = served.get(who);
                now.is_none_or(|now| !Arc::ptr_eq(now, context))
            })
            .map(|(_, context)| context.clone())
            .collect();
        self.members.replace(Table {
            clients: seen.clients.clone(),
            served,
        });
        for context in ended {
            context.stop();
        }
    }

    fn context(&self, who: &Who, live: &Arc<Live>) -> Result<Arc<Context>, StartError> {
        let (Who::Listener(name) | Who::Client(name)) = who;
        let credentials =
            Credentials::new(self.handed.clone(), None).map_err(StartError::Credentials)?;
        self.ground
            .context(name.as_str(), live.clone(), credentials)
    }

    /// Lets go of what no policy in force would grant.
    fn sweep(&self) {
        for context in self.members.table().served.values() {
            context.sweep();
        }
    }

    fn readings(&self) -> Vec<Reading> {
        let degraded = self.troubles().first().cloned();
        let nobody = Reading::of(&self.members.nobody, "", degraded);
        let table = self.members.table();
        let served = table.served.iter().map(|(who, context)| {
            let labels = match who {
                Who::Listener(name) => format!("{{policy=\"{name}\"}}"),
                Who::Client(name) => format!("{{client=\"{name}\"}}"),
            };
            Reading::of(
                context,
                &labels,
                context.live.error().map(|e| e.to_string()),
            )
        });
        std::iter::once(nobody).chain(served).collect()
    }
}

/// Whether a client has kept its password.
fn is_same(who: &Who, old: &Clients, new: &Clients) -> bool {
    let Who::Client(name) = who else { return true };
    let of = |clients: &Clients| {
        let mut clients = clients.iter();
        clients
            .find(|client| client.name == *name)
            .map(|client| client.digest)
    };
    of(old) == of(new)
}

fn error_chain(error: &ClientsError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

async fn watched(appliance: Arc<Appliance>) {
    let mut directories = Directories::new();
    loop {
        let mut files = {
            let seen = appliance
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            seen.policies.files()
        };
        files.extend(appliance.plan.clients.clone());
        directories.follow(&files);
        watch::quiet(&directories).await;
        appliance.look().await;
    }
}

async fn housekeeping(appliance: Arc<Appliance>) {
    let mut ticks = interval(HOUSEKEEPING);
    loop {
        ticks.tick().await;
        appliance.sweep();
    }
}

/// Lets go of connections to addresses that have become this machine's.
async fn located(appliance: Arc<Appliance>) {
    let local = &appliance.ground.local;
    local.follow(|| appliance.sweep()).await;
}
