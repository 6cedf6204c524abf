//! A network of a test's own, where one can be made.

use super::namespace;

/// Whether this process is the one with a network of its own; its loopback is up then.
///
/// Anywhere else `test` is run once more in a process that has one, and must pass there. Where no network can be made,
/// the reason is printed.
#[expect(clippy::print_stdout, reason = "a test says why it was left out")]
pub(crate) fn is_own(test: &str) -> bool {
    if namespace::is_inside() {
        return true;
    }
    match namespace::again(test, &["--net", "--mount"]) {
        Ok(said) => println!("{said}"),
        Err(reasons) => {
            println!("left out: no network of its own can be made here: {reasons:?}");
        }
    }
    false
}
