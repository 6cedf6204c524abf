//! Values out of JSON, each with its place in the file.

use super::{
    Error, Problem,
    document::{Entry, List},
    object::{Object, deeper_than, type_name},
};
use crate::{
    language::{Span, Spanned},
    position::Lines,
    warning::{Warning, WarningKind},
};
use serde_json::value::RawValue;
use std::{collections::HashMap, sync::Arc};

/// Ten times a list of a million names.
const MAX_BYTES: usize = 256 << 20;
/// The file's own keys need three; the rest is for keys we do not know.
const MAX_DEPTH: usize = 64;

/// A file of JSON being read, and what was found wrong with it.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    lines: Lines<'a>,
    pub(super) source: Arc<str>,
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, source: Arc<str>) -> Self {
        Self {
            text,
            lines: Lines::of(text),
            source,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The file's one value.
    pub(super) fn whole(&mut self) -> Option<&'a RawValue> {
        self.check_file()?;
        match serde_json::from_str(self.text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.syntax_error(&error);
                None
            }
        }
    }

    fn check_file(&mut self) -> Option<()> {
        let bytes = self.text.len();
        if bytes > MAX_BYTES {
            let limit = MAX_BYTES;
            return self.fail(0, Problem::TooBig { bytes, limit });
        }
        if self.text.starts_with('\u{feff}') {
            return self.fail(0, Problem::ByteOrderMark);
        }
        if let Some(offset) = deeper_than(self.text, MAX_DEPTH) {
            return self.fail(offset, Problem::TooDeep { limit: MAX_DEPTH });
        }
        Some(())
    }

    /// A string with a meaning.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        value: &RawValue,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let text = self.string(value, key)?;
        let span = self.span(value);
        match parse(&text) {
            Ok(value) => Some(Spanned { value, span }),
            Err(problem) => self.fail(span.start, problem),
        }
    }

    pub(super) fn strings<T>(
        &mut self,
        key: &str,
        value: &'a RawValue,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> List<T> {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            return self.wrong_type(value, key, "a list of strings");
        };
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = self.string(item, key) else {
                continue;
            };
            match parse(&text) {
                Ok(value) => entries.push(Entry {
                    value,
                    text: text.into(),
                    span: self.span(item),
                }),
                Err(problem) => {
                    self.fail::<()>(self.offset(item), problem);
                }
            }
        }
        Some(entries)
    }

    fn string(&mut self, value: &RawValue, key: &str) -> Option<String> {
        match serde_json::from_str(value.get()) {
            Ok(text) => Some(text),
            Err(_) => self.wrong_type(value, key, "a string"),
        }
    }

    /// The members of an object, each with the offset of its key.
    pub(super) fn object(&mut self, value: &'a RawValue, key: &str) -> Option<Vec<RawMember<'a>>> {
        let Ok(Object(entries)) = serde_json::from_str(value.get()) else {
            return self.wrong_type(value, key, "an object");
        };
        let mut members: Vec<RawMember<'_>> = Vec::with_capacity(entries.len());
        let mut first_at: HashMap<String, usize> = HashMap::new();
        // Between one value and the next stand a comma, the key and a colon.
        let mut from = self.offset(value);
        for (key, value) in entries {
            let at = self.quote_after(from);
            from = self.offset(value) + value.get().len();
            match first_at.insert(key.clone(), at) {
                Some(first) => {
                    let first = self.lines.position(first);
                    let key = key.into();
                    self.fail::<()>(at, Problem::DuplicateKey { key, first });
                }
                None => members.push(RawMember { key, at, value }),
            }
        }
        Some(members)
    }

    fn quote_after(&self, offset: usize) -> usize {
        let rest = self.text.get(offset..).unwrap_or("");
        offset + rest.find('"').unwrap_or(0)
    }

    /// Where a borrowed value starts in the file: serde_json lends slices of its input.
    pub(super) fn offset(&self, value: &RawValue) -> usize {
        (value.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    pub(super) fn span(&self, value: &RawValue) -> Span {
        let start = self.offset(value);
        let end = start + value.get().len();
        Span { start, end }
    }

    pub(super) fn span_of_key(&self, member: &RawMember<'_>) -> Span {
        let start = member.at;
        let end = start + member.key.len() + 2;
        Span { start, end }
    }

    pub(super) fn wrong_type<T>(
        &mut self,
        value: &RawValue,
        key: &str,
        wanted: &'static str,
    ) -> Option<T> {
        let problem = Problem::WrongType {
            key: key.into(),
            wanted,
            found: type_name(value.get()),
        };
        self.fail(self.offset(value), problem)
    }

    fn syntax_error(&mut self, error: &serde_json::Error) {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        // serde_json counts bytes, and stays on the last one when the input ends.
        let offset = match error.is_eof() {
            true => self.text.len(),
            false => self.lines.start_of(error.line()) + error.column().saturating_sub(1),
        };
        let message = message.replace("EOF while", "the file ends while").into();
        self.fail::<()>(offset, Problem::Syntax { message });
    }

    pub(super) fn fail<T>(&mut self, offset: usize, problem: Problem) -> Option<T> {
        self.errors.push(Error {
            source_name: self.source.clone(),
            at: self.lines.position(offset),
            chars: 0,
            problem,
        });
        None
    }

    pub(super) fn warn(&mut self, offset: usize, kind: WarningKind) {
        self.warnings.push(Warning {
            source_name: self.source.clone(),
            at: self.lines.position(offset),
            kind,
        });
    }
}

/// A key and its value in the file.
pub(super) struct RawMember<'a> {
    pub(super) key: String,
    pub(super) at: usize,
    pub(super) value: &'a RawValue,
}
