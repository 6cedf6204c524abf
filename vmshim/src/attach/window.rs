//! How much input may be on its way.

use tokio::sync::Semaphore;
use wire::exec::STDIN_WINDOW;

/// The guest returned more than it was given.
#[derive(Debug)]
pub(super) struct Overdrawn;

/// The input window of one program.
#[derive(Debug)]
pub(super) struct Window {
    free: Semaphore,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            free: Semaphore::new(STDIN_WINDOW),
        }
    }
}

impl Window {
    /// Waits until so many bytes may be sent. Cancel safe.
    pub(super) async fn take(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Ok(permit) = self.free.acquire_many(count).await {
            permit.forget();
        }
    }

    /// The guest took so many bytes.
    pub(super) fn give_back(&self, count: u32) -> Result<(), Overdrawn> {
        let count = count as usize;
        if count > STDIN_WINDOW - self.free.available_permits().min(STDIN_WINDOW) {
            return Err(Overdrawn);
        }
        self.free.add_permits(count);
        Ok(())
    }
}
