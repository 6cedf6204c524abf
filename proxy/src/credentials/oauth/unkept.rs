//! Renewed refresh tokens that could not be written to the file they belong in.
//!
//! The endpoint takes the old one for used up (RFC 9700 §4.14.2), so the new one serves from memory, until it can be kept
//! or the proxy ends.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use secrecy::zeroize::Zeroizing;

use super::Grant;
use crate::private_file;

/// By the file: the refresh token that is in it, and the one in its place.
#[derive(Default)]
pub(super) struct Unkept(Mutex<HashMap<Box<str>, (Token, Token)>>);

type Token = Zeroizing<String>;

impl std::fmt::Debug for Unkept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Unkept")
    }
}

impl Unkept {
    /// Puts the token in the place of the one in the file, if that is still there. Returns the one in the file.
    pub(super) fn renew(&self, file: &str, grant: &mut Grant) -> Token {
        let in_file = Zeroizing::new(grant.refresh_token.clone());
        let unkept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((replaced, renewed)) = unkept.get(file)
            && *replaced == in_file
        {
            drop(Zeroizing::new(std::mem::take(&mut grant.refresh_token)));
            grant.refresh_token.clone_from(renewed);
        }
        in_file
    }

    /// Writes `grant` to its file if its token is not the one in there. An error says that it is here instead.
    pub(super) fn keep(&self, file: &str, in_file: &Token, grant: &Grant) -> io::Result<()> {
        let kept = match grant.refresh_token == **in_file {
            true => Ok(()),
            false => write(Path::new(file), grant),
        };
        let mut unkept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &kept {
            Ok(()) => unkept.remove(file),
            Err(_) => {
                let renewed = Zeroizing::new(grant.refresh_token.clone());
                unkept.insert(file.into(), (in_file.clone(), renewed))
            }
        };
        kept
    }
}

fn write(file: &Path, grant: &Grant) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(grant).map(Zeroizing::new)?;
    private_file::replace(file, &json)
}
