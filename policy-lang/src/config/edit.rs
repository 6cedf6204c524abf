//! Changes that a command makes to the file.

use super::document::{Document, Entry, Key, List, NetKey, Slot, default_blocks, docker_default};
use crate::{
    Action, HostPattern, Net,
    language::{NetDefault, Span, Spanned, Subject},
};
use std::fmt::Display;

/// One flag of `sandbox network proxy`.
///
/// A command is the user's latest word: what it adds to one list it takes from the opposite one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// `--policy`: the default verdict. Lists stay as they are.
    Policy(Action),
    /// `--allow-host`: adds to `allowedDomains`, takes the same pattern from `blockedDomains`.
    AllowHost(HostPattern),
    /// `--block-host`: adds to `blockedDomains`, takes the same pattern from `allowedDomains`.
    BlockHost(HostPattern),
    /// `--bypass-host`: adds to `bypassDomains`.
    BypassHost(HostPattern),
    /// `--allow-cidr`: takes the same network from `blockCIDR` and `bypassCIDR` (Docker's meaning). If it
    /// stands in neither, adds it to `allowCIDR`, which lifts a shorter block.
    AllowCidr(Net),
    /// `--block-cidr`: adds to `blockCIDR`, takes the same network from `allowCIDR`.
    BlockCidr(Net),
    /// `--bypass-cidr`: adds to `bypassCIDR`.
    BypassCidr(Net),
    /// `--remove-host`: takes the pattern from all three lists of hosts.
    RemoveHost(HostPattern),
    /// `--remove-cidr`: takes the network from all three lists of networks.
    RemoveCidr(Net),
    /// `--reset`: back to [`docker_default`]; unknown keys stay.
    Reset,
}

/// Whether an edit changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It did.
    Changed,
    /// The file already said so.
    Unchanged,
}

impl Document {
    /// Makes one change. Positions of rules are then those of the file as [`Document`]'s `Display` writes it.
    pub fn apply(&mut self, edit: Edit) -> Applied {
        let before = self.to_string();
        self.change(edit);
        *self = self.clone().settled();
        match before == self.to_string() {
            true => Applied::Unchanged,
            false => Applied::Changed,
        }
    }

    fn change(&mut self, edit: Edit) {
        match edit {
            Edit::Policy(value) => {
                let span = Span::NOWHERE;
                self.policy = Some(Spanned { value, span });
            }
            Edit::AllowHost(pattern) => {
                let host = Subject::Host(pattern);
                remove(&mut self.blocked, &host);
                add(&mut self.allowed, host);
            }
            Edit::BlockHost(pattern) => {
                let host = Subject::Host(pattern);
                remove(&mut self.allowed, &host);
                add(&mut self.blocked, host);
            }
            Edit::BypassHost(pattern) => add(&mut self.bypassed, Subject::Host(pattern)),
            Edit::AllowCidr(net) => {
                self.spell_out_blocks();
                let blocked = remove(&mut self.block_nets, &net);
                let bypassed = remove(&mut self.bypass_nets, &net);
                if !blocked && !bypassed {
                    add(&mut self.allow_nets, net);
                }
            }
            Edit::BlockCidr(net) => {
                self.spell_out_blocks();
                remove(&mut self.allow_nets, &net);
                add(&mut self.block_nets, net);
            }
            Edit::BypassCidr(net) => add(&mut self.bypass_nets, net),
            Edit::RemoveHost(pattern) => {
                let host = Subject::Host(pattern);
                for list in [&mut self.allowed, &mut self.blocked, &mut self.bypassed] {
                    remove(list, &host);
                }
            }
            Edit::RemoveCidr(net) => {
                self.spell_out_blocks();
                for list in [
                    &mut self.allow_nets,
                    &mut self.block_nets,
                    &mut self.bypass_nets,
                ] {
                    remove(list, &net);
                }
            }
            Edit::Reset => self.reset(),
        }
    }

    /// A file without `blockCIDR` means the documented blocks; a change to them must write them down.
    fn spell_out_blocks(&mut self) {
        let implied = match (&self.default_net, &self.block_nets) {
            (Some(key), _) => key.value != NetKey::Says(NetDefault::Open),
            (None, blocks) => blocks.is_none(),
        };
        if implied {
            self.default_net = None;
            self.block_nets.get_or_insert_default();
            for (_, net) in default_blocks() {
                add(&mut self.block_nets, net);
            }
        }
    }

    fn reset(&mut self) {
        let fresh = docker_default();
        let unknown = |slots: &[Slot]| -> Vec<Slot> {
            let unknown = slots
                .iter()
                .filter(|slot| matches!(slot, Slot::Unknown(..)));
            unknown.cloned().collect()
        };
        let (top, network) = (unknown(&self.layout), unknown(&self.network_layout));
        *self = Self {
            source: self.source.clone(),
            ..fresh
        };
        self.layout.extend(top);
        self.network_layout.extend(network);
    }

    /// The same document with every present key in the layout and every position that of the text it writes.
    pub(super) fn settled(mut self) -> Self {
        self.complete_layout();
        match Self::parse(&self.to_string(), &self.source) {
            Ok((settled, _)) => settled,
            // What we write we can read; the round-trip tests hold it.
            Err(_) => self,
        }
    }

    fn complete_layout(&mut self) {
        let absent = |slots: &[Slot], key: Key| {
            !slots
                .iter()
                .any(|slot| matches!(slot, Slot::Known(known) if *known == key))
        };
        let keys = Key::NETWORK.into_iter();
        let network: Vec<_> = keys
            .filter(|key| self.has(*key) && absent(&self.network_layout, *key))
            .map(Slot::Known)
            .collect();
        self.network_layout.extend(network);
        let shown = |key: Key| match key {
            Key::Network => !self.network_layout.is_empty(),
            key => self.has(key),
        };
        let keys = Key::TOP.into_iter();
        let top: Vec<_> = keys
            .filter(|key| shown(*key) && absent(&self.layout, *key))
            .map(Slot::Known)
            .collect();
        // Ours follow what was there; unknown keys a conversion brought along come last.
        self.layout.extend(top);
        let dropped = |slot: &Slot| matches!(slot, Slot::Known(Key::DefaultNet));
        if self.default_net.is_none() {
            self.network_layout.retain(|slot| !dropped(slot));
        }
    }
}

fn add<T: PartialEq + Display>(list: &mut List<T>, value: T) {
    let entries = list.get_or_insert_default();
    if !entries.iter().any(|entry| entry.value == value) {
        entries.push(written(value));
    }
}

fn remove<T: PartialEq>(list: &mut List<T>, value: &T) -> bool {
    let Some(entries) = list else { return false };
    let before = entries.len();
    entries.retain(|entry| entry.value != *value);
    entries.len() < before
}

/// An entry in its canonical spelling; its position comes when the document settles.
fn written<T: Display>(value: T) -> Entry<T> {
    Entry {
        text: value.to_string().into(),
        value,
        span: Span::NOWHERE,
    }
}
