//! The folder server as a virtio device: a microVM's kernel asks through two queues in its memory, which the VMM has
//! handed over by vhost-user.
//!
//! virtiofsd has such a device of its own, with migration and a thread pool, which are not wanted, and no place to look
//! at a request before it is answered, which is; see [`answer`].

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use vhost::vhost_user::Listener;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::bitmap::BitmapMmapRegion;
use vhost_user_backend::{VhostUserBackend, VhostUserDaemon, VringMutex, VringState, VringT};
use virtio_queue::{DescriptorChain, QueueOwnedT};
use virtiofsd::filesystem::FileSystem;
use virtiofsd::server::Server;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use super::answer::{Memory, answer};

type SharedMemory = GuestMemoryAtomic<Memory>;

/// One queue for requests that others wait behind, one for all the rest.
const QUEUES: usize = 2;

/// The longest queue: QEMU's bound for any device's. The guest's driver takes what the VMM offers.
const LONGEST_QUEUE: usize = 1024;

/// Bits of the device's features (virtio 1.2, 6).
const VERSION_1: u64 = 1 << 32;
const INDIRECT_DESCRIPTORS: u64 = 1 << 28;
const EVENT_INDEX: u64 = 1 << 29;

/// Answers until the VMM hangs up, and so is the guest gone.
pub(super) fn serve<F>(fs: F, listener: &mut Listener) -> Result<(), vhost_user_backend::Error>
where
    F: FileSystem + Send + Sync + 'static,
{
    let device = Arc::new(Device::new(fs));
    let memory = SharedMemory::new(Memory::new());
    let mut daemon = VhostUserDaemon::new("virtiofs".to_owned(), device, memory)?;
    daemon.start(listener)?;
    let _ = daemon.wait();
    Ok(())
}

struct Device<F: FileSystem + Sync> {
    server: Server<F>,
    /// None until the VMM says which.
    memory: RwLock<Option<SharedMemory>>,
    /// Whether the guest says up to where it wants to hear of answers, rather than of each.
    event_index: AtomicBool,
}

impl<F: FileSystem + Sync> Device<F> {
    fn new(fs: F) -> Self {
        Self {
            server: Server::new(fs),
            memory: RwLock::default(),
            event_index: AtomicBool::new(false),
        }
    }

    fn memory(&self) -> Option<GuestMemoryLoadGuard<Memory>> {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        Some(memory.as_ref()?.memory())
    }

    /// Answers what is in the queue, and what comes meanwhile. One that a guest has left in disorder is its own loss.
    fn work(&self, queue: &mut VringState<SharedMemory>) -> Option<()> {
        if !self.event_index.load(Ordering::Relaxed) {
            return self.answer_all(queue);
        }
        loop {
            queue.disable_notification().ok()?;
            self.answer_all(queue)?;
            if !queue.enable_notification().ok()? {
                return Some(());
            }
        }
    }

    fn answer_all(&self, queue: &mut VringState<SharedMemory>) -> Option<()> {
        let memory = self.memory()?;
        // Gathered, because answers are written to the queue that this looks at.
        let requests: Vec<DescriptorChain<_>> =
            queue.get_queue_mut().iter(memory.clone()).ok()?.collect();
        for request in requests {
            let head = request.head_index();
            // No length says that there is no answer; of a request without sense Linux makes EIO.
            let length = answer(&self.server, &memory, request).unwrap_or_default();
            queue.add_used(head, u32::try_from(length).ok()?).ok()?;
            if !self.event_index.load(Ordering::Relaxed) || queue.needs_notification().ok()? {
                queue.signal_used_queue().ok()?;
            }
        }
        Some(())
    }
}

impl<F: FileSystem + Send + Sync + 'static> VhostUserBackend for Device<F> {
    type Bitmap = BitmapMmapRegion;
    type Vring = VringMutex<SharedMemory>;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        LONGEST_QUEUE
    }

    fn features(&self) -> u64 {
        VERSION_1
            | INDIRECT_DESCRIPTORS
            | EVENT_INDEX
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::RESET_DEVICE
    }

    fn reset_device(&self) {
        self.server.destroy();
    }

    fn set_event_idx(&self, enabled: bool) {
        self.event_index.store(enabled, Ordering::Relaxed);
    }

    fn update_memory(&self, memory: SharedMemory) -> io::Result<()> {
        let mut place = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(memory);
        Ok(())
    }

    fn handle_event(
        &self,
        queue: u16,
        _: EventSet,
        queues: &[VringMutex<SharedMemory>],
        _: usize,
    ) -> io::Result<()> {
        if let Some(queue) = queues.get(usize::from(queue)) {
            self.work(&mut queue.get_mut());
        }
        Ok(())
    }

    /// Without this the daemon would wait for its thread for ever.
    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK).ok()
    }
}

#[cfg(test)]
mod tests;
