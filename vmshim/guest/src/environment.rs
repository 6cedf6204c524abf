//! How every client finds the proxy and trusts its certificates.
//!
//! There is no standard, so this is the union of what clients read. Both spellings of the proxy
//! variables, because curl and wget read only the lower-case ones and some others only the upper-case.
//!
//! Java is left out on purpose: the only variables that every JVM reads, `JAVA_TOOL_OPTIONS` and
//! `JDK_JAVA_OPTIONS`, make each of them print a line to its error output, which breaks programs that
//! read it. It trusts our certificate by a file (see [`crate::trust`]) and needs no proxy: names lead there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::trust::{BUNDLE, CERTS_DIR, OUR_CERT};

/// The proxy as programs in the guest name it.
pub const PROXY: &str = "http://host.docker.internal:3128";

/// What is never asked of the proxy: the guest itself.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";

/// Variables whose value is [`PROXY`].
const PROXY_VARIABLES: [&str; 19] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "GRPC_PROXY",
    "grpc_proxy",
    "WS_PROXY",
    "WSS_PROXY",
    "CARGO_HTTP_PROXY",
    "DOCKER_HTTP_PROXY",
    "DOCKER_HTTPS_PROXY",
    "YARN_HTTP_PROXY",
    "YARN_HTTPS_PROXY",
    "npm_config_https_proxy",
    "npm_config_proxy",
];

/// Variables that replace a client's own roots, so their value is the system's bundle, which has ours.
pub(crate) const BUNDLE_VARIABLES: [&str; 18] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
    "YARN_HTTPS_CA_FILE_PATH",
    "BUNDLE_SSL_CA_CERT",
    "PERL_LWP_SSL_CA_FILE",
    "AWS_CA_BUNDLE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CODEX_CA_CERTIFICATE",
    "HTTPLIB2_CA_CERTS",
    "HEX_CACERTS_PATH",
    "NIX_SSL_CERT_FILE",
];

/// Variables that add to a client's own roots, so their value is our certificate alone.
pub(crate) const CERT_VARIABLES: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// Everything else.
const SWITCHES: [(&str, &str); 11] = [
    ("NO_PROXY", NO_PROXY),
    ("no_proxy", NO_PROXY),
    ("SSL_CERT_DIR", CERTS_DIR),
    ("NODE_USE_ENV_PROXY", "1"),
    ("NODE_USE_SYSTEM_CA", "1"),
    ("DENO_TLS_CA_STORE", "system"),
    ("UV_SYSTEM_CERTS", "true"),
    ("CARGO_NET_GIT_FETCH_WITH_CLI", "true"),
    ("CLOUDSDK_PROXY_TYPE", "http"),
    ("CLOUDSDK_PROXY_ADDRESS", "host.docker.internal"),
    ("CLOUDSDK_PROXY_PORT", "3128"),
];

/// Takes a host and a port without a scheme.
const RSYNC: (&str, &str) = ("RSYNC_PROXY", "host.docker.internal:3128");

/// The whole table, in a fixed order. Without a certificate nothing names one: the proxy then
/// intercepts nothing.
#[must_use]
pub fn table(ca_pem: Option<&str>) -> Vec<(String, String)> {
    let proxy = PROXY_VARIABLES.map(|name| (name, PROXY));
    let mut table: Vec<(String, String)> = proxy
        .into_iter()
        .chain([RSYNC])
        .chain(SWITCHES)
        .chain(BUNDLE_VARIABLES.map(|name| (name, BUNDLE)))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if let Some(pem) = ca_pem {
        table.extend(CERT_VARIABLES.map(|name| (name.to_owned(), OUR_CERT.to_owned())));
        table.push(("PROXY_CA_CERT_B64".to_owned(), STANDARD.encode(pem)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn what_clients_read() {
        let all = table(Some("PEM"));
        let map: HashMap<_, _> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(map.len(), all.len(), "a variable is there twice");
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        let ours = "/usr/local/share/ca-certificates/proxy-ca.crt";
        let proxy = "http://host.docker.internal:3128";
        let rows = [
            ("http_proxy", proxy),
            ("HTTPS_PROXY", proxy),
            ("npm_config_https_proxy", proxy),
            ("RSYNC_PROXY", "host.docker.internal:3128"),
            ("NO_PROXY", "localhost,127.0.0.1,::1"),
            ("no_proxy", "localhost,127.0.0.1,::1"),
            ("SSL_CERT_FILE", bundle),
            ("SSL_CERT_DIR", "/etc/ssl/certs"),
            ("PIP_CERT", bundle),
            ("REQUESTS_CA_BUNDLE", bundle),
            ("CURL_CA_BUNDLE", bundle),
            ("GIT_SSL_CAINFO", bundle),
            ("CARGO_HTTP_CAINFO", bundle),
            ("npm_config_cafile", bundle),
            ("NODE_EXTRA_CA_CERTS", ours),
            ("NODE_USE_ENV_PROXY", "1"),
            ("PROXY_CA_CERT_B64", "UEVN"),
        ];
        for (name, value) in rows {
            assert_eq!(map.get(name), Some(&value), "{name}");
        }
        assert!(!map.contains_key("JAVA_TOOL_OPTIONS"));
    }

    #[test]
    fn without_a_certificate_none_is_named() {
        let all = table(None);
        assert!(all.iter().all(|(_, value)| value != OUR_CERT));
        assert!(all.iter().all(|(name, _)| name != "PROXY_CA_CERT_B64"));
        assert!(all.iter().any(|(name, _)| name == "HTTPS_PROXY"));
    }
}
