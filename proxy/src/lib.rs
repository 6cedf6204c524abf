//! The data path: takes connections from a guest, asks the policy, and carries what it allows.
//!
//! The life of a request, by function name: [`Accept::accept`] → `entrance::take` → `Conn::first` (the strict reading of a head) →
//! `Scope::asked` (one canonical `Target`) → `Gate::admit` (host, resolve, addresses; the only maker of a `Permit`) →
//! `route::{tunnel, mitm}` or `exchange::answer` → `upstream::dial` (takes a `Permit` and nothing else) → relay →
//! `Record::finish` (one log line).
#![forbid(unsafe_code)]

mod accept;
pub mod admin;
mod answer;
pub mod appliance;
pub mod audit;
mod budgets;
mod cause;
mod context;
pub mod credentials;
mod denial;
mod downstream;
mod entrance;
mod error;
mod exchange;
mod exporter;
mod gate;
mod ground;
mod headers;
mod http1;
mod io;
mod list_images;
mod live;
mod load;
mod local;
mod lookup;
mod metrics;
mod options;
mod pages;
mod panics;
mod policy_file;
mod private_file;
mod rates;
mod record;
mod request;
mod resolve;
mod revocation;
mod room;
mod route;
mod seldom;
mod server;
mod session;
mod sources;
mod stage;
mod stall;
mod terms;
mod tls;
mod traffic;
mod upstream;
mod watch;

pub use accept::{Accept, is_transient};
pub use error::StartError;
pub use local::local_addrs;
pub use lookup::{LookupError, lookup};
pub use metrics::Counters;
pub use options::{Limits, Options};
pub use policy_file::{ConfigError, Form, PolicyFile};
pub use room::Room;
pub use server::Proxy;
pub use tls::ca;
pub use upstream::parent;
