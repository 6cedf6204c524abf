//! Which vendors' logins are known: where tokens are had, and where they are used.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use policy_lang::Target;

/// A vendor's login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name, as the log shows it.
    pub name: Cow<'static, str>,
    /// Hosts that exchange tokens, each with its port.
    pub endpoints: Vec<Cow<'static, str>>,
    /// A path whose answer may bring tokens has one of these as a segment. Broad, because a whole path would invite other
    /// spellings of it, and nothing leaves by an answer that is looked through without need.
    pub segments: Vec<Cow<'static, str>>,
    /// Where tokens are said in a body, each an endpoint with the path as clients spell it. Exact, because whoever chooses
    /// a path may read what is sent there.
    pub exchanges: Vec<Cow<'static, str>>,
    /// Hosts that tokens are used on, beyond the endpoints, each with its port.
    pub hosts: Vec<Cow<'static, str>>,
    /// How its tokens begin: clients look at that.
    pub prefixes: Vec<Cow<'static, str>>,
}

/// A login as the table has it.
struct Known {
    name: &'static str,
    endpoints: &'static [&'static str],
    segments: &'static [&'static str],
    exchanges: &'static [&'static str],
    hosts: &'static [&'static str],
    prefixes: &'static [&'static str],
}

/// The logins of agents that are known: `claude`, `codex`, `gemini`, `gh` and `copilot`.
const LOGINS: [Known; 4] = [
    Known {
        name: "anthropic",
        endpoints: &[
            "platform.claude.com:443",
            "console.anthropic.com:443",
            "api.anthropic.com:443",
        ],
        // The second gives an API key for a token, which is said in a header.
        segments: &["token", "create_api_key"],
        exchanges: &[
            "platform.claude.com:443/v1/oauth/token",
            "console.anthropic.com:443/v1/oauth/token",
            "api.anthropic.com:443/v1/oauth/token",
        ],
        hosts: &["claude.ai:443", "mcp-proxy.anthropic.com:443"],
        prefixes: &["sk-ant-oat01-", "sk-ant-ort01-", "sk-ant-api03-"],
    },
    Known {
        name: "openai",
        endpoints: &["auth.openai.com:443"],
        segments: &["token"],
        exchanges: &["auth.openai.com:443/oauth/token"],
        hosts: &["api.openai.com:443", "chatgpt.com:443"],
        prefixes: &["sk-"],
    },
    Known {
        name: "google",
        endpoints: &["oauth2.googleapis.com:443"],
        segments: &["token"],
        exchanges: &["oauth2.googleapis.com:443/token"],
        hosts: &[
            "www.googleapis.com:443",
            "cloudcode-pa.googleapis.com:443",
            "generativelanguage.googleapis.com:443",
            "aiplatform.googleapis.com:443",
        ],
        prefixes: &["ya29."],
    },
    Known {
        name: "github",
        endpoints: &["github.com:443"],
        segments: &["access_token"],
        exchanges: &["github.com:443/login/oauth/access_token"],
        hosts: &[
            "api.github.com:443",
            "raw.githubusercontent.com:443",
            "copilot.github.com:443",
            "api.githubcopilot.com:443",
            "api.individual.githubcopilot.com:443",
            "api.business.githubcopilot.com:443",
            "api.enterprise.githubcopilot.com:443",
        ],
        prefixes: &["gho_", "ghu_", "ghr_"],
    },
];

impl Login {
    /// All that are known.
    #[must_use]
    pub fn known() -> Vec<Self> {
        let own = |texts: &[&'static str]| texts.iter().copied().map(Cow::Borrowed).collect();
        let known = LOGINS.iter();
        known
            .map(|known| Self {
                name: Cow::Borrowed(known.name),
                endpoints: own(known.endpoints),
                segments: own(known.segments),
                exchanges: own(known.exchanges),
                hosts: own(known.hosts),
                prefixes: own(known.prefixes),
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

    /// Whether a request for `path` on `target` may say tokens in its body: spelled as the vendor's clients spell it.
    pub(super) fn is_exchange(&self, method: &Method, target: &Target, path: &str) -> bool {
        let asked = format!("{target}{path}");
        *method == Method::POST && self.exchanges.iter().any(|known| *known == asked)
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
    fn one_spelling_of_an_exchange_is_one() {
        let rows = [
            ("POST", "platform.claude.com:443", "/v1/oauth/token", true),
            ("POST", "console.anthropic.com:443", "/v1/oauth/token", true),
            ("POST", "api.anthropic.com:443", "/v1/oauth/token", true),
            ("POST", "auth.openai.com:443", "/oauth/token", true),
            ("POST", "oauth2.googleapis.com:443", "/token", true),
            ("POST", "github.com:443", "/login/oauth/access_token", true),
            ("GET", "github.com:443", "/login/oauth/access_token", false),
            ("post", "github.com:443", "/login/oauth/access_token", false),
            (
                "POST",
                "github.com:8443",
                "/login/oauth/access_token",
                false,
            ),
            (
                "POST",
                "github.com:443",
                "/login/oauth/access_token/",
                false,
            ),
            (
                "POST",
                "github.com:443",
                "/login/oauth/access%5Ftoken",
                false,
            ),
            (
                "POST",
                "github.com:443",
                "/x/access_token/git-receive-pack",
                false,
            ),
            ("POST", "github.com:443", "/access_token", false),
            ("POST", "github.com:443", "", false),
            (
                "POST",
                "api.anthropic.com:443",
                "/v1/token/../messages",
                false,
            ),
            (
                "POST",
                "api.anthropic.com:443",
                "/api/oauth/claude_cli/create_api_key",
                false,
            ),
            (
                "POST",
                "api.github.com:443",
                "/login/oauth/access_token",
                false,
            ),
            ("POST", "claude.ai:443", "/v1/oauth/token", false),
        ];
        for (method, target, path, expected) in rows {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let target = Target::parse(target, None).unwrap();
            let got = Login::known()
                .iter()
                .any(|login| login.is_exchange(&method, &target, path));
            assert_eq!(got, expected, "{method} {target}{path}");
        }
    }

    /// Its answer is looked through as well.
    #[test]
    fn every_exchange_of_the_table_is_an_endpoint() {
        for login in Login::known() {
            for exchange in &login.exchanges {
                let (target, path) = exchange.split_at(exchange.find('/').unwrap());
                let target = Target::parse(target, None).unwrap();
                assert!(login.is_endpoint(&target, path), "{exchange}");
                assert!(login.is_exchange(&Method::POST, &target, path));
            }
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
