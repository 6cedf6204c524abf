//! What every certificate has that this proxy signs: a serial number and days.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{CertificateParams, SerialNumber, date_time_ymd};

/// Days before now at which validity starts: a guest whose clock is slow must still accept what we sign.
pub(super) const BACKDATE_DAYS: i64 = 7;

/// 127 random bits, positive (RFC 5280 §4.1.2.2 wants a positive number of at most 20 octets).
pub(super) fn serial() -> SerialNumber {
    let mut bytes = [0_u8; 16];
    // A random source that fails would leave a constant serial; the time keeps it unique even then.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes = Timestamp::now().as_nanosecond().to_be_bytes();
    }
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    SerialNumber::from_slice(&bytes)
}

/// Makes `params` valid for whole days (UTC): from a little before the day of `now` until so many days after it.
pub(super) fn valid(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let midnight = |offset| {
        let (year, month, day) = date(now, offset);
        date_time_ymd(year, month, day)
    };
    params.not_before = midnight(-BACKDATE_DAYS);
    params.not_after = midnight(days);
}

fn date(now: Timestamp, offset: i64) -> (i32, u8, u8) {
    let then = now
        .checked_add(SignedDuration::from_hours(24 * offset))
        .unwrap_or(Timestamp::MAX)
        .to_zoned(TimeZone::UTC);
    (
        i32::from(then.year()),
        then.month().unsigned_abs(),
        then.day().unsigned_abs(),
    )
}
