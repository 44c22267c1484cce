//! Who may submit, how often, and for how much money.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::{
    DefaultDirectRateLimiter, RateLimiter,
    clock::{Clock, DefaultClock},
};
use http::HeaderMap;
use secrecy::SecretString;
use subtle::{Choice, ConstantTimeEq};

use super::{keys::AccessKey, refusal::Refusal, settings::GatewaySettings};
use crate::{api::wire::KEY_HEADER, core::Micros};

/// Number of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AccountId(usize);

/// Name of the account of a gateway without keys. No key has it.
const EVERYONE: &str = "";

/// One account and what goes with it.
#[derive(Debug)]
struct Account {
    name: Arc<str>,
    /// Hash of the key; `None` for one that was removed from the key file, whose requests
    /// are not forgotten. Hashes have one length, so that comparing them tells nothing
    /// about the length of the key.
    key: Option<blake3::Hash>,
    rate: Option<DefaultDirectRateLimiter>,
    /// What it may spend in all, where that is limited.
    granted: Option<Micros>,
    webhook_secret: Option<SecretString>,
}

/// Every account of a gateway.
#[derive(Debug)]
pub(super) struct Accounts {
    list: Vec<Account>,
    /// False when there are no keys and everyone is the first account.
    keys_wanted: bool,
    price: Micros,
    /// What each account has spent, refunds taken off.
    spent: Mutex<Vec<Micros>>,
    clock: DefaultClock,
}

impl Accounts {
    /// `spent` is what the accounts have spent before, by name.
    pub(super) fn new(settings: &GatewaySettings, spent: Vec<(Arc<str>, Micros)>) -> Self {
        let open = |name: &str, key: Option<&AccessKey>| Account {
            name: name.into(),
            key: key.map(|key| key.blake3),
            rate: key.and_then(|key| key.rate).or(settings.submit_rate).map(RateLimiter::direct),
            granted: key.and_then(|key| key.balance).or(settings.balance),
            webhook_secret: key.and_then(|key| key.webhook_secret.clone()),
        };
        let mut list: Vec<Account> =
            settings.keys.iter().map(|key| open(&key.name, Some(key))).collect();
        let keys_wanted = !list.is_empty();
        if !keys_wanted {
            list.push(open(EVERYONE, None));
        }
        let mut sums = vec![Micros::ZERO; list.len()];
        for (name, amount) in spent {
            if let Some(number) = list.iter().position(|account| account.name == name) {
                sums[number] = amount;
            } else {
                list.push(open(&name, None));
                sums.push(amount);
            }
        }
        let (price, clock) = (settings.price, DefaultClock::default());
        Self { list, keys_wanted, price, spent: Mutex::new(sums), clock }
    }

    /// Returns the account of this name; `None` when there was never one.
    pub(super) fn named(&self, name: &str) -> Option<AccountId> {
        self.list.iter().position(|account| &*account.name == name).map(AccountId)
    }

    /// Returns the name of an account.
    pub(super) fn name(&self, account: AccountId) -> Arc<str> {
        Arc::clone(&self.list[account.0].name)
    }

    /// Returns what signs the callbacks of an account.
    pub(super) fn webhook_secret(&self, account: AccountId) -> Option<&SecretString> {
        self.list[account.0].webhook_secret.as_ref()
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
            let Some(key) = account.key else { continue };
            let fits: Choice = key.as_bytes().ct_eq(given.as_bytes());
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

    /// Takes what was charged durably, whatever is granted.
    pub(super) fn book(&self, account: AccountId, amount: Micros) {
        let spent = &mut self.spent()[account.0];
        *spent += amount;
    }

    /// Takes the price of one request and returns it.
    ///
    /// # Errors
    ///
    /// 402 when the account does not have it.
    pub(super) fn charge(&self, account: AccountId) -> Result<Micros, Refusal> {
        let granted = self.list[account.0].granted;
        let spent = &mut self.spent()[account.0];
        if granted.is_some_and(|granted| *spent + self.price > granted) {
            return Err(Refusal::insufficient_balance());
        }
        *spent += self.price;
        Ok(self.price)
    }

    /// Gives back what a request has cost.
    pub(super) fn refund(&self, account: AccountId, amount: Micros) {
        let spent = &mut self.spent()[account.0];
        *spent = *spent - amount;
    }

    /// Returns what all accounts together were charged, refunds taken off.
    pub(super) fn charged(&self) -> Micros {
        self.spent().iter().copied().sum()
    }

    fn spent(&self) -> MutexGuard<'_, Vec<Micros>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(keys: &[&str], balance: Option<i64>) -> GatewaySettings {
        let key = |key: &&str| AccessKey::new(key, &SecretString::from((*key).to_owned()));
        GatewaySettings {
            keys: keys.iter().map(key).collect(),
            balance: balance.map(Micros),
            price: Micros(10),
            ..GatewaySettings::default()
        }
    }

    fn accounts(keys: &[&str], balance: Option<i64>) -> Accounts {
        Accounts::new(&settings(keys, balance), Vec::new())
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
        accounts.refund(one, Micros(10));
        assert_eq!(accounts.charged(), Micros(20));
        accounts.charge(one).unwrap();
        assert_eq!(accounts.charge(one), Err(Refusal::insufficient_balance()));
    }

    #[test]
    fn what_was_spent_counts_and_a_higher_grant_tops_up() {
        let spent = || vec![("gone".into(), Micros(5)), ("two".into(), Micros(20))];
        let mut settings = settings(&["one", "two"], Some(25));
        let accounts = Accounts::new(&settings, spent());
        let two = accounts.named("two").unwrap();
        assert_eq!(accounts.charged(), Micros(25));
        assert_eq!(accounts.charge(two), Err(Refusal::insufficient_balance()));
        assert_eq!(accounts.charge(AccountId(0)), Ok(Micros(10)));
        settings.keys[1].balance = Some(Micros(30));
        let accounts = Accounts::new(&settings, spent());
        assert_eq!(accounts.charge(two), Ok(Micros(10)));
        assert_eq!(accounts.charge(two), Err(Refusal::insufficient_balance()));
    }

    #[test]
    fn a_key_that_was_removed_opens_nothing_and_its_account_is_known() {
        let accounts = Accounts::new(&settings(&["one"], None), vec![("".into(), Micros(5))]);
        assert_eq!(accounts.authenticate(&with_key("")), Err(Refusal::unauthorized()));
        assert_eq!(accounts.named(""), Some(AccountId(1)));
        assert_eq!(&*accounts.name(AccountId(1)), "");
    }
}
