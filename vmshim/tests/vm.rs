//! Real microVMs: boot, run programs, stop, be killed.

mod support;

use support::{Sandbox, sh};
use vmshim::lock::Lock;
use vmshim::spec::STOP_GRACE;
use wire::exec::Exit;

#[tokio::test]
async fn boots_runs_a_program_and_stops_without_a_trace() {
    let mut sandbox = Sandbox::prepare();
    std::fs::write(sandbox.workspace.join("from-host"), "from the host\n").unwrap();
    let (client, status) = sandbox.start().await;
    println!("{status:?}");

    let work = sandbox.workspace.display().to_string();
    let script = format!(
        "set -e; cd '{work}'; cat from-host; id -un; hostname; echo $GREETING; ls /sys/class/net; \
         echo from the guest > from-guest; stat -c %U from-host; exit 7"
    );
    let (exit, output) = sh(&client, &script).await;
    assert_eq!(
        output,
        "from the host\nagent\ntest-host\nhello\nlo\nagent\n"
    );
    assert_eq!(exit, Exit::Code(7));
    let seen = std::fs::read_to_string(sandbox.workspace.join("from-guest")).unwrap();
    assert_eq!(seen, "from the guest\n");

    client.stop(STOP_GRACE).await.unwrap();
    assert!(!Lock::is_taken(&sandbox.spec.lock()));
    assert!(!sandbox.spec.runtime_dir.exists());
    assert_eq!(sandbox.wait(), (true, String::new()));
    sandbox.assert_no_process_left().await;
}
