//! As much of YAML as a policy needs: maps, lists and strings, with lines.
//!
//! INVARIANT: time and memory are linear in the text. Aliases, with which a small file becomes a large one, are
//! refused.

use super::{ImportError, draft::harmless};
use saphyr_parser::{Event, Parser, Span};

/// A policy has three levels.
const MOST_DEPTH: usize = 16;

#[derive(Debug)]
pub(super) struct Node {
    line: usize,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Text(_) | Value::Map(_) => &[],
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, usize, &Self)> {
        let members = match &self.value {
            Value::Map(members) => members.as_slice(),
            Value::Text(_) | Value::List(_) => &[],
        };
        members
            .iter()
            .map(|(key, node)| (key.as_str(), node.line, node))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.members()
            .find(|(known, _, _)| *known == key)
            .map(|(_, _, node)| node)
    }
}

/// Reads the first document of a text.
pub(super) fn parse(text: &str) -> Result<Node, ImportError> {
    let mut events = Parser::new_from_str(text);
    loop {
        let (event, span) = next(&mut events)?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => {
                return Err(ImportError::Missing("the file is empty".to_owned()));
            }
            event => return node(&mut events, event, span, 0),
        }
    }
}

type Events<'t> = Parser<'t, saphyr_parser::StrInput<'t>>;

fn next<'t>(events: &mut Events<'t>) -> Result<(Event<'t>, Span), ImportError> {
    match events.next() {
        Some(Ok(event)) => Ok(event),
        Some(Err(error)) => Err(ImportError::Syntax {
            line: error.marker().line(),
            message: harmless(&format!("not YAML: {}", error.info())),
        }),
        None => Err(ImportError::Missing("the file ends too early".to_owned())),
    }
}

fn node<'t>(
    events: &mut Events<'t>,
    event: Event<'t>,
    span: Span,
    depth: usize,
) -> Result<Node, ImportError> {
    let line = span.start.line();
    let refuse = |message: &str| ImportError::Syntax {
        line,
        message: message.to_owned(),
    };
    if depth > MOST_DEPTH {
        return Err(refuse("values are nested too deep"));
    }
    let value = match event {
        Event::Scalar(text, ..) => Value::Text(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                let (event, span) = next(events)?;
                if matches!(event, Event::SequenceEnd) {
                    break Value::List(items);
                }
                items.push(node(events, event, span, depth + 1)?);
            }
        }
        Event::MappingStart(..) => {
            let mut members = Vec::new();
            loop {
                let (event, span) = next(events)?;
                if matches!(event, Event::MappingEnd) {
                    break Value::Map(members);
                }
                let key = node(events, event, span, depth + 1)?;
                let (event, span) = next(events)?;
                let member = node(events, event, span, depth + 1)?;
                members.push((key.text().unwrap_or("").to_owned(), member));
            }
        }
        Event::Alias(_) => return Err(refuse("aliases are not taken")),
        _ => return Err(refuse("the document ends too early")),
    };
    Ok(Node { line, value })
}
