//! Certificates the sandbox's authority signs for the hosts a guest asks for.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use lru::LruCache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::ca::{Authority, CaError};
use super::certificate::{serial, valid};

/// Leaves kept. COST: about 1 KiB each.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Days a leaf is valid, the backdating included: less than 90, which is what strict clients accept from anybody.
const VALID_DAYS: i64 = 60;

/// Days by which the clock may differ from that of the signing; beyond it a kept leaf is signed anew, far before it
/// expires. By the wall clock, as clients judge it: it jumps, and goes on while the machine sleeps.
const KEPT_DAYS: RangeInclusive<i64> = -1..=14;

/// Longest common name X.520 allows.
const MAX_COMMON_NAME: usize = 64;

/// Signs and keeps leaves. All leaves of a process share one key of their own, never the authority's.
pub(crate) struct Minter {
    authority: Authority,
    key_pair: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    kept: Mutex<LruCache<Box<str>, Kept>>,
}

struct Kept {
    leaf: Arc<CertifiedKey>,
    minted: Timestamp,
}

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        KEPT_DAYS.contains(&now.duration_since(self.minted).as_hours().div_euclid(24))
    }
}

impl Minter {
    pub(crate) fn new(authority: Authority) -> Result<Self, CaError> {
        let key_pair = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pair.serialize_der()));
        let signing_key = any_ecdsa_type(&der).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        Ok(Self {
            authority,
            key_pair,
            signing_key,
            kept: Mutex::new(LruCache::new(CAPACITY)),
        })
    }

    /// The leaf for `host`, a canonical name or the text of an address (an IPv6 one without brackets).
    ///
    /// INVARIANT: called only after the policy admitted `host`, so a guest cannot fill the cache with names it may not use;
    /// those are for [`Self::passing_leaf`].
    /// COST: a miss signs under the lock (about 30 µs). That is on purpose: however many ask at once, a host is signed once.
    pub(crate) fn leaf(&self, host: &str) -> Result<Arc<CertifiedKey>, rcgen::Error> {
        self.leaf_at(host, Timestamp::now())
    }

    /// The same for a host that was refused, where a browser is told so: it is not kept.
    pub(crate) fn passing_leaf(&self, host: &str) -> Result<Arc<CertifiedKey>, rcgen::Error> {
        self.mint(host, Timestamp::now()).map(Arc::new)
    }

    fn leaf_at(&self, host: &str, now: Timestamp) -> Result<Arc<CertifiedKey>, rcgen::Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.get(host).filter(|entry| entry.is_fresh(now)) {
            return Ok(entry.leaf.clone());
        }
        let leaf = Arc::new(self.mint(host, now)?);
        let entry = Kept {
            leaf: leaf.clone(),
            minted: now,
        };
        kept.put(host.into(), entry);
        Ok(leaf)
    }

    /// The authority's certificate as PEM.
    pub(crate) fn authority_pem(&self) -> &str {
        self.authority.pem()
    }

    fn mint(&self, host: &str, now: Timestamp) -> Result<CertifiedKey, rcgen::Error> {
        let leaf: CertificateDer<'static> = params(host, now)?
            .signed_by(&self.key_pair, self.authority.issuer())?
            .der()
            .clone();
        Ok(CertifiedKey::new(
            vec![leaf, self.authority.certificate().clone()],
            self.signing_key.clone(),
        ))
    }
}

fn params(host: &str, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // Clients look at the alternative names only; this is for people who look at a certificate.
    name.push(
        DnType::CommonName,
        if host.len() <= MAX_COMMON_NAME {
            host
        } else {
            "sandbox proxy leaf"
        },
    );
    params.distinguished_name = name;
    params.subject_alt_names = names(host)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(serial());
    valid(&mut params, now, VALID_DAYS);
    Ok(params)
}

