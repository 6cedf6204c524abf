//! From files to the model: sets looked up, lists and includes read through the caller.

mod lists;

use super::{
    Error, Problem,
    ast::*,
    enforce::unenforceable,
    span::{Span, Spanned},
    terms::InjectItem,
    value::nearest,
};
use crate::{
    Action, Effect, HostPattern, HostScope, Origin, Policy, Port, Position, Rule,
    matcher::Key,
    model::{Budget, Expectation, Injection, Limit, Model},
    position::Lines,
    saved::ListStore,
    warning::{Warning, WarningKind},
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// What a file that is named in another is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The policy language: `include`.
    Policy,
    /// Names, one a line: `list`.
    List,
}

/// A file that the caller loaded.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name for errors and verdicts, the same whichever way it is reached.
    pub name: Arc<str>,
    /// Its text.
    pub text: String,
}

/// How the caller reads a file: what it is, its name as written, and the name of the file that names it.
/// An error is one lower-case clause, such as `no such file`.
pub type Loader<'l> = dyn Load + 'l;

/// See [`Loader`]. A closure is one that saves nothing.
pub trait Load {
    /// Reads a file.
    fn load(&mut self, kind: FileKind, name: &str, from: &str) -> Result<Source, String>;

    /// Where images of lists are kept, if they are.
    fn store(&mut self) -> Option<&mut dyn ListStore> {
        None
    }
}

impl<F: FnMut(FileKind, &str, &str) -> Result<Source, String>> Load for F {
    fn load(&mut self, kind: FileKind, name: &str, from: &str) -> Result<Source, String> {
        self(kind, name, from)
    }
}

/// The loader of callers that have no files.
pub fn no_files(_: FileKind, _: &str, _: &str) -> Result<Source, String> {
    Err("files cannot be included here".into())
}

/// Collects the model of a policy from its files.
pub(crate) struct Gatherer<'g, 'l> {
    loader: &'g mut Loader<'l>,
    model: Model,
    errors: Vec<Error>,
    warnings: Vec<Warning>,
    /// Files being read, outermost first.
    open: Vec<Arc<str>>,
    /// Files read already: including one twice is including it once.
    done: Vec<Arc<str>>,
    /// Bytes of all lists so far.
    list_bytes: usize,
}

/// Where in which file a statement stands.
struct Place<'a> {
    source: &'a Arc<str>,
    lines: Lines<'a>,
    text: &'a str,
}

impl<'a> Place<'a> {
    fn of(file: &'a File) -> Self {
        Self {
            source: &file.source,
            lines: Lines::of(&file.text),
            text: &file.text,
        }
    }

    fn at(&self, span: Span) -> Position {
        self.lines.position(span.start)
    }

    fn origin(&self, span: Span) -> Origin {
        Origin::File {
            source: self.source.clone(),
            at: self.at(span),
        }
    }

    /// A pattern or network as it was written. In `proxy-config.json` it stands in quotes; if escapes stand
    /// there too, the canonical form says it better.
    fn written(&self, span: Span, canonical: &dyn fmt::Display) -> Box<str> {
        let slice = self.text.get(span.start..span.end).unwrap_or("");
        let inner = slice.strip_prefix('"').and_then(|s| s.strip_suffix('"'));
        match inner {
            Some(text) if !text.contains('\\') => text.into(),
            _ => canonical.to_string().into(),
        }
    }

    fn error(&self, span: Span, problem: Problem) -> Error {
        let shown = self.text.get(span.start..span.end).unwrap_or("");
        Error {
            source_name: self.source.clone(),
            at: self.at(span),
            chars: shown.chars().count(),
            problem,
        }
    }
}

impl<'g, 'l> Gatherer<'g, 'l> {
    pub(crate) fn new(loader: &'g mut Loader<'l>) -> Self {
        let mut model = Model::default();
        if let Some(store) = loader.store() {
            model.key = Key::of(store);
        }
        Self {
            loader,
            model,
            errors: Vec::new(),
            warnings: Vec::new(),
            open: Vec::new(),
            done: Vec::new(),
            list_bytes: 0,
        }
    }

    /// Reads a file of the language and adds what it says.
    fn include(&mut self, name: &str, from: &Arc<str>, at: Position, chars: usize) {
        let error = |problem| Error {
            source_name: from.clone(),
            at,
            chars,
            problem,
        };
        let source = match self.loader.load(FileKind::Policy, name, from) {
            Ok(source) => source,
            Err(reason) => {
                let (name, reason) = (name.into(), reason.into());
                return self
                    .errors
                    .push(error(Problem::Unreadable { name, reason }));
            }
        };
        if self.open.contains(&source.name) {
            let name = name.into();
            return self.errors.push(error(Problem::Cycle { name }));
        }
        if self.done.contains(&source.name) {
            return;
        }
        match File::parse(&source.text, &source.name) {
            Ok(file) => self.file(&file),
            Err(errors) => self.errors.extend(errors),
        }
    }

