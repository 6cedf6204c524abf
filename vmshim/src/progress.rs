//! What a long step says while it runs. The library never prints; the caller decides what a person sees.

/// A receiver of [`Event`]s. Calls are frequent and must return quickly.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event<'_>);
}

/// One thing worth telling while a long step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A new phase begins, such as "unpacking the kernel".
    Phase(&'a str),
    /// How far the phase is, in percent of its expected work.
    Percent(u8),
    /// One line of detail from a program that is at work.
    Line(&'a str),
    /// Something the person should know although the step goes on.
    Note(&'a str),
}

/// Swallows every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}

impl<F: Fn(Event<'_>) + Send + Sync> Progress for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}
