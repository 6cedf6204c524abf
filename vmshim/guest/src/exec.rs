//! Running programs for the host.
//!
//! [`serve`] is one program from request to exit code, over any byte stream. It works as an ordinary
//! user's process too, which is how it is tested.

mod account;
mod error;
mod pump;
mod reaper;
mod session;
mod spawn;
mod terminal;

use std::path::Path;

use wire::message::Exec;

pub use account::{Account, Accounts, NoSuchUser};
pub use error::StartError;
pub use reaper::{Child, Group, Reaper};
pub use session::{SessionError, serve};
pub(crate) use spawn::{PATH, find_program};

/// What every program of this sandbox has in common.
#[derive(Debug, Clone)]
pub struct Context {
    /// Collects the programs when they end.
    pub reaper: Reaper,
    /// Variables of the sandbox, before those of the user and of the request.
    pub env: Vec<(String, String)>,
    /// Who a program runs as if the request does not say.
    pub user: String,
}

impl Context {
    /// The accounts as they are now: programs inside may add some.
    fn account(&self, exec: &Exec) -> Result<Account, NoSuchUser> {
        let spec = exec.user.as_deref().unwrap_or(&self.user);
        Accounts::load(Path::new("/etc")).find(spec)
    }
}