    /// Adds what a file says.
    pub(crate) fn file(&mut self, file: &File) {
        self.open.push(file.source.clone());
        let place = Place::of(file);
        let sets = self.sets(file, &place);
        let mut used = HashSet::new();
        for item in file.items() {
            self.item(item, &place, &sets, &mut used);
        }
        let unused = sets.values().filter(|set| !used.contains(&*set.name.value));
        let mut unused: Vec<_> = unused
            .map(|set| (place.at(set.name.span), &set.name.value))
            .collect();
        unused.sort_unstable();
        for (at, name) in unused {
            let name = name.clone();
            self.warn(&place, at, WarningKind::UnusedSet { name });
        }
        self.done.extend(self.open.pop());
    }

    fn sets<'f>(&mut self, file: &'f File, place: &Place<'_>) -> HashMap<&'f str, &'f Set> {
        let mut sets: HashMap<&str, &Set> = HashMap::new();
        for item in file.items() {
            let Item::Set(set) = &item.value else {
                continue;
            };
            if let Some(other) = sets.insert(&set.name.value, set) {
                let name = set.name.value.clone();
                let first = place.at(other.name.span);
                let error = place.error(set.name.span, Problem::DuplicateSet { name, first });
                self.errors.push(error);
            }
        }
        sets
    }

    fn item<'f>(
        &mut self,
        item: &'f Spanned<Item>,
        place: &Place<'_>,
        sets: &HashMap<&'f str, &'f Set>,
        used: &mut HashSet<&'f str>,
    ) {
        let origin = place.origin(item.span);
        match &item.value {
            Item::Set(_) => {}
            Item::Default(action) => self.default(*action, item.span, place),
            Item::DefaultNet(default) => self.net_default(*default, item.span, place),
            Item::Include(name) => {
                let at = place.at(item.span);
                self.include(name, place.source, at, name.chars().count());
            }
            Item::Rule(rule) => {
                if let Subject::Set(name) = &rule.subject.value {
                    used.insert(name);
                }
                self.rule(rule, origin, place, sets);
            }
            Item::Limit(limit) => self.model.limits.push(Limit {
                pattern: limit.pattern.value.clone(),
                rate: limit.rate,
                origin,
            }),
            Item::Budget(budget) => self.model.budgets.push(Budget {
                pattern: budget.pattern.value.clone(),
                allowance: budget.allowance,
                origin,
            }),
            Item::Inject(inject) => self.inject(inject, origin, place),
            Item::Expect(expect) => self.model.expectations.push(Expectation {
                action: expect.action,
                method: expect.method.clone().unwrap_or_else(|| "GET".into()),
                url: expect.url.value.clone(),
                target: expect.target.clone(),
                origin,
            }),
        }
    }

    fn default(&mut self, action: Action, span: Span, place: &Place<'_>) {
        match &self.model.default {
            Some((other, first)) if *other != action => {
                let first = first.clone();
                self.errors
                    .push(place.error(span, Problem::TwoDefaults { first }));
            }
            _ => self.model.default = Some((action, place.origin(span))),
        }
    }

    fn net_default(&mut self, default: NetDefault, span: Span, place: &Place<'_>) {
        match &self.model.net_default {
            Some((other, first)) if *other != default => {
                let first = first.clone();
                self.errors
                    .push(place.error(span, Problem::TwoDefaults { first }));
            }
            _ => self.model.net_default = Some((default, place.origin(span))),
        }
    }

    fn rule(
        &mut self,
        rule: &RuleItem,
        origin: Origin,
        place: &Place<'_>,
        sets: &HashMap<&str, &Set>,
    ) {
        match &rule.subject.value {
            Subject::Host(pattern) => {
                let text = place.written(rule.subject.span, pattern);
                self.push(rule, pattern, text, origin);
            }
            Subject::Net(net) => {
                let effect = match rule.verb {
                    Verb::Allow => Effect::Net(Action::Allow, *net),
                    Verb::Block => Effect::Net(Action::Deny, *net),
                    Verb::Bypass => Effect::BypassNet(*net),
                };
                let text = place.written(rule.subject.span, net);
                self.model.rules.push(Rule {
                    text,
                    effect,
                    origin,
                });
            }
            Subject::Set(name) => match sets.get(&**name) {
                Some(set) => {
                    // A verdict names the member's line: that is what decided.
                    for member in &set.members {
                        let pattern = &member.pattern.value;
                        let origin = place.origin(member.pattern.span);
                        let text = place.written(member.pattern.span, pattern);
                        self.push(rule, pattern, text, origin);
                    }
                }
                None => {
                    let known: Vec<&str> = sets.keys().copied().collect();
                    let near = nearest(name, &known).map(Into::into);
                    let name = name.clone();
                    let problem = Problem::UnknownSet { name, near };
                    self.errors.push(place.error(rule.subject.span, problem));
                }
            },
            Subject::List(name) => self.list(rule, name, place),
        }
    }

    fn push(&mut self, rule: &RuleItem, pattern: &HostPattern, text: Box<str>, origin: Origin) {
        let action = rule.verb.action();
        let effect = match (&rule.request, rule.verb) {
            (_, Verb::Bypass) => Effect::BypassHost(pattern.clone()),
            (Some(request), _) => Effect::Request(action, pattern.clone(), request.clone()),
            (None, _) => Effect::Host(action, pattern.clone()),
        };
        self.model.rules.push(Rule {
            text,
            effect,
            origin,
        });
    }

    fn inject(&mut self, inject: &InjectItem, origin: Origin, place: &Place<'_>) {
        let Spanned { value, span } = &inject.pattern;
        let boxed = || Box::new(value.clone());
        let problem = match (&value.scope, value.ports) {
            (HostScope::Below(_) | HostScope::Any, _) => {
                Some(Problem::InjectMany { pattern: boxed() })
            }
            (_, Some((first, last))) if first != last => {
                Some(Problem::InjectMany { pattern: boxed() })
            }
            (_, Some((Port::HTTP, _))) => Some(Problem::InjectPlain { pattern: boxed() }),
            (HostScope::Exact(_), _) => None,
        };
        match problem {
            Some(problem) => self.errors.push(place.error(*span, problem)),
            None => self.model.injections.push(Injection {
                pattern: HostPattern {
                    scope: value.scope.clone(),
                    ports: value.ports.or(Some((Port::HTTPS, Port::HTTPS))),
                },
                credential: inject.credential.clone(),
                origin,
            }),
        }
    }

    fn warn(&mut self, place: &Place<'_>, at: Position, kind: WarningKind) {
        self.warnings.push(Warning {
            source_name: place.source.clone(),
            at,
            kind,
        });
    }

    /// Compiles what was gathered, unless something in it cannot be enforced.
    pub(crate) fn finish(mut self) -> Result<(Policy, Vec<Warning>), Vec<Error>> {
        self.errors.extend(unenforceable(&self.model));
        match self.errors.is_empty() {
            true => Ok((Policy::new(self.model), self.warnings)),
            false => Err(self.errors),
        }
    }
}
impl File {
    /// A file that says nothing.
    pub(crate) fn empty(source_name: &str) -> Self {
        Self {
            source: source_name.into(),
            text: "".into(),
            lines: Vec::new(),
        }
    }

