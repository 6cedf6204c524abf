//! Which vendors' logins are known: where tokens are had, and where they are used.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use policy_lang::Target;

/// A vendor's login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name, as the log shows it.
    pub name: Cow<'static, str>,
    /// Hosts that exchange tokens, each with its port.
    pub endpoints: Vec<Cow<'static, str>>,
    /// The path of an exchange has one of these as a segment. A whole path would invite other spellings of it.
    pub segments: Vec<Cow<'static, str>>,
    /// Hosts that tokens are used on, beyond the endpoints, each with its port.
    pub hosts: Vec<Cow<'static, str>>,
    /// How its tokens begin: clients look at that.
    pub prefixes: Vec<Cow<'static, str>>,
}

/// Name, endpoints, segments, hosts, prefixes.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

/// The logins of agents that are known: `claude`, `codex`, `gemini`, `gh` and `copilot`.
const LOGINS: [Row; 4] = [
    (
        "anthropic",
        &[
            "platform.claude.com:443",
            "console.anthropic.com:443",
            "api.anthropic.com:443",
        ],
        // The second gives an API key for a token.
        &["token", "create_api_key"],
        &["claude.ai:443", "mcp-proxy.anthropic.com:443"],
        &["sk-ant-oat01-", "sk-ant-ort01-", "sk-ant-api03-"],
    ),
    (
        "openai",
        &["auth.openai.com:443"],
        &["token"],
        &["api.openai.com:443", "chatgpt.com:443"],
        &["sk-"],
    ),
    (
        "google",
        &["oauth2.googleapis.com:443"],
        &["token"],
        &[
            "www.googleapis.com:443",
            "cloudcode-pa.googleapis.com:443",
            "generativelanguage.googleapis.com:443",
            "aiplatform.googleapis.com:443",
        ],
        &["ya29."],
    ),
    (
        "github",
        &["github.com:443"],
        &["access_token"],
        &[
            "api.github.com:443",
            "raw.githubusercontent.com:443",
            "copilot.github.com:443",
            "api.githubcopilot.com:443",
            "api.individual.githubcopilot.com:443",
            "api.business.githubcopilot.com:443",
            "api.enterprise.githubcopilot.com:443",
        ],
        &["gho_", "ghu_", "ghr_"],
    ),
];

impl Login {
    /// All that are known.
    #[must_use]
    pub fn known() -> Vec<Self> {
        let own = |texts: &[&'static str]| texts.iter().copied().map(Cow::Borrowed).collect();
        let rows = LOGINS.iter();
        rows.map(|(name, endpoints, segments, hosts, prefixes)| Self {
            name: Cow::Borrowed(name),
            endpoints: own(endpoints),
            segments: own(segments),
            hosts: own(hosts),
            prefixes: own(prefixes),
        })
        .collect()
    }

    pub(super) fn is_for(&self, target: &Target) -> bool {
        let target = target.to_string();
        let mut hosts = self.endpoints.iter().chain(&self.hosts);
        hosts.any(|host| *host == target)
    }

    /// Whether what `path` on `target` answers may be tokens.
    pub(super) fn is_endpoint(&self, target: &Target, path: &str) -> bool {
        let target = target.to_string();
        let path = percent_decode_str(path)
            .decode_utf8_lossy()
            .replace('\\', "/");
        let known = |segment: &str| {
            let name = segment.split(';').next().unwrap_or_default().trim();
            let mut known = self.segments.iter();
            known.any(|known| known.eq_ignore_ascii_case(name))
        };
        self.endpoints.iter().any(|host| *host == target) && path.split('/').any(known)
    }

    /// How `token` begins, as far as that is the same for all of its kind.
    pub(super) fn prefix_of(&self, token: &str) -> &str {
        let mut prefixes = self.prefixes.iter();
        let prefix = prefixes.find(|prefix| token.starts_with(&***prefix));
        prefix.map_or("", |prefix| prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_endpoint_is_one() {
        let login = Login::known().remove(0);
        let rows = [
            ("console.anthropic.com:443", "/v1/oauth/token", true),
            ("console.anthropic.com:443", "/v1/oauth//token/", true),
            ("console.anthropic.com:443", "/v1/oauth/%74oken", true),
            ("console.anthropic.com:443", "/V1/OAuth/Token;x=y", true),
            ("console.anthropic.com:443", "/v1/oauth%2ftoken", true),
            ("console.anthropic.com:443", "/x/../v1/oauth/token", true),
            (
                "api.anthropic.com:443",
                "/api/oauth/claude_cli/create_api_key",
                true,
            ),
            ("api.anthropic.com:443", "/v1/messages/count_tokens", false),
            ("console.anthropic.com:443", "/tokens.js", false),
            ("console.anthropic.com:8443", "/v1/oauth/token", false),
            ("claude.ai:443", "/v1/oauth/token", false),
            ("evil.test:443", "/v1/oauth/token", false),
        ];
        for (target, path, expected) in rows {
            let target = Target::parse(target, None).unwrap();
            assert_eq!(login.is_endpoint(&target, path), expected, "{target}{path}");
        }
    }

    #[test]
    fn every_host_of_the_table_is_canonical() {
        for login in Login::known() {
            for host in login.endpoints.iter().chain(&login.hosts) {
                let target = Target::parse(host, None).unwrap();
                assert_eq!(target.to_string(), **host);
                assert!(login.is_for(&target));
            }
        }
    }
}
