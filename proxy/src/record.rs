//! A request while it happens: what will be its log line.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use policy_lang::Target;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::audit::{
    Action, Carriage, Event, Flood, GATHERING, Kind, Line, Log, RuleRef, Stage, clean,
};
use crate::cause::Cause;
use crate::gate::{Route, Ruling};
use crate::metrics::{Counters, Metrics};
use crate::revocation::Revocation;
use crate::traffic::Traffic;

/// Longest method, URL and message in a line, in bytes.
const MAX_METHOD: usize = 32;
const MAX_URL: usize = 1024;
const MAX_MESSAGE: usize = 512;

/// Refused requests kept to be shown.
const TROUBLES: usize = 32;

/// Where finished requests go.
#[derive(Debug)]
pub(crate) struct Recorder {
    sandbox: String,
    log: Arc<Log>,
    metrics: Metrics,
    flood: Mutex<Flood>,
    /// The last requests that were refused or failed, newest last.
    troubles: Mutex<VecDeque<Event>>,
}

impl Recorder {
    pub(crate) fn new(sandbox: &str, log: Arc<Log>) -> Self {
        Self {
            sandbox: clean(sandbox, 128),
            log,
            metrics: Metrics::default(),
            flood: Mutex::default(),
            troubles: Mutex::default(),
        }
    }

