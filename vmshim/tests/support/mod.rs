//! A prepared sandbox for a test, with its supervisor as a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "clippy's leave for tests does not reach their helpers"
)]
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vmshim::cache::Cache;
use vmshim::client::Client;
use vmshim::image::{Recipe, Sources, disk};
use vmshim::progress::{Event, Progress};
use vmshim::spec::{AccelChoice, Caller, Isolation, Share, Spec};
use vmshim::status::Status;
use vmshim::{GUEST_INIT, image, kernel};
use wire::exec::Exit;
use wire::message::Exec;

/// Does nothing but show that it lives, as a proxy must.
pub(crate) const PROXY: &str = "while :; do echo; sleep 1; done";

/// Far longer than anything takes: a loaded machine that emulates is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// The program that tests re-execute.
pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_vmshim-test-helper");

/// A sandbox that is ready to be started, and its supervisor once it is.
pub(crate) struct Sandbox {
    pub(crate) spec: Spec,
    pub(crate) workspace: PathBuf,
    supervisor: Option<Child>,
    _dir: TempDir,
}

pub(crate) struct Loud;

impl Progress for Loud {
    fn event(&self, event: Event<'_>) {
        println!("{event:?}");
    }
}

/// The cache that all tests share; building it takes minutes the first time.
pub(crate) fn cache() -> Cache {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".sandboxd");
    Cache::new(std::env::var_os("SANDBOX_CACHE").map_or_else(home, PathBuf::from))
}

impl Sandbox {
    /// Prepares a sandbox around an empty workspace, with a proxy that only sleeps.
    pub(crate) fn prepare() -> Self {
        let cache = cache();
        let kernel = kernel::ensure(&cache, None, &Loud).unwrap();
        let initramfs = kernel::initramfs(&cache, &kernel, GUEST_INIT).unwrap();
        let sources = Sources::read(Path::new("/")).unwrap();
        let recipe = Recipe::named("shell").unwrap();
        let template = image::ensure(&cache, &recipe, &sources, &Loud).unwrap();
        let dir = tempfile::Builder::new().prefix("vms").tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let workspace = base.join("work space");
        std::fs::create_dir(&workspace).unwrap();
        let data_disk = base.join("data.ext4");
        disk::ensure(&data_disk, disk::DEFAULT_SIZE).unwrap();
        let spec = Spec {
            name: "test".into(),
            id: "t".into(),
            runtime_dir: base.join("run/t"),
            cache_dir: cache.root().to_owned(),
            kernel: kernel.image(),
            initramfs,
            template,
            data_disk,
            cpus: 1,
            memory_mib: 512,
            shares: vec![Share {
                host: workspace.clone(),
                file: false,
                guest: workspace.clone(),
                read_only: false,
                hide: Vec::new(),
            }],
            publish: Vec::new(),
            seeds: Vec::new(),
            caller: Caller::current(),
            hostname: "test-host".into(),
            ca_pem: None,
            env: vec![("GREETING".into(), "hello".into())],
            isolation: Isolation::MicroVm,
            accel: AccelChoice::Auto,
            // A proxy shows each second that it lives.
            proxy_command: ["sh", "-c", PROXY].map(Into::into).to_vec(),
            proxy_input: None,
            helper_command: vec![HELPER.into()],
            state_dir: base,
        };
        Self {
            spec,
            workspace,
            supervisor: None,
            _dir: dir,
        }
    }

    /// Starts the supervisor and waits until programs can run.
    pub(crate) async fn start(&mut self) -> (Client, Status) {
        self.spawn();
        let client = self.client().await;
        let ready = tokio::time::timeout(PATIENCE, client.wait_ready(&Loud))
            .await
            .unwrap();
        let status = ready.unwrap_or_else(|error| panic!("{error}: {}", self.console()));
        (client, status)
    }

    /// Starts the supervisor.
    pub(crate) fn spawn(&mut self) {
        let mut command = Command::new(HELPER);
        command
            .arg("supervise")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(&serde_json::to_vec(&self.spec).unwrap())
            .unwrap();
        self.supervisor = Some(child);
    }

    /// A second supervisor with the same spec.
    pub(crate) fn rival(&self) -> Sandbox {
        let mut rival = Sandbox {
            spec: self.spec.clone(),
            workspace: self.workspace.clone(),
            supervisor: None,
            _dir: tempfile::tempdir().unwrap(),
        };
        rival.spawn();
        rival
    }

    /// The supervisor, as soon as it listens.
    pub(crate) async fn client(&mut self) -> Client {
        let began = Instant::now();
        loop {
            if let Ok(client) = Client::connect(&self.spec.runtime_dir).await {
                return client;
            }
            let supervisor = self.supervisor.as_mut().unwrap();
            assert!(
                supervisor.try_wait().unwrap().is_none(),
                "{}",
                self.complaint()
            );
            assert!(began.elapsed() < PATIENCE, "the supervisor does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for the supervisor's end; whether it was a success, and what it said.
    pub(crate) fn wait(&mut self) -> (bool, String) {
        let output = self.supervisor.take().unwrap().wait_with_output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Kills the supervisor in the hardest way and waits until it is gone.
    pub(crate) fn kill_supervisor(&mut self) {
        let mut supervisor = self.supervisor.take().unwrap();
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
    }

    fn complaint(&mut self) -> String {
        self.wait().1
    }

    pub(crate) fn console(&self) -> String {
        std::fs::read_to_string(self.spec.console_log()).unwrap_or_default()
    }

    /// Processes that have this sandbox's folder in their command line.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes_with(self.spec.state_dir.to_str().unwrap())
    }

    /// Waits until no process of the sandbox is left.
    pub(crate) async fn assert_no_process_left(&self) {
        let began = Instant::now();
        while let [first, ..] = self.processes().as_slice() {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "still there: {first}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
    }
}

/// Processes of this machine whose command line contains `marker`.
pub(crate) fn processes_with(marker: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let pid = entry.file_name().to_str()?.parse().ok()?;
        line.contains(marker).then_some(pid)
    });
    processes.collect()
}

/// Runs a shell script in the guest; its exit and its output.
pub(crate) async fn sh(client: &Client, script: &str) -> (Exit, String) {
    try_sh(client, script).await.unwrap()
}

/// The same, where the sandbox may go away meanwhile.
pub(crate) async fn try_sh(
    client: &Client,
    script: &str,
) -> Result<(Exit, String), vmshim::attach::AttachError> {
    let exec = Exec {
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        cwd: Some("/".to_owned()),
        ..Exec::default()
    };
    let stream = client.exec(&exec).await.unwrap();
    let mut output = Vec::new();
    let mut errors = Vec::new();
    let run = vmshim::attach::converse(
        stream,
        None,
        &mut output,
        &mut errors,
        futures::stream::pending(),
    );
    let exit = tokio::time::timeout(PATIENCE, run).await.unwrap()?;
    output.extend(errors);
    Ok((exit, String::from_utf8_lossy(&output).into_owned()))
}
