//! Users and groups, from the text of passwd(5) and group(5).
//!
//! Read here rather than through the C library, whose lookups load shared libraries of the template
//! into a static program.

use std::fs;
use std::path::Path;

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name; the number if the user has no entry.
    pub name: String,
    /// Numeric user.
    pub uid: u32,
    /// Numeric primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A user or a group that the guest does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchUser {
    /// No such user.
    #[error("there is no user `{0}` in the sandbox")]
    User(String),
    /// No such group.
    #[error("there is no group `{0}` in the sandbox")]
    Group(String),
}

/// The account files of a root file system.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

/// One line of passwd(5).
#[derive(Debug)]
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
    shell: &'a str,
}

/// One line of group(5).
#[derive(Debug)]
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Accounts {
    /// Reads `passwd` and `group` in this folder. A file that is missing or no text has no entries.
    #[must_use]
    pub fn load(etc: &Path) -> Self {
        let read = |name| fs::read_to_string(etc.join(name)).unwrap_or_default();
        Self {
            passwd: read("passwd"),
            group: read("group"),
        }
    }

    /// Finds `name|uid[:group|gid]`. As in Docker, a number needs no entry: then the group is 0, the
    /// home `/`.
    pub fn find(&self, spec: &str) -> Result<Account, NoSuchUser> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let mut account = self.user(user)?;
        if let Some(group) = group {
            account.gid = self.group_id(group)?;
            account.groups.clear();
        }
        Ok(account)
    }

    fn user(&self, user: &str) -> Result<Account, NoSuchUser> {
        let number = user.parse::<u32>().ok();
        let entry = self
            .users()
            .find(|entry| entry.name == user)
            .or_else(|| self.users().find(|entry| Some(entry.uid) == number));
        match (entry, number) {
            (Some(entry), _) => Ok(Account {
                name: entry.name.to_owned(),
                uid: entry.uid,
                gid: entry.gid,
                groups: self.groups_of(entry.name),
                home: entry.home.to_owned(),
                shell: entry.shell.to_owned(),
            }),
            (None, Some(uid)) => Ok(Account {
                name: uid.to_string(),
                uid,
                gid: 0,
                groups: Vec::new(),
                home: "/".to_owned(),
                shell: "/bin/sh".to_owned(),
            }),
            (None, None) => Err(NoSuchUser::User(user.to_owned())),
        }
    }

    fn group_id(&self, group: &str) -> Result<u32, NoSuchUser> {
        self.groups()
            .find(|entry| entry.name == group)
            .map(|entry| entry.gid)
            .or_else(|| group.parse().ok())
            .ok_or_else(|| NoSuchUser::Group(group.to_owned()))
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        self.groups()
            .filter(|group| group.members.split(',').any(|member| member == user))
            .map(|group| group.gid)
            .collect()
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut field = line.split(':');
            Some(User {
                name: field.next().filter(|name| !name.is_empty())?,
                uid: field.nth(1)?.parse().ok()?,
                gid: field.next()?.parse().ok()?,
                home: field.nth(1).filter(|home| !home.is_empty()).unwrap_or("/"),
                shell: field
                    .next()
                    .filter(|shell| !shell.is_empty())
                    .unwrap_or("/bin/sh"),
            })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.lines().filter_map(|line| {
            let mut field = line.split(':');
            Some(Group {
                name: field.next().filter(|name| !name.is_empty())?,
                gid: field.nth(1)?.parse().ok()?,
                members: field.next().unwrap_or_default(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\n\
                     # a comment\n\
                     broken:x:many:0::/:/bin/sh\n\
                     agent:x:1000:1000:,,,:/home/agent:/bin/bash\n\
                     bare:x:33:33\n\
                     77:x:1077:1077::/home/seven:\n"
                .to_owned(),
            group: "root:x:0:\nsudo:x:27:agent\ndocker:x:998:agent,bare\n\
                    agents:x:5:agentx\nbad:x:y:agent\n"
                .to_owned(),
        }
    }

    fn account(name: &str, uid: u32, gid: u32, groups: &[u32], home: &str, shell: &str) -> Account {
        Account {
            name: name.to_owned(),
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
            shell: shell.to_owned(),
        }
    }

    #[test]
    fn who_is_meant() {
        let user = |name: &str| Err(NoSuchUser::User(name.to_owned()));
        let group = |name: &str| Err(NoSuchUser::Group(name.to_owned()));
        let agent = |gid, groups: &[u32]| {
            Ok(account(
                "agent",
                1000,
                gid,
                groups,
                "/home/agent",
                "/bin/bash",
            ))
        };
        let rows = [
            ("root", Ok(account("root", 0, 0, &[], "/root", "/bin/bash"))),
            ("agent", agent(1000, &[27, 998])),
            ("1000", agent(1000, &[27, 998])),
            ("agent:sudo", agent(27, &[])),
            ("agent:4711", agent(4711, &[])),
            ("bare", Ok(account("bare", 33, 33, &[998], "/", "/bin/sh"))),
            ("4711", Ok(account("4711", 4711, 0, &[], "/", "/bin/sh"))),
            (
                "77",
                Ok(account("77", 1077, 1077, &[], "/home/seven", "/bin/sh")),
            ),
            ("broken", user("broken")),
            ("nobody", user("nobody")),
            ("", user("")),
            ("-1", user("-1")),
            ("4294967296", user("4294967296")),
            ("agent:nogroup", group("nogroup")),
            ("agent:", group("")),
            ("agent:bad", group("bad")),
        ];
        for (spec, wanted) in rows {
            assert_eq!(accounts().find(spec), wanted, "{spec}");
        }
    }

    #[test]
    fn no_files_means_numbers_only() {
        let none = Accounts::load(Path::new("/nonexistent"));
        assert!(none.find("root").is_err());
        assert_eq!(none.find("0").unwrap().uid, 0);
    }
}
