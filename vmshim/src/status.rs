//! What a sandbox is doing, as its supervisor tells it.

use serde::{Deserialize, Serialize};

use crate::engine::Accel;
use crate::spec::Publish;

/// The state of a sandbox that has a supervisor, and what people should know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Things said once while it started.
    pub notes: Vec<String>,
    /// How the guest's instructions are carried out, once that is decided.
    pub accel: Option<Accel>,
    /// What the start took, once it is over.
    pub timings: Option<Timings>,
    /// The supervisor's process.
    pub pid: u32,
    /// The VMM's process, while there is one.
    pub vmm_pid: Option<u32>,
    /// Ports of the guest, and where the host really listens for each.
    #[serde(default)]
    pub published: Vec<Publish>,
}

/// What a sandbox is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum State {
    /// On its way to [`State::Ready`].
    Starting {
        /// What it is busy with.
        phase: String,
    },
    /// Programs can run.
    Ready,
    /// On its way to [`State::Stopped`].
    Stopping,
    /// Ended as asked, or by the guest itself.
    Stopped,
    /// Ended, and nobody asked.
    Failed {
        /// One sentence.
        message: String,
        /// What can be done about it.
        help: Option<String>,
    },
}

impl State {
    /// Whether nothing can follow.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed { .. })
    }
}

/// What a start took, in milliseconds. The parts follow each other and add up to the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// The supervisor's own preparation until the VMM's process was made.
    pub host_before_ms: u64,
    /// VMM, firmware and kernel until the guest's first process.
    pub kernel_ms: u64,
    /// The guest's first process until it could be configured: modules, disks, root.
    pub init_ms: u64,
    /// Configuring the guest.
    pub ready_ms: u64,
    /// The rest, until the supervisor knew.
    pub host_after_ms: u64,
    /// All of it.
    pub total_ms: u64,
}

impl Timings {
    /// Splits a start that was clocked on both sides. Both clocks tick alike but started at different times.
    pub(crate) fn split(host: HostClock, guest: wire::message::Timings) -> Self {
        let init = guest.init_ms.unwrap_or_default();
        let heard = guest.host_ms.or(guest.root_ms).unwrap_or(init);
        let ready = guest.ready_ms.unwrap_or(heard);
        let init_ms = heard.saturating_sub(init);
        let until_hello = host.hello_ms.saturating_sub(host.spawned_ms);
        let known = Self {
            host_before_ms: host.spawned_ms,
            kernel_ms: until_hello.saturating_sub(init_ms),
            init_ms,
            ready_ms: ready.saturating_sub(heard),
            host_after_ms: 0,
            total_ms: host.ready_ms,
        };
        let sum = known.host_before_ms + known.kernel_ms + known.init_ms + known.ready_ms;
        Self {
            host_after_ms: known.total_ms.saturating_sub(sum),
            ..known
        }
    }
}

/// Moments of a start on the host's clock, in milliseconds since the supervisor began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HostClock {
    /// The VMM's process was made.
    pub(crate) spawned_ms: u64,
    /// The guest said hello.
    pub(crate) hello_ms: u64,
    /// The guest said that it is ready.
    pub(crate) ready_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up() {
        let host = HostClock {
            spawned_ms: 50,
            hello_ms: 1_600,
            ready_ms: 2_000,
        };
        let guest = wire::message::Timings {
            init_ms: Some(900),
            modules_ms: Some(1_000),
            root_ms: Some(1_150),
            host_ms: Some(1_200),
            ready_ms: Some(1_500),
        };
        let wanted = Timings {
            host_before_ms: 50,
            kernel_ms: 1_250,
            init_ms: 300,
            ready_ms: 300,
            host_after_ms: 100,
            total_ms: 2_000,
        };
        assert_eq!(Timings::split(host, guest), wanted);
    }

    #[test]
    fn states_have_names_in_json() {
        let rows = [
            (State::Ready, r#"{"is":"ready"}"#),
            (
                State::Starting { phase: "x".into() },
                r#"{"is":"starting","phase":"x"}"#,
            ),
            (
                State::Failed {
                    message: "m".into(),
                    help: None,
                },
                r#"{"is":"failed","message":"m","help":null}"#,
            ),
        ];
        for (state, text) in rows {
            assert_eq!(serde_json::to_string(&state).unwrap(), text);
            assert_eq!(serde_json::from_str::<State>(text).unwrap(), state);
        }
    }
}
