//! Starting and stopping a sandbox: what the commands ask of its supervisor.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use proxy::credentials::{Handed, SERVICES};
use serde_json::Value;
use vmshim::cache::Cache;
use vmshim::client::{self, Client};
use vmshim::image::disk;
use vmshim::kernel;
use vmshim::lock::Lock;
use vmshim::spec::{AccelChoice, Caller, Isolation, STOP_GRACE, Socket, Spec};
use vmshim::status::State;

use crate::credentials;
use crate::guest;
use crate::progress::Progress;
use crate::report::{Failure, Outcome};
use crate::state::{self, Paths, Sandbox, Writing};
use crate::template::{Made, Template};

/// How long a supervisor may take to open its socket; it does so before anything slow.
const SOCKET_DEADLINE: Duration = Duration::from_secs(20);

/// How long a proxy that never answers is waited for.
const PROXY_DEADLINE: Duration = Duration::from_secs(5);

/// Runs the client's side of a conversation.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::doing("cannot start the runtime", &error))?
        .block_on(future)
}

fn told(error: client::Error) -> Failure {
    let help = error.help();
    Failure::of(&error).maybe_help(help)
}

/// Fetches what the first start needs, unless it is cached: a kernel and `template`.
pub(crate) fn prepare(
    paths: &Paths,
    template: &Template,
    isolation: Isolation,
    progress: &Progress,
) -> Result<Made, Failure> {
    let cache = Cache::new(paths.cache());
    if isolation == Isolation::MicroVm {
        kernel_of(&cache, progress)?;
    }
    template.ensure(&cache, progress)
}

/// The kernel and the initial file system that every sandbox boots.
fn kernel_of(cache: &Cache, progress: &Progress) -> Result<(PathBuf, PathBuf), Failure> {
    let configured = std::env::var_os("SANDBOX_KERNEL").map(PathBuf::from);
    let made = kernel::ensure(cache, configured.as_deref(), progress).and_then(|kernel| {
        let initramfs = kernel::initramfs(cache, &kernel, vmshim::GUEST_INIT)?;
        Ok((kernel.image(), initramfs))
    });
    made.map_err(|error| {
        let help = error.help();
        Failure::of(&error).maybe_help(help)
    })
}

/// Starts the sandbox unless it runs, and waits until commands can run in it.
pub(crate) fn ensure_running(
    paths: &Paths,
    sandbox: &Sandbox,
    progress: &Progress,
) -> Result<Client, Failure> {
    if !sandbox.is_running() {
        let handed = credentials::of(sandbox)?;
        let mut spec = {
            let _writing = tidy(sandbox)?;
            spec(paths, sandbox, &handed, progress)?
        };
        let inherited = credentials::Inherited::new(&handed)?;
        spec.proxy_input = Some(inherited.descriptor());
        let mut supervisor = spawn_supervisor(&spec, &handed)?;
        drop(inherited);
        await_socket(&spec, &mut supervisor)?;
    }
    let runtime_dir = paths.runtime(&sandbox.record.id)?;
    block_on(async {
        let client = Client::connect(&runtime_dir).await.map_err(told)?;
        // What was to be told of a start was told when it happened.
        if client.status().await.map_err(told)?.state != State::Ready {
            client.wait_ready(progress).await.map_err(told)?;
            await_proxy(&admin_socket(&runtime_dir)).await;
        }
        Ok(client)
    })
}

