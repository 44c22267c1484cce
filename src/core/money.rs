//! Money as whole millionths of a US dollar, so that sums are exact to the cent.

use std::{fmt, iter::Sum, ops, str::FromStr};

use serde::{Deserialize, Serialize};

/// An amount in micro-dollars (1 USD = 1,000,000).
///
/// The service's price, 0.0031 USD a request, is 3,100 of them.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    const PER_USD: i64 = 1_000_000;

    /// Returns this amount `count` times, or the largest amount there is.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

impl ops::Add for Micros {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl ops::AddAssign for Micros {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl ops::Sub for Micros {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Micros {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, ops::Add::add)
    }
}

/// Writes dollars with at least two and at most six digits after the point.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let amount = self.0.unsigned_abs();
        let scale = Self::PER_USD.unsigned_abs();
        let mut digits = format!("{:06}", amount % scale);
        while digits.len() > 2 && digits.ends_with('0') {
            digits.pop();
        }
        write!(f, "{sign}{}.{digits}", amount / scale)
    }
}

/// The text is not an amount of US dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an amount of US dollars such as `12.50`, with at most six digits after the point"
)]
pub struct ParseMicrosError(String);

/// Reads a plain decimal such as `12.5`; no sign, no currency, no exponent.
impl FromStr for Micros {
    type Err = ParseMicrosError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMicrosError(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 6 || !all_digits(whole) || !all_digits(fraction) {
            return Err(error());
        }
        let whole: i64 = whole.parse().map_err(|_| error())?;
        let fraction: i64 = format!("{fraction:0<6}").parse().map_err(|_| error())?;
        whole
            .checked_mul(Self::PER_USD)
            .and_then(|micros| micros.checked_add(fraction))
            .map(Self)
            .ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_read_and_print_exactly() {
        for (text, micros, printed) in [
            ("0.0031", 3_100, "0.0031"),
            ("12", 12_000_000, "12.00"),
            ("1.5", 1_500_000, "1.50"),
            ("0.000001", 1, "0.000001"),
        ] {
            let amount: Micros = text.parse().unwrap();
            assert_eq!(amount, Micros(micros));
            assert_eq!(amount.to_string(), printed);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "-1", "1e3", ".5", "1.2345678", "$3", "NaN", "99999999999999999999"] {
            assert!(text.parse::<Micros>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_amounts_read_back(micros in 0..i64::MAX) {
            prop_assert_eq!(Micros(micros).to_string().parse(), Ok(Micros(micros)));
        }
    }
}