    /// Whether it holds expectations and nothing else.
    pub fn is_test(&self) -> bool {
        let mut items = self.items();
        let expects = items.clone().next().is_some();
        expects && items.all(|item| matches!(item.value, Item::Expect(_)))
    }

    /// Sets and defaults that are said twice.
    pub(crate) fn contradictions(&self) -> Vec<Error> {
        let mut loader = no_files;
        let mut gatherer = Gatherer::new(&mut loader);
        let place = Place::of(self);
        gatherer.sets(self, &place);
        for item in self.items() {
            match &item.value {
                Item::Default(action) => gatherer.default(*action, item.span, &place),
                Item::DefaultNet(default) => gatherer.net_default(*default, item.span, &place),
                _ => {}
            }
        }
        gatherer.errors
    }

    /// What is wrong whatever the lines say that could not be read, and the files that it names. Sets may have been
    /// made by such a line.
    pub(super) fn errors_alone(&self) -> Vec<Error> {
        let mut errors = self.contradictions();
        let mut loader = no_files;
        let mut gatherer = Gatherer::new(&mut loader);
        let place = Place::of(self);
        for item in self.items() {
            let origin = place.origin(item.span);
            match &item.value {
                Item::Rule(rule) if matches!(rule.subject.value, Subject::Host(_)) => {
                    gatherer.rule(rule, origin, &place, &HashMap::new());
                }
                Item::Inject(inject) => gatherer.inject(inject, origin, &place),
                _ => {}
            }
        }
        errors.extend(gatherer.errors);
        errors.extend(unenforceable(&gatherer.model));
        errors
    }

    /// Makes a policy of it and of the files it names, which `loader` reads.
    pub fn compile(&self, loader: &mut Loader<'_>) -> Result<(Policy, Vec<Warning>), Vec<Error>> {
        let mut gatherer = Gatherer::new(loader);
        gatherer.file(self);
        gatherer.finish()
    }
}
