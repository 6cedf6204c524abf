//! What keeps an agent in, and what goes only with one of them.

use vmshim::spec::Isolation;

use crate::args::{IsolationArg, SandboxOptions};
use crate::report::{Failure, USAGE};

/// The isolation that the flags or the environment ask for, if the other flags go with it.
pub(crate) fn choose(options: &SandboxOptions) -> Result<Isolation, Failure> {
    let isolation = match options.isolation {
        Some(IsolationArg::Microvm) => Isolation::MicroVm,
        Some(IsolationArg::Container) => Isolation::Container,
        None => named(std::env::var("SANDBOX_ISOLATION").ok().as_deref())?,
    };
    match isolation {
        Isolation::MicroVm if options.mount_docker_socket => Err(no_docker_socket()),
        isolation => Ok(isolation),
    }
}

fn named(value: Option<&str>) -> Result<Isolation, Failure> {
    match value {
        None | Some("" | "microvm") => Ok(Isolation::MicroVm),
        Some("container") => Ok(Isolation::Container),
        Some(other) => Err(Failure::new(format!("SANDBOX_ISOLATION is `{other}`"))
            .help("set it to microvm or container")
            .code(USAGE)),
    }
}

/// A socket of the host's is no part of a machine of its own.
fn no_docker_socket() -> Failure {
    Failure::new("a microVM cannot have the host's Docker socket")
        .help("leave out --mount-docker-socket, since a template with Docker gives the sandbox a daemon of its own, or use --isolation container")
        .code(USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_rows() {
        for (value, isolation) in [
            (None, Isolation::MicroVm),
            (Some(""), Isolation::MicroVm),
            (Some("microvm"), Isolation::MicroVm),
            (Some("container"), Isolation::Container),
        ] {
            assert_eq!(named(value).unwrap(), isolation, "{value:?}");
        }
        let error = named(Some("jail")).unwrap_err().to_string();
        assert!(error.contains("SANDBOX_ISOLATION is `jail`"), "{error}");
    }
}
