//! Panics of tasks.

use std::sync::Arc;

use hyper::rt::Executor;
use tokio::task::JoinHandle;

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

/// Runs tasks of which each counts and logs its own panic.
#[derive(Debug, Clone)]
pub(crate) struct Counted(pub(crate) Arc<Recorder>);

impl Counted {
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let panics = Panics(self.0.clone());
        tokio::spawn(async move {
            let _panics = panics;
            task.await
        })
    }
}

impl<F> Executor<F> for Counted
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
