//! What verdicts call rules.

/// Names a rule of one [`crate::Policy`]. Meaningless for any other policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub(crate) u32);

/// Which table of listed names an identifier is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum ListMark {
    /// `allow list` and `block list`.
    #[default]
    Hosts = 1 << 31,
    /// `bypass list`.
    Bypass = (1 << 31) | (1 << 30),
}

impl RuleId {
    /// Bytes of list files that identifiers can tell apart.
    pub(crate) const LIST_BYTES: usize = 1 << 29;

    /// The rule at an offset of a table's list files.
    pub(crate) fn listed(mark: ListMark, offset: u32) -> Self {
        Self(offset | mark as u32)
    }

    /// The table and offset, if it is a listed rule.
    pub(crate) fn as_listed(self) -> Option<(ListMark, u32)> {
        let offset = self.0 & ((1 << 30) - 1);
        match self.0 >> 30 {
            2 => Some((ListMark::Hosts, offset)),
            3 => Some((ListMark::Bypass, offset)),
            _ => None,
        }
    }

    /// Its place in [`crate::Policy::rules`], which does not hold the names of list files.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
