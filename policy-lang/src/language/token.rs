//! Words, strings and comments, with nom.

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{take_while, take_while1},
    character::complete::{char, none_of, one_of},
    combinator::{eof, opt, recognize, value, verify},
    multi::fold_many0,
    sequence::{delimited, preceded},
};

/// Space within a line.
pub(super) fn space(input: &str) -> IResult<&str, &str> {
    take_while(|c| matches!(c, ' ' | '\t' | '\r')).parse(input)
}

/// Space, line breaks included: between the braces of a set.
pub(super) fn gap(input: &str) -> IResult<&str, &str> {
    take_while(|c: char| c.is_ascii_whitespace()).parse(input)
}

/// Everything up to a space. A `#` starts a comment only where a word would start, so URLs keep theirs.
pub(super) fn word(input: &str) -> IResult<&str, &str> {
    verify(
        take_while1(|c: char| !c.is_ascii_whitespace()),
        |word: &str| !word.starts_with('#'),
    )
    .parse(input)
}

/// A member of a set: a word that also ends at a comma, brace or comment.
pub(super) fn member(input: &str) -> IResult<&str, &str> {
    take_while1(|c: char| !c.is_ascii_whitespace() && !matches!(c, ',' | '{' | '}' | '#'))
        .parse(input)
}

/// Whether a set can be called that.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.bytes().all(plain)
}

/// The name of a set where it is defined: a word that also ends at `=`.
pub(super) fn name(input: &str) -> IResult<&str, &str> {
    take_while1(|c: char| !c.is_ascii_whitespace() && !matches!(c, '=' | '{' | '#')).parse(input)
}

/// Text in quotes, on one line; `\"` and `\\` stand for `"` and `\`.
pub(super) fn quoted(input: &str) -> IResult<&str, String> {
    let plain = none_of("\"\\\r\n");
    let escaped = preceded(char('\\'), one_of("\"\\"));
    let text = fold_many0(alt((plain, escaped)), String::new, |mut text, c| {
        text.push(c);
        text
    });
    delimited(char('"'), text, char('"')).parse(input)
}

/// `# …` up to the end of the line, trimmed.
pub(super) fn comment(input: &str) -> IResult<&str, &str> {
    preceded(char('#'), line_text).map(str::trim).parse(input)
}

/// Not nom's `not_line_ending`, which fails on a lone carriage return.
fn line_text(input: &str) -> IResult<&str, &str> {
    take_while(|c| c != '\n').parse(input)
}

/// The end of a line or of the file.
pub(super) fn line_end(input: &str) -> IResult<&str, &str> {
    alt((recognize(char('\n')), eof)).parse(input)
}

/// One of the marks `=`, `{`, `}` and `,`.
pub(super) fn mark(mark: char, input: &str) -> IResult<&str, ()> {
    value((), char(mark)).parse(input)
}

/// The rest of the line, for recovery.
pub(super) fn rest_of_line(input: &str) -> IResult<&str, &str> {
    recognize((line_text, opt(char('\n')))).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_undone() {
        let rows = [
            (r#""a b""#, Some("a b")),
            (r#""""#, Some("")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r#""a"#, None),
            (r#""a\n""#, None),
            ("\"a\nb\"", None),
            ("a", None),
        ];
        for (text, expected) in rows {
            let found = quoted(text).ok().map(|(_, text)| text);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