    /// The last requests that were refused or failed, newest last.
    pub(crate) fn troubles(&self) -> Vec<Event> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().cloned().collect()
    }

    fn write(self: &Arc<Self>, event: Box<Event>) {
        self.metrics.finished(&event);
        match self.flood().line(&event, Instant::now()) {
            Line::Own => self.log.write(&event),
            Line::First => self.gather(),
            Line::Shared => {}
        }
        self.tell_gap();
        if event.reason.is_some() {
            let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
            if troubles.len() >= TROUBLES {
                troubles.pop_front();
            }
            troubles.push_back(*event);
        }
    }

    /// Writes the line that many refusals share when its time has come.
    fn gather(self: &Arc<Self>) {
        let recorder = Arc::downgrade(self);
        // Outside a runtime the proxy is at its end, and so is this.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                sleep(GATHERING).await;
                if let Some(recorder) = recorder.upgrade() {
                    recorder.tell_gathered();
                }
            });
        }
    }

    /// Writes that line now, before its time if need be.
    pub(crate) fn tell_gathered(&self) {
        let gathered = self.flood().take();
        if let Some(line) = gathered {
            self.log.write(&line);
        }
    }

    fn flood(&self) -> MutexGuard<'_, Flood> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the log itself that lines are missing, once it can be written again.
    fn tell_gap(&self) {
        if let Some(lost) = self.log.gap() {
            let mut event = self.event(Kind::Config);
            event.reason = Some("log-gap".to_owned());
            event.message = Some(format!(
                "{lost} lines were lost while this log could not be written"
            ));
            self.log.write(&event);
        }
    }

    pub(crate) fn sandbox(&self) -> &str {
        &self.sandbox
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Counts since the start.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            log_lines_lost: self.log.lost(),
            ..self.metrics.read()
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Begins a request. Its line is written when the returned value is finished or dropped, and never twice.
    pub(crate) fn begin(self: &Arc<Self>, method: &str, url: &str) -> Record {
        self.metrics.began();
        self.record(method, url)
    }

    fn record(self: &Arc<Self>, method: &str, url: &str) -> Record {
        let mut event = self.event(Kind::Request);
        event.method = clean(method, MAX_METHOD);
        event.url = clean(url, MAX_URL);
        Record {
            event: Some(Box::new(event)),
            began: Instant::now(),
            traffic: Arc::default(),
            recorder: self.clone(),
            revocation: None,
            opening: false,
        }
    }

    /// Tells what became of the policy file.
    pub(crate) fn config(&self, generation: u64, error: bool, message: &str) {
        let mut event = self.event(Kind::Config);
        event.generation = generation;
        event.action = if error {
            Action::Denied
        } else {
            Action::Allowed
        };
        event.reason = error.then(|| "config-invalid".to_owned());
        event.message = Some(clean(message, 4 * MAX_MESSAGE));
        self.log.write(&event);
    }

    fn event(&self, kind: Kind) -> Event {
        Event {
            timestamp: Timestamp::now(),
            sandbox: self.sandbox.clone(),
            kind,
            method: String::new(),
            url: String::new(),
            action: Action::Denied,
            target: None,
            address: None,
            via: None,
            by_name: false,
            rule: None,
            reason: None,
            generation: 0,
            carriage: None,
            credential: None,
            stage: None,
            status: None,
            bytes_up: 0,
            bytes_down: 0,
            first_byte_ms: None,
            duration_ms: 0,
            count: 1,
            message: None,
            chain: None,
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.tell_gathered();
    }
}

/// One request in progress.
///
/// INVARIANT: the line is written exactly once: by [`Record::finish`], or by `Drop` when the task died or the client left.
#[derive(Debug)]
pub(crate) struct Record {
    event: Option<Box<Event>>,
    began: Instant,
    traffic: Arc<Traffic>,
    recorder: Arc<Recorder>,
    revocation: Option<Revocation>,
    /// It is a `CONNECT` that was answered, and may go unused.
    opening: bool,
}

impl Record {
    /// If this is dropped unfinished after that revocation, it was the policy that ended it.
    pub(crate) fn revocable(&mut self, revocation: Revocation) {
        self.revocation = Some(revocation);
    }

    /// It is a `CONNECT` that was answered: if nobody asks for anything inside, that is no failure.
    pub(crate) fn opens(&mut self) {
        self.opening = true;
    }

    /// The first request inside a `CONNECT` has the line that was its, and is counted in its place.
    pub(crate) fn followed_by(mut self, method: &str, url: &str) -> Self {
        self.event = None;
        self.recorder.record(method, url)
    }

    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    pub(crate) fn target(&mut self, target: &Target) {
        self.edit(|event| event.target = Some(target.to_string()));
    }

    pub(crate) fn stage(&mut self, stage: Stage) {
        self.edit(|event| event.stage = Some(stage));
    }

    pub(crate) fn tunnel(&mut self) {
        self.edit(|event| event.kind = Kind::Tunnel);
    }

    /// The policy let it pass.
    pub(crate) fn admitted(&mut self, route: &Route, carriage: Carriage) {
        self.edit(|event| {
            event.action = Action::Allowed;
            event.carriage = Some(carriage);
            ruled(event, &route.verdict);
            if !route.dropped.is_empty() {
                event.message = Some(clean(
                    &format!("dropped: {}", route.dropped.join("; ")),
                    MAX_MESSAGE,
                ));
            }
        });
    }

    /// A more specific ruling than the one on the host.
    pub(crate) fn ruled(&mut self, ruling: &Ruling) {
        self.edit(|event| ruled(event, ruling));
    }

    /// A credential of this name was set.
    pub(crate) fn injected(&mut self, name: &str) {
        self.edit(|event| {
            event.credential = Some(match event.credential.take() {
                Some(others) => clean(&format!("{others}, {name}"), 128),
                None => clean(name, 64),
            });
        });
    }

    /// It goes to this address; none where a parent resolves the name.
    pub(crate) fn dialled(&mut self, address: Option<SocketAddr>) {
        self.edit(|event| event.address = address);
    }

    /// It goes through a parent proxy, which is asked for the name or for the address that was judged.
    pub(crate) fn via(&mut self, parent: &str, by_name: bool) {
        self.edit(|event| {
            event.via = Some(clean(parent, 128));
            event.by_name = by_name;
        });
    }

    /// Something that people should know of it, though it goes well.
    pub(crate) fn noted(&mut self, message: &str) {
        self.edit(|event| event.message = Some(clean(message, MAX_MESSAGE)));
    }

    /// The origin's answer has begun.
    pub(crate) fn answered(&mut self, status: u16) {
        let elapsed = millis(self.began);
        self.edit(|event| {
            event.status = Some(status);
            event.first_byte_ms = Some(elapsed);
            event.stage = Some(Stage::Relay);
        });
    }

    /// It ends, or will end, for this cause.
    pub(crate) fn failed(&mut self, cause: &Cause) {
        let facts = cause.facts();
        self.edit(|event| {
            event.action = facts.action;
            event.stage = Some(facts.stage);
            event.reason = Some(facts.code.to_owned());
            event.status.get_or_insert(facts.status.as_u16());
            if let Some(ruling) = cause.ruling() {
                ruled(event, ruling);
                event.reason = Some(facts.code.to_owned());
            }
            event.message = Some(clean(&cause.sentence(), MAX_MESSAGE));
        });
    }

    /// It is over, and well.
    pub(crate) fn done(mut self) {
        self.stage(Stage::Done);
        self.finish();
    }

    /// Writes the line.
    pub(crate) fn finish(&mut self) {
        let Some(mut event) = self.event.take() else {
            return;
        };
        event.bytes_up = self.traffic.up();
        event.bytes_down = self.traffic.down();
        event.duration_ms = millis(self.began);
        self.recorder.write(event);
    }

    /// What was refused stays as it was refused: a browser's `CONNECT` goes on after that, to be told why.
    fn edit(&mut self, change: impl FnOnce(&mut Event)) {
        if let Some(event) = &mut self.event
            && !(event.action == Action::Denied && event.reason.is_some())
        {
            change(event);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self
            .event
            .as_ref()
            .is_some_and(|event| event.reason.is_none())
        {
            let revoked = self.revocation.as_ref().is_some_and(Revocation::is_set);
            match std::thread::panicking() {
                true => self.failed(&Cause::Internal("the task panicked".into())),
                false if revoked => self.failed(&Cause::Revoked),
                false if self.opening => self.edit(|event| {
                    event.message = Some("no request came".to_owned());
                }),
                false => self.failed(&Cause::ClientAbort),
            }
        }
        self.finish();
    }
}

fn ruled(event: &mut Event, ruling: &Ruling) {
    event.rule = ruling.rule.as_ref().map(|rule| RuleRef {
        text: clean(&rule.text, MAX_MESSAGE),
        source: clean(&rule.source, MAX_MESSAGE),
        line: rule.line,
    });
    event.generation = ruling.generation;
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
