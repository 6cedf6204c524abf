//! Entries that are objects, field by field.

use super::{
    Problem,
    fields::{Field, Kind, Shape},
    reader::{RawMember, Reader},
};
use crate::language::{Spanned, nearest};
use serde_json::value::RawValue;

/// The fields of an entry, read one by one.
pub(super) struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    members: Vec<RawMember<'a>>,
    shape: &'static Shape,
    at: usize,
    key: &'r str,
}

impl<'r, 'a> Fields<'r, 'a> {
    /// Reports the fields that the entry should not have, and those that it should.
    pub(super) fn open(
        reader: &'r mut Reader<'a>,
        value: &'a RawValue,
        key: &'r str,
        shape: &'static Shape,
    ) -> Option<Self> {
        let members = reader.object(value, key)?;
        let at = reader.offset(value);
        for member in &members {
            let names: Vec<_> = shape.fields.iter().map(|field| field.name).collect();
            if !names.contains(&member.key.as_str()) {
                let problem = Problem::UnknownField {
                    near: nearest(&member.key, &names),
                    name: member.key.as_str().into(),
                    key: key.into(),
                };
                reader.fail::<()>(member.at, problem);
            }
        }
        let has = |name: &str| members.iter().any(|member| member.key == name);
        if let Some(names) = shape.needs.unmet(has) {
            return reader.fail(at, Problem::MissingField { names });
        }
        Some(Self {
            reader,
            members,
            shape,
            at,
            key,
        })
    }

    fn value(&self, name: &str) -> Option<&'a RawValue> {
        let member = self.members.iter().find(|member| member.key == name);
        member.map(|member| member.value)
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.shape.fields.iter().find(|field| field.name == name)
    }

    fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    fn require(&mut self, name: &str) -> Option<&'a RawValue> {
        let value = self.value(name);
        if value.is_none() {
            let names = self
                .field(name)
                .map_or(&[][..], |field| std::slice::from_ref(&field.name));
            self.reader
                .fail::<()>(self.at, Problem::MissingField { names });
        }
        value
    }

    /// A string that must be there.
    pub(super) fn text<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let value = self.require(name)?;
        self.reader.parsed(&self.path(name), value, parse)
    }

    /// A string that may be there. The outer `None` is an error, reported.
    #[expect(
        clippy::option_option,
        reason = "the outer one is `?` for errors, as everywhere here"
    )]
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Option<Spanned<T>>> {
        match self.value(name) {
            Some(value) => self.reader.parsed(&self.path(name), value, parse).map(Some),
            None => Some(None),
        }
    }

    /// A list of strings that may be there, but then holds some.
    #[expect(
        clippy::option_option,
        reason = "the outer one is `?` for errors, as everywhere here"
    )]
    pub(super) fn optional_list<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Option<Vec<T>>> {
        let Some(value) = self.value(name) else {
            return Some(None);
        };
        let before = self.reader.errors.len();
        let path = self.path(name);
        let list = self.reader.strings(&path, value, parse)?;
        if list.is_empty() && self.reader.errors.len() == before {
            let at = self.reader.offset(value);
            let key = path.into();
            return self.reader.fail(at, Problem::EmptyList { key });
        }
        let values = list.into_iter().map(|entry| entry.value).collect();
        (self.reader.errors.len() == before).then_some(Some(values))
    }

    /// An object that must be there.
    pub(super) fn object<T>(
        &mut self,
        name: &str,
        read: impl Fn(&mut Fields<'_, 'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.require(name)?;
        let Some(Kind::Object(shape)) = self.field(name).map(|field| field.kind) else {
            return None;
        };
        let path = self.path(name);
        read(&mut Fields::open(self.reader, value, &path, shape)?)
    }
}
