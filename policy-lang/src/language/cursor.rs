//! A place in a file that moves forward, and the errors met on the way.

use super::{
    Error, Problem,
    span::{Span, Spanned},
    token,
};
use crate::position::Lines;
use nom::{IResult, Parser};
use std::sync::Arc;

/// Why a statement could not be read, and which of its bytes show it.
pub(super) struct Failure {
    pub(super) span: Span,
    pub(super) problem: Problem,
}

pub(super) type Read<T> = Result<T, Failure>;

pub(super) struct Cursor<'a> {
    text: &'a str,
    rest: &'a str,
    lines: Lines<'a>,
    source: Arc<str>,
    pub(super) errors: Vec<Error>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, source: Arc<str>) -> Self {
        Self {
            text,
            rest: text,
            lines: Lines::of(text),
            source,
            errors: Vec::new(),
        }
    }

    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The offset of what comes next.
    pub(super) fn offset(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Reads a token if it is the next thing.
    pub(super) fn take<T>(
        &mut self,
        parse: impl FnOnce(&'a str) -> IResult<&'a str, T>,
    ) -> Option<Spanned<T>> {
        let start = self.offset();
        let (rest, value) = parse(self.rest).ok()?;
        self.rest = rest;
        let end = self.offset();
        Some(Spanned {
            value,
            span: Span { start, end },
        })
    }

    /// Reads a token after spaces.
    pub(super) fn next<T>(
        &mut self,
        parse: impl FnOnce(&'a str) -> IResult<&'a str, T>,
    ) -> Option<Spanned<T>> {
        self.take(token::space);
        self.take(parse)
    }

    /// Reads a word after spaces, or says what is missing.
    pub(super) fn word(&mut self, wanted: &'static str) -> Read<Spanned<&'a str>> {
        match self.next(token::word) {
            Some(word) => Ok(word),
            None => Err(self.missing(wanted)),
        }
    }

    /// The next word, left where it is.
    pub(super) fn peek(&mut self) -> Option<&'a str> {
        self.take(token::space);
        token::word.parse(self.rest).ok().map(|(_, word)| word)
    }

    /// The failure of finding the end of the line where `wanted` should be.
    pub(super) fn missing(&self, wanted: &'static str) -> Failure {
        let start = self.offset();
        let span = Span { start, end: start };
        let problem = match self.rest.starts_with('"') {
            true => Problem::Unclosed { what: "string" },
            false => Problem::Missing { wanted },
        };
        Failure { span, problem }
    }

    pub(super) fn report(&mut self, failure: Failure) {
        let at = self.lines.position(failure.span.start);
        let shown = self.text.get(failure.span.start..failure.span.end);
        self.errors.push(Error {
            source_name: self.source.clone(),
            at,
            chars: shown.map_or(0, |text| text.chars().count()),
            problem: failure.problem,
        });
    }
}

impl<T> Spanned<T> {
    /// Turns the error of a value into a failure at its place.
    pub(super) fn check<U, E: Into<Problem>>(
        self,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Read<Spanned<U>> {
        let span = self.span;
        match parse(self.value) {
            Ok(value) => Ok(Spanned { value, span }),
            Err(error) => Err(Failure {
                span,
                problem: error.into(),
            }),
        }
    }

    pub(super) fn fail<U>(self, problem: impl FnOnce(T) -> Problem) -> Read<U> {
        Err(Failure {
            span: self.span,
            problem: problem(self.value),
        })
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: change(self.value),
            span: self.span,
        }
    }
}
