//! The proxy over real sockets, against canary origins that record every byte and a name server that counts questions.
//!
//! Every refusal has a positive control: the same bytes, with the guard lifted, reach the canary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in test functions, but not in their helpers"
)]

mod clients;
mod support;
mod threats;

mod appliance;
mod audit;
mod bombs;
mod certificates;
mod chaos;
mod clock;
mod connect;
mod credentials;
mod disk;
mod exhaustion;
mod faults;
mod framing;
mod http2;
mod intercept;
mod language;
mod logins;
mod names;
mod narrowing;
mod origins;
mod outages;
mod pages;
mod parents;
mod policy;
mod sessions;
mod slow;
mod streaming;
mod upgrade;
