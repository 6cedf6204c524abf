//! One file a command.

mod completion;
mod create;
mod diff;
mod doctor;
mod exec;
mod inspect;
mod internal;
mod legacy;
mod ls;
mod memory;
mod metadata;
mod network_log;
mod network_proxy;
pub(crate) mod policy;
mod prepare;
mod proxy;
mod reset;
mod rm;
mod run;
mod running;
mod save;
mod stop;
mod template;
mod version;

use crate::args::{Command, NetworkCommand};
use crate::report::Outcome;

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(args),
        Command::Create(args) => create::run(args),
        Command::Exec(args) => exec::run(args),
        Command::Ls(args) => ls::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Stop(args) => stop::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Network(NetworkCommand::Proxy(args)) => network_proxy::run(&args),
        Command::Network(NetworkCommand::Log(args)) => network_log::run(&args),
        Command::Policy(command) => policy::run(command),
        Command::Proxy(args) => proxy::run(args),
        Command::Prepare(options) => prepare::run(&options),
        Command::Reset(args) => reset::run(&args),
        Command::Save(args) => save::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Template(command) => template::run(command),
        Command::Doctor(args) => doctor::run(&args),
        Command::Legacy(command) => legacy::run(command),
        Command::Completion(args) => completion::run(&args),
        Command::DockerCliPluginMetadata => metadata::run(),
        Command::Version => version::run(),
        Command::Internal(command) => internal::run(command),
    }
}
