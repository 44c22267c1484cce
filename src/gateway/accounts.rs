//! Who may submit, how often, and for how much money.

use std::sync::{Mutex, PoisonError};

use governor::{
    DefaultDirectRateLimiter, RateLimiter,
    clock::{Clock, DefaultClock},
};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

use super::{refusal::Refusal, settings::GatewaySettings};
use crate::{api::wire::KEY_HEADER, core::Micros};

/// Number of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccountId(usize);

/// One key and what goes with it.
#[derive(Debug)]
struct Account {
    /// Hash of the key. Hashes have one length, so that comparing them tells nothing
    /// about the length of the key.
    key: blake3::Hash,
    rate: Option<DefaultDirectRateLimiter>,
}

/// Every account of a gateway.
#[derive(Debug)]
pub(super) struct Accounts {
    list: Vec<Account>,
    /// False when there are no keys and everyone is the first account.
    keys_wanted: bool,
    price: Micros,
    money: Mutex<Money>,
    clock: DefaultClock,
}

#[derive(Debug)]
struct Money {
    /// What is left of each account, where it is limited.
    balances: Option<Vec<Micros>>,
    charged: Micros,
}

impl Accounts {
    pub(super) fn new(settings: &GatewaySettings) -> Self {
        let nobody = [SecretString::from(String::new())];
        let keys_wanted = !settings.keys.is_empty();
        let keys = if keys_wanted { &settings.keys[..] } else { &nobody };
        let open = |key: &SecretString| Account {
            key: blake3::hash(key.expose_secret().as_bytes()),
            rate: settings.submit_rate.map(RateLimiter::direct),
        };
        let balances = settings.balance.map(|balance| vec![balance; keys.len()]);
        Self {
            list: keys.iter().map(open).collect(),
            keys_wanted,
            price: settings.price,
            money: Mutex::new(Money { balances, charged: Micros::ZERO }),
            clock: DefaultClock::default(),
        }
    }

    /// Finds the account that a request's key belongs to.
    ///
    /// Takes the same time whichever key fits, and whether one does.
    ///
    /// # Errors
    ///
    /// 401 when none does.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<AccountId, Refusal> {
        if !self.keys_wanted {
            return Ok(AccountId(0));
        }
        let given = headers.get(KEY_HEADER).map_or(&[][..], |key| key.as_bytes());
        let given = blake3::hash(given);
        let mut found = None;
        for (number, account) in self.list.iter().enumerate() {
            let fits: Choice = account.key.as_bytes().ct_eq(given.as_bytes());
            if bool::from(fits) {
                found = Some(AccountId(number));
            }
        }
        found.ok_or_else(Refusal::unauthorized)
    }

    /// Counts one submit against the account's rate.
    ///
    /// # Errors
    ///
    /// 429 with the time until the next one.
    pub(super) fn admit(&self, account: AccountId) -> Result<(), Refusal> {
        let Some(rate) = &self.list[account.0].rate else {
            return Ok(());
        };
        rate.check().map_err(|not_until| {
            let pause = not_until.wait_time_from(self.clock.now());
            Refusal::too_many_requests("You have sent too many requests.", pause)
        })
    }

    /// Takes the price of one request.
    ///
    /// # Errors
    ///
    /// 402 when the account does not have it.
    pub(super) fn charge(&self, account: AccountId) -> Result<(), Refusal> {
        let mut money = self.money();
        if let Some(balances) = &mut money.balances {
            let balance = &mut balances[account.0];
            if *balance < self.price {
                return Err(Refusal::insufficient_balance());
            }
            *balance = *balance - self.price;
        }
        money.charged += self.price;
        Ok(())
    }

    /// Gives the price of one request back.
    pub(super) fn refund(&self, account: AccountId) {
        let mut money = self.money();
        if let Some(balances) = &mut money.balances {
            balances[account.0] += self.price;
        }
        money.charged = money.charged - self.price;
    }

    /// Returns what all accounts together were charged, refunds taken off.
    pub(super) fn charged(&self) -> Micros {
        self.money().charged
    }

    fn money(&self) -> std::sync::MutexGuard<'_, Money> {
        self.money.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(keys: &[&str], balance: Option<i64>) -> Accounts {
        Accounts::new(&GatewaySettings {
            keys: keys.iter().map(|key| SecretString::from((*key).to_owned())).collect(),
            balance: balance.map(Micros),
            price: Micros(10),
            ..GatewaySettings::default()
        })
    }

    fn with_key(key: &str) -> HeaderMap {
        HeaderMap::from_iter([(KEY_HEADER.parse().unwrap(), key.parse().unwrap())])
    }

    #[test]
    fn each_key_is_its_own_account_and_others_are_refused() {
        let accounts = accounts(&["one", "two"], None);
        assert_eq!(accounts.authenticate(&with_key("one")), Ok(AccountId(0)));
        assert_eq!(accounts.authenticate(&with_key("two")), Ok(AccountId(1)));
        for wrong in ["", "on", "onee", "One", "two "] {
            let refused = accounts.authenticate(&with_key(wrong));
            // HTTP cuts spaces at the ends of a value, a header map does not.
            assert_eq!(refused, Err(Refusal::unauthorized()), "{wrong:?}");
        }
        assert_eq!(accounts.authenticate(&HeaderMap::new()), Err(Refusal::unauthorized()));
    }

    #[test]
    fn without_keys_everyone_is_the_same_account() {
        let accounts = accounts(&[], None);
        assert_eq!(accounts.authenticate(&HeaderMap::new()), Ok(AccountId(0)));
        assert_eq!(accounts.authenticate(&with_key("any")), Ok(AccountId(0)));
    }

    #[test]
    fn balances_are_separate_and_refunds_come_back() {
        let accounts = accounts(&["one", "two"], Some(25));
        let (one, two) = (AccountId(0), AccountId(1));
        accounts.charge(one).unwrap();
        accounts.charge(one).unwrap();
        assert_eq!(accounts.charge(one), Err(Refusal::insufficient_balance()));
        accounts.charge(two).unwrap();
        assert_eq!(accounts.charged(), Micros(30));
        accounts.refund(one);
        assert_eq!(accounts.charged(), Micros(20));
        accounts.charge(one).unwrap();
        assert_eq!(accounts.charge(one), Err(Refusal::insufficient_balance()));
    }
}
