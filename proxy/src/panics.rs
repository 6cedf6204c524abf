//! Panics of tasks.

use std::sync::Arc;

use crate::cause::Cause;
use crate::record::Recorder;

/// Counts a panic of the task that holds it, and logs it: not every task has a request whose line would tell.
pub(crate) struct Panics(pub(crate) Arc<Recorder>);

impl Drop for Panics {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.metrics().panicked();
            let cause =
                Cause::Internal("a task of the proxy panicked; its connection is closed".into());
            self.0.begin("", "").failed(&cause);
        }
    }
}
