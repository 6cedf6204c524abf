//! Progress of long steps: one moving line on a terminal, plain lines elsewhere, on stderr.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use vmshim::progress::Event;

use crate::report;

/// Tells what is going on while a command works. Goes away silently when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    is_told: bool,
    /// The phase that was told last; a plain log does not repeat itself.
    phase: Mutex<String>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self::told(true)
    }

    /// One that tells phases only if `is_told`; notes are told in any case.
    pub(crate) fn told(is_told: bool) -> Self {
        let bar = (is_told && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Self {
            bar,
            is_told,
            phase: Mutex::default(),
        }
    }

    /// A step has begun.
    pub(crate) fn phase(&self, text: &str) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase == text {
            return;
        }
        text.clone_into(&mut phase);
        match &self.bar {
            Some(bar) => {
                // Started late: a command that has nothing to wait for shows nothing.
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(text.to_owned());
            }
            None if self.is_told => report::say(format_args!("  {text}")),
            None => {}
        }
    }

    /// The step has come this far.
    fn percent(&self, percent: u8) {
        if let Some(bar) = &self.bar {
            let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
            bar.set_message(format!("{phase} {percent} %"));
        }
    }

    /// Something that the caller should still see when the work is over.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| report::say(text)),
            None => report::say(text),
        }
    }
}

impl vmshim::progress::Progress for Progress {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Phase(text) => self.phase(text),
            Event::Percent(percent) => self.percent(percent),
            // Detail for a log, not for a person who waits.
            Event::Line(_) => {}
            Event::Note(text) => self.note(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
