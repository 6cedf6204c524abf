//! The cryptography of both sides.

use std::sync::Arc;

use rustls::CipherSuite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS13_AES_128_GCM_SHA256,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The library's own, with the suites of AES-128 before those of AES-256, as browsers have it.
///
/// COST: processors have instructions for SHA-256, and few for the SHA-384 that goes with AES-256. It was a seventh of
/// what a new connection costs.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let is_quick = matches!(
            suite.suite(),
            TLS13_AES_128_GCM_SHA256
                | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        (suite.tls13().is_none(), !is_quick)
    });
    Arc::new(provider)
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite::{TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256};

    use super::*;

    #[test]
    fn what_processors_do_fastest_comes_first_and_nothing_is_lost() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|s| s.suite()).collect();
        assert_eq!(
            suites[..3],
            [
                TLS13_AES_128_GCM_SHA256,
                TLS13_AES_256_GCM_SHA384,
                TLS13_CHACHA20_POLY1305_SHA256
            ]
        );
        assert_eq!(suites[3], TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
        assert_eq!(suites[4], TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
        for suite in aws_lc_rs::DEFAULT_CIPHER_SUITES {
            assert!(suites.contains(&suite.suite()), "{suite:?}");
        }
    }
}
