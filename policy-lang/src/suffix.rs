//! Public suffixes: names directly below which anybody can register one.

/// Whether anybody can have a name directly below `name`, a canonical name (<https://publicsuffix.org>). A
/// top-level domain is one whether it is listed or not.
pub fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.as_bytes().len() == name.len())
}

/// Whether a canonical name is a top-level domain of the list. Single labels that are not are names of somebody's own
/// network.
pub(crate) fn is_top_level_domain(name: &str) -> bool {
    !name.contains('.') && psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

/// The part of a canonical name that one party has registered: `example.co.uk` of `www.example.co.uk`. `None` for
/// a public suffix.
pub fn registered_domain(name: &str) -> Option<&str> {
    let domain = psl::domain(name.as_bytes())?.as_bytes().len();
    name.get(name.len() - domain..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_known() {
        let rows = [
            ("com", true, None),
            ("nosuchtld", true, None),
            ("co.uk", true, None),
            ("github.io", true, None),
            ("example.com", false, Some("example.com")),
            ("a.b.example.co.uk", false, Some("example.co.uk")),
            ("me.github.io", false, Some("me.github.io")),
            ("x.internal", false, Some("x.internal")),
            ("xn--55qx5d.cn", true, None),
        ];
        for (name, suffix, registered) in rows {
            assert_eq!(is_public_suffix(name), suffix, "{name}");
            assert_eq!(registered_domain(name), registered, "{name}");
        }
        let top = ["com", "xn--p1ai", "zip"].map(is_top_level_domain);
        assert_eq!(top, [true; 3]);
        let not = ["nosuchtld", "localhost", "printer", "co.uk", "example.com"];
        assert_eq!(not.map(is_top_level_domain), [false; 5]);
    }
}