/// Waits until the proxy answers, too: a container is there before it. One that cannot start is told of
/// by its own log and by `inspect`; programs inside run all the same.
async fn await_proxy(admin: &Path) {
    let deadline = Instant::now() + PROXY_DEADLINE;
    while proxy::admin::status(admin).is_err() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The certificate authority that was made with the sandbox. One that is gone or damaged is for a person to decide on:
/// a new one in its place would go unnoticed.
fn authority(sandbox: &Sandbox) -> Result<proxy::ca::Authority, Failure> {
    let name = &sandbox.record.name;
    proxy::ca::load(&sandbox.ca_dir()).map_err(|error| {
        Failure::of(&error).help(format!(
            "{}, or make a new one with `sandbox network proxy {name} --renew-ca`",
            error.help()
        ))
    })
}

/// Removes what killed commands left in the sandbox's folder.
fn tidy(sandbox: &Sandbox) -> Result<Writing, Failure> {
    state::writing(&sandbox.dir).map_err(|error| {
        Failure::doing(
            format!("cannot write to `{}`", sandbox.dir.display()),
            &error,
        )
    })
}

/// Everything that the supervisor must know.
fn spec(
    paths: &Paths,
    sandbox: &Sandbox,
    handed: &Handed,
    progress: &Progress,
) -> Result<Spec, Failure> {
    let record = &sandbox.record;
    let settings = &record.settings;
    let (kernel, initramfs) = match settings.isolation {
        Isolation::MicroVm => kernel_of(&Cache::new(paths.cache()), progress)?,
        Isolation::Container => Default::default(),
    };
    if !record.image.exists() {
        return Err(Failure::new(format!(
            "the template of `{}` is gone: `{}`",
            record.name,
            record.image.display()
        ))
        .help("put it back, or remove the sandbox and make it again"));
    }
    if let Some(folder) = record.folders().find(|folder| !folder.exists()) {
        return Err(Failure::new(format!(
            "`{}`, which `{}` shares, is gone",
            folder.display(),
            record.name
        ))
        .help(format!(
            "put it back, or remove the sandbox with `sandbox rm {}`",
            record.name
        )));
    }
    let data_disk = sandbox.dir.join("data.img");
    if settings.isolation == Isolation::MicroVm {
        disk::ensure(&data_disk, u64::from(settings.disk_gib) << 30).map_err(|error| {
            let help = error.help();
            Failure::of(&error).maybe_help(help)
        })?;
    }
    let authority = authority(sandbox)?;
    let runtime_dir = paths.runtime(&record.id)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::doing("cannot find this program's own file", &error))?;
    let internal = |rest: &[&OsStr]| -> Vec<OsString> {
        let first = [program.as_os_str(), "internal".as_ref()];
        first.iter().chain(rest).map(Into::into).collect()
    };
    Ok(Spec {
        name: record.name.to_string(),
        id: record.id.clone(),
        state_dir: sandbox.dir.clone(),
        cache_dir: paths.cache().to_owned(),
        kernel,
        initramfs,
        template: record.image.clone(),
        data_disk,
        cpus: settings.cpus,
        memory_mib: settings.memory_mib,
        shares: guest::shares(record),
        publish: settings.publish.clone(),
        seeds: guest::seeds(record, handed),
        caller: Caller::current(),
        hostname: record.name.as_str().replace(['_', '+', '.'], "-"),
        ca_pem: Some(authority.pem().to_owned()),
        env: guest::env(record, handed),
        isolation: settings.isolation,
        accel: accel()?,
        proxy_command: internal(&[
            "proxy".as_ref(),
            "--name".as_ref(),
            record.name.as_str().as_ref(),
            "--config".as_ref(),
            sandbox.config().as_ref(),
            "--ca-dir".as_ref(),
            sandbox.ca_dir().as_ref(),
            "--lists".as_ref(),
            paths.lists().as_ref(),
            "--log".as_ref(),
            sandbox.network_log().as_ref(),
            "--admin".as_ref(),
            admin_socket(&runtime_dir).as_ref(),
            "--channel".as_ref(),
            Socket::GuestData.path(&runtime_dir).as_ref(),
        ]),
        proxy_input: None,
        helper_command: internal(&["helper".as_ref()]),
        runtime_dir,
    })
}

fn accel() -> Result<AccelChoice, Failure> {
    match std::env::var("SANDBOX_ACCEL").as_deref() {
        Err(_) | Ok("" | "auto") => Ok(AccelChoice::Auto),
        Ok("kvm") => Ok(AccelChoice::Kvm),
        Ok("tcg") => Ok(AccelChoice::Tcg),
        Ok(other) => {
            Err(Failure::new(format!("SANDBOX_ACCEL is `{other}`"))
                .help("set it to auto, kvm or tcg"))
        }
    }
}

fn admin_socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("adm")
}

/// The file that a supervisor complains to while nobody listens on its socket.
fn complaints(spec: &Spec) -> PathBuf {
    spec.state_dir.join("supervisor.err")
}

fn spawn_supervisor(spec: &Spec, secrets: &Handed) -> Result<Child, Failure> {
    let start = || -> std::io::Result<Child> {
        let json = serde_json::to_vec(spec)?;
        let mut command = Command::new(std::env::current_exe()?);
        // Also those that this sandbox has no use for: the supervisor and the VMM have none for any.
        let known = SERVICES.iter().flat_map(|service| service.variables);
        for name in known.copied().chain(secrets.names()) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["internal", "supervise"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(complaints(spec))?)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&json)?;
        }
        Ok(child)
    };
    start().map_err(|error| Failure::doing("cannot start the sandbox's supervisor", &error))
}

