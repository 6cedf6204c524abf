//! Comments of the policy language, kept where JSON has none.

use crate::language::{Item, Line, Set, Spanned};
use std::collections::HashMap;

/// A comment and the statement it goes with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note {
    pub(super) place: Place,
    pub(super) text: Box<str>,
}

/// Where a comment stands. Statements are named by their canonical text, a member of a set by `$name member`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On a line of its own, before a statement, or before the end of a set (`$name`).
    Before(Box<str>),
    /// On the line of a statement.
    After(Box<str>),
    /// On a line of its own at the end.
    End,
}

/// Takes the comments out of `lines`.
pub(super) fn taken(lines: &[Line]) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut waiting: Vec<Box<str>> = Vec::new();
    for line in lines {
        let Some(item) = &line.item else {
            waiting.extend(line.comment.clone());
            continue;
        };
        let statement = item.value.title();
        notes.extend(waiting.drain(..).map(|text| Note {
            place: Place::Before(statement.clone()),
            text,
        }));
        if let Item::Set(set) = &item.value {
            of_set(set, &mut notes);
        }
        notes.extend(line.comment.clone().map(|text| Note {
            place: Place::After(statement),
            text,
        }));
    }
    notes.extend(waiting.into_iter().map(|text| Note {
        place: Place::End,
        text,
    }));
    notes
}

fn of_set(set: &Set, notes: &mut Vec<Note>) {
    let name = &set.name.value;
    for member in &set.members {
        let title = member_title(name, &member.pattern.value);
        notes.extend(member.before.iter().map(|text| Note {
            place: Place::Before(title.clone()),
            text: text.clone(),
        }));
        notes.extend(member.after.clone().map(|text| Note {
            place: Place::After(title),
            text,
        }));
    }
    notes.extend(set.comments.iter().map(|text| Note {
        place: Place::Before(format!("${name}").into()),
        text: text.clone(),
    }));
}

fn member_title(set: &str, pattern: &crate::HostPattern) -> Box<str> {
    format!("${set} {pattern}").into()
}

/// Puts comments back. One whose statement is gone stands at the end: none is lost.
pub(super) fn put_back<'n>(
    items: Vec<Spanned<Item>>,
    notes: impl Iterator<Item = &'n Note>,
) -> Vec<Line> {
    let mut before: HashMap<&str, Vec<Box<str>>> = HashMap::new();
    let mut after: HashMap<&str, Vec<Box<str>>> = HashMap::new();
    let mut end = Vec::new();
    for note in notes {
        let text = note.text.clone();
        match &note.place {
            Place::Before(statement) => before.entry(statement).or_default().push(text),
            Place::After(statement) => after.entry(statement).or_default().push(text),
            Place::End => end.push(text),
        }
    }
    let mut lines = Vec::new();
    for mut item in items {
        if let Item::Set(set) = &mut item.value {
            into_set(set, &mut before, &mut after);
        }
        let title = item.value.title();
        let mut beside = after.remove(&*title).unwrap_or_default();
        let comment = beside.pop();
        let above = before.remove(&*title).unwrap_or_default();
        lines.extend(above.into_iter().chain(beside).map(alone));
        let item = Some(item);
        lines.push(Line { item, comment });
    }
    let mut lost: Vec<_> = before.into_iter().chain(after).collect();
    lost.sort_unstable();
    lines.extend(lost.into_iter().flat_map(|(_, texts)| texts).map(alone));
    lines.extend(end.into_iter().map(alone));
    lines
}

fn into_set(
    set: &mut Set,
    before: &mut HashMap<&str, Vec<Box<str>>>,
    after: &mut HashMap<&str, Vec<Box<str>>>,
) {
    let name = set.name.value.clone();
    for member in &mut set.members {
        let title = member_title(&name, &member.pattern.value);
        let mut beside = after.remove(&*title).unwrap_or_default();
        member.after = beside.pop();
        member.before = before.remove(&*title).unwrap_or_default();
        member.before.append(&mut beside);
    }
    set.comments = before.remove(&*format!("${name}")).unwrap_or_default();
}

fn alone(text: Box<str>) -> Line {
    Line {
        item: None,
        comment: Some(text),
    }
}

impl Item {
    /// What comments call it: its text; a set, which may be long, its name.
    fn title(&self) -> Box<str> {
        match self {
            Self::Set(set) => format!("set {}", set.name.value).into(),
            item => item.to_string().into(),
        }
    }
}
