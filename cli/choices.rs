//! From flags to settings: what the caller asks for, and the defaults.

use vmshim::spec::Isolation;

use crate::args::SandboxOptions;
use crate::environment;
use crate::isolation;
use crate::report::Failure;
use crate::settings::Settings;
use crate::volume::Volume;

/// Enough for a package manager and a test suite; more with `--memory`.
const MEMORY_MIB: u32 = 2048;
/// Sparse: takes from the host's disk what is written.
const DISK_GIB: u32 = 20;

impl Settings {
    /// What the caller asked for, and the defaults.
    pub(crate) fn of(options: &SandboxOptions) -> Result<Self, Failure> {
        let isolation = isolation::choose(options)?;
        let volumes = options.volume.iter().map(|volume| volume.resolve());
        Ok(Self {
            cpus: options.cpus.unwrap_or_else(default_cpus),
            memory_mib: options.memory.map_or(MEMORY_MIB, |size| size.mib()),
            disk_gib: options.disk.map_or(DISK_GIB, |size| size.gib()),
            volumes: volumes.collect::<Result<_, _>>()?,
            hide: options.hide.clone(),
            env: environment::collect(&options.env, &options.env_file)?,
            credentials: options.credentials.unwrap_or_default(),
            publish: options.publish.iter().map(|publish| publish.0).collect(),
            isolation,
            docker_socket: options.mount_docker_socket,
        })
    }

    /// Takes over what may change from one start to the next. Returns whether anything did.
    pub(crate) fn adapt(&mut self, options: &SandboxOptions) -> bool {
        let before = self.clone();
        self.cpus = options.cpus.unwrap_or(self.cpus);
        self.memory_mib = options.memory.map_or(self.memory_mib, |size| size.mib());
        if !options.publish.is_empty() {
            self.publish = options.publish.iter().map(|publish| publish.0).collect();
        }
        *self != before
    }

    /// The flags that ask for something else than what the sandbox was made with and keeps.
    pub(crate) fn kept(&self, options: &SandboxOptions) -> Result<Kept, Failure> {
        let asked = Self::of(options)?;
        let mut kept = Kept::default();
        if options.disk.is_some() && asked.disk_gib != self.disk_gib {
            kept.tell("--disk", false);
        }
        if !options.volume.is_empty() && asked.volumes != self.volumes {
            let may_write = |asked: &Volume| {
                let theirs = self.volumes.iter().find(|its| its.guest == asked.guest);
                theirs.is_some_and(|its| asked.read_only && !its.read_only)
            };
            kept.tell("--volume", asked.volumes.iter().any(may_write));
        }
        if !options.hide.is_empty() && asked.hide != self.hide {
            let shown = asked.hide.iter().any(|one| !self.hide.contains(one));
            kept.tell("--hide", shown);
        }
        if options.isolation.is_some() && asked.isolation != self.isolation {
            kept.tell("--isolation", asked.isolation == Isolation::MicroVm);
        }
        if options.credentials.is_some() && asked.credentials != self.credentials {
            kept.tell(
                "--credentials",
                asked.credentials.reach() < self.credentials.reach(),
            );
        }
        if options.mount_docker_socket && !self.docker_socket {
            kept.tell("--mount-docker-socket", false);
        }
        Ok(kept)
    }
}

/// Flags that ask for something else than what a sandbox was made with and keeps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Those that would keep something from the agent: it must not be started without them.
    pub(crate) tighter: Vec<&'static str>,
    /// The others.
    pub(crate) other: Vec<&'static str>,
}

impl Kept {
    pub(crate) fn tell(&mut self, flag: &'static str, tighter: bool) {
        match tighter {
            true => self.tighter.push(flag),
            false => self.other.push(flag),
        }
    }
}

/// All of the machine's processors, at most four: an agent's tools rarely use more.
fn default_cpus() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(4).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        options: SandboxOptions,
    }

    fn options(flags: &[&str]) -> SandboxOptions {
        Flags::try_parse_from(["x"].iter().chain(flags))
            .unwrap()
            .options
    }

    #[test]
    fn some_settings_change_and_others_stay() {
        let flags = [
            "--hide",
            ".env",
            "-v",
            "/srv:/data",
            "--isolation",
            "container",
        ];
        let made = Settings::of(&options(&flags)).unwrap();
        for (flags, changes, tighter, other) in [
            (&[][..], false, &[][..], &[][..]),
            (&["--memory", "4g"], true, &[], &[]),
            (&["--memory", "2g"], false, &[], &[]),
            (&["--publish", "8080:80"], true, &[], &[]),
            (&["--hide", ".env"], false, &[], &[]),
            (&["--hide", "*.key"], false, &["--hide"], &[]),
            (
                &["--hide", "*.key", "--hide", ".env"],
                false,
                &["--hide"],
                &[],
            ),
            (&["--volume", "/srv:/data"], false, &[], &[]),
            (
                &["--volume", "/srv:/data:ro", "--disk", "9g"],
                false,
                &["--volume"],
                &["--disk"],
            ),
            (&["--volume", "/srv:/other:ro"], false, &[], &["--volume"]),
            (&["--credentials", "sandbox"], false, &[], &[]),
            (&["--credentials", "host"], false, &[], &["--credentials"]),
            (&["--credentials", "none"], false, &["--credentials"], &[]),
            (&["--isolation", "microvm"], false, &["--isolation"], &[]),
            (
                &["--isolation", "container", "--mount-docker-socket"],
                false,
                &[],
                &["--mount-docker-socket"],
            ),
            (&["--env", "A=1"], false, &[], &[]),
        ] {
            let options = options(flags);
            assert_eq!(made.clone().adapt(&options), changes, "{flags:?}");
            let kept = made.kept(&options).unwrap();
            assert_eq!(
                (&kept.tighter[..], &kept.other[..]),
                (tighter, other),
                "{flags:?}"
            );
        }
    }
}
