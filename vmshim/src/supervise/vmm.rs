//! The VMM's process.

use std::process::Stdio;
use std::sync::Arc;

use super::child::Helper;
use super::contained::Container;
use super::{Board, Error, console};
use crate::container::Unserved;
use crate::engine::{Accel, Engine, Machine};
use crate::helper::{self, Role, VmmArgs};
use crate::spec::Spec;

/// A running virtual machine, or the container in its place.
pub(super) struct Vmm {
    helper: Helper,
    spec: Spec,
    container: Option<Container>,
}

/// How a VM ended.
pub(super) enum End {
    /// The guest powered off.
    PoweredOff,
    /// Anything else.
    Unexpected(Error),
}

impl Vmm {
    /// Starts the machine that `spec` asks for.
    pub(super) fn start(
        spec: &Spec,
        accel: Accel,
        engine: &dyn Engine,
        board: &Arc<Board>,
    ) -> Result<Self, Error> {
        let machine = Machine::new(spec, accel);
        let mut command = helper::command(&spec.helper_command, &role(spec, &machine, engine))
            .map_err(Error::doing("start the virtual machine"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self::watched(
            Helper::start(command, board)?,
            spec,
            None,
            board,
        ))
    }

    /// Starts a container in the machine's place. It waits for the folders that are returned.
    pub(super) async fn contain(
        spec: &Spec,
        board: &Arc<Board>,
    ) -> Result<(Self, Vec<Unserved>), Error> {
        let (helper, container, unserved) = Container::start(spec, board).await?;
        let vmm = Self::watched(helper, spec, Some(container), board);
        Ok((vmm, unserved))
    }

    fn watched(
        mut helper: Helper,
        spec: &Spec,
        container: Option<Container>,
        board: &Board,
    ) -> Self {
        if let Some(stdout) = helper.process.stdout.take() {
            tokio::spawn(console::record(stdout, spec.console_log()));
        }
        let pid = helper.process.id();
        board.update(|status| status.vmm_pid = pid);
        Self {
            helper,
            spec: spec.clone(),
            container,
        }
    }

    /// Waits for the machine's end. Cancel safe.
    pub(super) async fn wait(&mut self) -> End {
        match self.helper.wait().await {
            Some(status) if status.success() => End::PoweredOff,
            _ => End::Unexpected(Error::Vmm {
                said: self.helper.last_words().await,
                console: self.spec.console_log(),
            }),
        }
    }

    /// Ends the machine at once.
    pub(super) async fn kill(&mut self) {
        match &mut self.container {
            Some(container) => container.kill(&mut self.helper).await,
            None => self.helper.kill().await,
        }
    }
}

fn role(spec: &Spec, machine: &Machine, engine: &dyn Engine) -> Role {
    let mut read = engine.reads();
    read.extend([&machine.kernel, &machine.initramfs, &machine.template].map(Clone::clone));
    // What QEMU asks the kernel about processors and memory.
    read.extend(["/proc", "/sys/devices/system", "/dev/urandom"].map(Into::into));
    let mut write = vec![machine.data_disk.clone(), spec.runtime_dir.clone()];
    write.extend(["/dev/kvm", "/dev/null", "/dev/zero"].map(Into::into));
    Role::Vmm(VmmArgs {
        parent: super::own_pid(),
        caller: spec.caller,
        argv: engine.argv(machine),
        read,
        write,
    })
}