/// The host as clients may have called it: `localhost` is this machine also under Docker's names.
fn names(host: &str) -> Result<Vec<SanType>, rcgen::Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SanType::IpAddress(address)]);
    }
    let aliases: &[&str] = match host {
        "localhost" => &["host.docker.internal", "gateway.docker.internal"],
        _ => &[],
    };
    let name = |name: &str| Ok(SanType::DnsName(name.try_into()?));
    [host]
        .iter()
        .chain(aliases)
        .map(|host| name(host))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::SignedDuration;

    use super::*;
    use crate::tls::ca;
    use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

    fn minter() -> (tempfile::TempDir, Minter) {
        let dir = tempfile::tempdir().unwrap();
        let minter = Minter::new(ca::ensure(&dir.path().join("ca")).unwrap()).unwrap();
        (dir, minter)
    }

    #[test]
    fn this_machine_has_dockers_names_too() {
        let names = |host| names(host).unwrap().len();
        assert_eq!((names("localhost"), names("localhost.example")), (3, 1));
    }

    #[test]
    fn a_leaf_is_what_strict_clients_want() {
        let (_dir, minter) = minter();
        let rows = [
            ("api.example.com", GeneralName::DNSName("api.example.com")),
            ("192.0.2.7", GeneralName::IPAddress(&[192, 0, 2, 7])),
            (
                "::1",
                GeneralName::IPAddress(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ),
        ];
        for (host, name) in rows {
            let leaf = minter.leaf(host).unwrap();
            let (_, parsed) = X509Certificate::from_der(&leaf.cert[0]).unwrap();
            let (_, authority) = X509Certificate::from_der(&leaf.cert[1]).unwrap();
            parsed
                .verify_signature(Some(authority.public_key()))
                .unwrap();
            assert_ne!(
                parsed.public_key().raw,
                authority.public_key().raw,
                "never the authority's key"
            );
            assert_eq!(
                parsed
                    .subject_alternative_name()
                    .unwrap()
                    .unwrap()
                    .value
                    .general_names,
                [name]
            );
            assert!(!parsed.is_ca());
            assert!(
                parsed
                    .extended_key_usage()
                    .unwrap()
                    .unwrap()
                    .value
                    .server_auth
            );
            assert!(parsed.raw_serial().len() >= 8 && parsed.raw_serial()[0] < 0x80);
            let has = |wanted: fn(&ParsedExtension<'_>) -> bool| {
                parsed
                    .extensions()
                    .iter()
                    .any(|extension| wanted(extension.parsed_extension()))
            };
            assert!(has(|extension| matches!(
                extension,
                ParsedExtension::AuthorityKeyIdentifier(_)
            )));
            assert!(has(|extension| matches!(
                extension,
                ParsedExtension::SubjectKeyIdentifier(_)
            )));
            let days = (parsed.validity().not_after.timestamp()
                - parsed.validity().not_before.timestamp())
                / 86_400;
            assert!(days <= 90, "{days}");
            let age = Timestamp::now().as_second() - parsed.validity().not_before.timestamp();
            assert!(age >= 86_400, "{age}");
        }
    }

    #[test]
    fn a_host_is_signed_once() {
        let (_dir, minter) = minter();
        let first = minter.leaf("a.example").unwrap();
        assert!(Arc::ptr_eq(&first, &minter.leaf("a.example").unwrap()));
        assert!(!Arc::ptr_eq(&first, &minter.leaf("b.example").unwrap()));
        assert_ne!(first.cert[0], minter.leaf("b.example").unwrap().cert[0]);
    }

    #[test]
    fn a_host_is_signed_once_however_many_ask() {
        let (_dir, minter) = minter();
        let ready = std::sync::Barrier::new(16);
        let ask = || {
            ready.wait();
            minter.leaf("a.example").unwrap()
        };
        let leaves: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(leaves.iter().all(|leaf| Arc::ptr_eq(leaf, &leaves[0])));
    }

    /// F17: whatever a clock does, what a client is shown is valid by it.
    #[test]
    fn a_leaf_follows_the_clock() {
        let (_dir, minter) = minter();
        let start = Timestamp::now();
        let mut last = minter.leaf_at("a.example", start).unwrap();
        // Hours after the start, and whether the leaf is still the last one.
        let rows = [
            (1, true),
            (14 * 24, true),
            (2 * 366 * 24, false),
            (366 * 24, false),
            (366 * 24 - 1, true),
            (0, false),
            (-20, true),
            (-366 * 24, false),
        ];
        for (hours, kept) in rows {
            let now = start
                .checked_add(SignedDuration::from_hours(hours))
                .unwrap();
            let leaf = minter.leaf_at("a.example", now).unwrap();
            assert_eq!(Arc::ptr_eq(&leaf, &last), kept, "{hours} hours");
            let (_, parsed) = X509Certificate::from_der(&leaf.cert[0]).unwrap();
            let validity = parsed.validity();
            let days = |until: i64, from: i64| (until - from) / 86_400;
            let now = now.as_second();
            assert!(
                days(now, validity.not_before.timestamp()) >= 1,
                "{hours} hours"
            );
            assert!(
                days(validity.not_after.timestamp(), now) >= 30,
                "{hours} hours"
            );
            last = leaf;
        }
    }

    /// T4: a hundred thousand names leave no more than the table holds, and signing them takes seconds, not minutes.
    #[test]
    fn the_cache_is_bounded() {
        const NAMES: usize = 100_000;
        let (_dir, minter) = minter();
        let began = Instant::now();
        for host in 0..NAMES {
            minter.leaf(&format!("h{host}.example")).unwrap();
        }
        let kept = minter.kept.lock().unwrap();
        assert_eq!(kept.len(), CAPACITY.get());
        let bytes = |kept: &Kept| kept.leaf.cert.iter().map(|cert| cert.len()).sum::<usize>();
        let held: usize = kept.iter().map(|(_, kept)| bytes(kept)).sum();
        assert!(held < 8 << 20, "{held} bytes");
        // About 3 s of a processor in a debug build; others may be busy with it, too.
        let elapsed = began.elapsed();
        assert!(elapsed < Duration::from_secs(120), "{elapsed:?}");
    }
}