/// Waits for the supervisor to listen, or for its last words.
fn await_socket(spec: &Spec, supervisor: &mut Child) -> Result<(), Failure> {
    let deadline = Instant::now() + SOCKET_DEADLINE;
    let socket = spec.socket(Socket::Control);
    loop {
        if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            return Ok(());
        }
        if let Ok(Some(_)) = supervisor.try_wait() {
            let said = std::fs::read_to_string(complaints(spec)).unwrap_or_default();
            let said = said.trim().trim_start_matches("error: ");
            let (message, help) = match said.split_once("\nhelp: ") {
                Some((message, help)) => (message, Some(help)),
                None => (said, None),
            };
            // Somebody else started it at the same moment: that is as good.
            if sandbox_is_locked(spec) {
                continue;
            }
            return Err(Failure::new(message).maybe_help(help));
        }
        if Instant::now() > deadline {
            return Err(Failure::new("the sandbox's supervisor does not answer")
                .help(format!("see `{}`", complaints(spec).display())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn sandbox_is_locked(spec: &Spec) -> bool {
    Lock::is_taken(&spec.lock())
}

/// Stops the sandbox if it runs; returns when nothing of it is left.
pub(crate) fn stop(paths: &Paths, sandbox: &Sandbox) -> Result<(), Failure> {
    if !sandbox.is_running() {
        return Ok(());
    }
    let runtime_dir = paths.runtime(&sandbox.record.id)?;
    block_on(async {
        match Client::connect(&runtime_dir).await {
            Ok(client) => client.stop(STOP_GRACE).await.map_err(told),
            Err(client::Error::NotRunning) => Ok(()),
            Err(error) => Err(told(error)),
        }
    })
}

/// Makes the proxy of a running sandbox read its policy now, and waits until it has.
pub(crate) fn reload_policy(paths: &Paths, sandbox: &Sandbox) -> Result<(), Failure> {
    let socket = admin_socket(&paths.runtime(&sandbox.record.id)?);
    proxy::admin::reload(&socket).map(|_| ()).map_err(|error| {
        Failure::doing("the policy is saved, but the proxy did not take it", &error)
            .help(format!("see `sandbox inspect {}`", sandbox.record.name))
    })
}

/// Gives the proxy of a running sandbox what the caller's environment has now.
pub(crate) fn renew_credentials(paths: &Paths, sandbox: &Sandbox) -> Result<(), Failure> {
    let handed = credentials::of(sandbox)?;
    let socket = admin_socket(&paths.runtime(&sandbox.record.id)?);
    proxy::admin::credentials(&socket, &handed)
        .map(|_| ())
        .map_err(|error| Failure::doing("the proxy did not take the credentials", &error))
}

/// The credentials that the proxy of a running sandbox has in force, by name.
pub(crate) fn active_credentials(
    paths: &Paths,
    sandbox: &Sandbox,
) -> Result<Vec<proxy::credentials::Active>, Failure> {
    let socket = admin_socket(&paths.runtime(&sandbox.record.id)?);
    let status = proxy::admin::status(&socket);
    status
        .map(|status| status.credentials)
        .map_err(|error| Failure::doing("cannot ask the proxy for its credentials", &error))
}

/// What the proxy of a sandbox says of itself, if it runs.
pub(crate) fn proxy_status(
    paths: &Paths,
    sandbox: &Sandbox,
) -> Result<Option<proxy::admin::Status>, Failure> {
    if !sandbox.is_running() {
        return Ok(None);
    }
    let runtime_dir = paths.runtime(&sandbox.record.id)?;
    Ok(proxy::admin::status(&admin_socket(&runtime_dir)).ok())
}

/// What the processes of a running sandbox say of themselves, for `inspect`.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) vm: Option<Value>,
    pub(crate) policy: Option<Value>,
}

/// Asks them; what does not answer is left out.
pub(crate) fn live_state(paths: &Paths, sandbox: &Sandbox) -> Live {
    let ask = async {
        let runtime_dir = paths.runtime(&sandbox.record.id)?;
        let client = Client::connect(&runtime_dir).await.map_err(told)?;
        let status = client.status().await.map_err(told)?;
        let proxy = proxy::admin::status(&admin_socket(&runtime_dir)).ok();
        Ok(Live {
            vm: serde_json::to_value(status).ok(),
            policy: proxy.and_then(|status| serde_json::to_value(status).ok()),
        })
    };
    block_on(ask).unwrap_or_default()
}

/// `sandbox internal supervise`: the process that is the sandbox.
pub(crate) fn supervise() -> Outcome {
    let mut json = Vec::new();
    let read = std::io::stdin().read_to_end(&mut json);
    read.map_err(|error| Failure::doing("cannot read the specification", &error))?;
    let spec: Spec = serde_json::from_slice(&json)
        .map_err(|error| Failure::doing("this command is for the sandbox's own use", &error))?;
    vmshim::supervise::run(spec).map_err(|error| {
        let help = error.help();
        Failure::of(&error).maybe_help(help)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `sandbox internal helper`: the VMM or the server of a shared folder.
pub(crate) fn helper(role: &OsStr) -> Outcome {
    vmshim::helper::main(role).map_err(|error| Failure::of(&error))?;
    Ok(ExitCode::SUCCESS)
}
