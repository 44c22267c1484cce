//! The queue: one line for each account, served in turn, so that nobody waits for all that
//! another has submitted.

use std::collections::{HashMap, VecDeque};

use super::AccountId;

/// Requests that wait, by name, and places that are kept for some.
#[derive(Debug, Default)]
pub(super) struct Lines {
    by_account: HashMap<AccountId, Line>,
    /// Accounts with requests that wait, the next one first, each once.
    turns: VecDeque<AccountId>,
    waiting: usize,
    reserved: usize,
}

/// What waits of one account; there is none for an account of which nothing does.
#[derive(Debug, Default)]
struct Line {
    /// The next one first.
    ids: VecDeque<String>,
    reserved: usize,
}

/// Why the queue takes no more of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Full {
    /// It takes no more of anybody.
    Whole,
    /// The account has its share; others still have room.
    Share,
}

impl Lines {
    /// Counts what waits.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Counts what takes up the queue.
    pub(super) fn taken(&self) -> usize {
        self.waiting + self.reserved
    }

    /// Keeps one of `places` for an account. If they are `shared`, an account gets no more
    /// than it leaves free: alone it can take half of them, beside one other a third, and
    /// there is always one left for an account that comes new ("dynamic threshold",
    /// Choudhury and Hahne, IEEE/ACM Transactions on Networking 6 (2), 1998).
    ///
    /// # Errors
    ///
    /// [`Full`] when there is none for it.
    pub(super) fn reserve(
        &mut self,
        account: AccountId,
        places: usize,
        shared: bool,
    ) -> Result<(), Full> {
        let free = places.saturating_sub(self.taken());
        let held = self.by_account.get(&account).map_or(0, |line| line.ids.len() + line.reserved);
        if free == 0 {
            return Err(Full::Whole);
        }
        if shared && held >= free {
            return Err(Full::Share);
        }
        self.by_account.entry(account).or_default().reserved += 1;
        self.reserved += 1;
        Ok(())
    }

    /// Gives up a place that was kept.
    pub(super) fn release(&mut self, account: AccountId) {
        self.reserved -= 1;
        if let Some(line) = self.by_account.get_mut(&account) {
            line.reserved -= 1;
        }
        self.tidy(account);
    }

    /// Lets a request wait, behind all others of its account.
    pub(super) fn push_back(&mut self, account: AccountId, id: String) {
        let line = self.by_account.entry(account).or_default();
        if line.ids.is_empty() {
            self.turns.push_back(account);
        }
        line.ids.push_back(id);
        self.waiting += 1;
    }

    /// Lets a request wait, before all others of its account.
    pub(super) fn push_front(&mut self, account: AccountId, id: String) {
        let line = self.by_account.entry(account).or_default();
        if line.ids.is_empty() {
            self.turns.push_front(account);
        }
        line.ids.push_front(id);
        self.waiting += 1;
    }

    /// Takes the first request of the account whose turn it is.
    pub(super) fn pop(&mut self) -> Option<String> {
        let account = self.turns.pop_front()?;
        let line = self.by_account.get_mut(&account)?;
        let id = line.ids.pop_front()?;
        self.waiting -= 1;
        if !line.ids.is_empty() {
            self.turns.push_back(account);
        }
        self.tidy(account);
        Some(id)
    }

    /// Forgets an account of which nothing waits, so that memory follows the queue.
    fn tidy(&mut self, account: AccountId) {
        if self
            .by_account
            .get(&account)
            .is_some_and(|line| line.ids.is_empty() && line.reserved == 0)
        {
            self.by_account.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{accounts::Accounts, settings::GatewaySettings};

    fn accounts() -> [AccountId; 3] {
        let spent = ["a", "b"].map(|name| (name.into(), crate::core::Micros(1)));
        let accounts = Accounts::new(&GatewaySettings::default(), spent.into());
        ["", "a", "b"].map(|name| accounts.named(name).unwrap())
    }

    fn fill(lines: &mut Lines, account: AccountId, places: usize) -> usize {
        (0..=places).take_while(|_| lines.reserve(account, places, true).is_ok()).count()
    }

    #[test]
    fn accounts_are_served_in_turn_and_each_in_order() {
        let [one, two, three] = accounts();
        let mut lines = Lines::default();
        for (account, id) in [(one, "a"), (one, "b"), (one, "c"), (two, "d"), (three, "e")] {
            lines.push_back(account, id.to_owned());
        }
        assert_eq!(lines.pop().as_deref(), Some("a"));
        lines.push_back(two, "f".to_owned());
        lines.push_front(one, "first".to_owned());
        assert_eq!(lines.waiting(), 6);
        let rest: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(rest, ["d", "e", "first", "f", "b", "c"]);
        assert_eq!((lines.waiting(), lines.by_account.len(), lines.turns.len()), (0, 0, 0));
    }

    #[test]
    fn nobody_takes_more_than_is_left_for_others() {
        let [one, two, three] = accounts();
        let mut lines = Lines::default();
        assert_eq!(fill(&mut lines, one, 100), 50);
        assert_eq!(lines.reserve(one, 100, true), Err(Full::Share));
        assert_eq!(fill(&mut lines, two, 100), 25);
        assert_eq!(fill(&mut lines, three, 100), 13);
        assert_eq!(lines.reserve(one, 100, false), Ok(()), "alone it may take all");
        assert_eq!(lines.reserve(one, 89, false), Err(Full::Whole));
        for _ in 0..51 {
            lines.release(one);
        }
        assert_eq!(lines.taken(), 38);
        assert_eq!(fill(&mut lines, one, 100), 31);
    }

    #[test]
    fn the_smallest_queue_takes_one_of_anybody() {
        let [one, two, _] = accounts();
        let mut lines = Lines::default();
        assert_eq!(lines.reserve(one, 1, true), Ok(()));
        assert_eq!(lines.reserve(two, 1, true), Err(Full::Whole));
    }
}
