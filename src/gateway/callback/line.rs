//! Who is called next: each host in its turn, and none by too many at once.

use std::collections::{HashMap, VecDeque};

/// Callbacks on their way at once. Each is one small request that mostly waits.
const PLACES: usize = 64;

/// Of these, to one host. A host that does not answer holds its places for the longest
/// time there is; all others stay free.
const PLACES_OF_HOST: usize = 2;

/// What waits for a place, and how many places each host has.
#[derive(Debug)]
pub(super) struct Line<T> {
    hosts: HashMap<String, Host<T>>,
    /// Hosts with something that waits; the next one first.
    turns: VecDeque<String>,
    under_way: usize,
}

#[derive(Debug)]
struct Host<T> {
    waiting: VecDeque<T>,
    under_way: usize,
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        Self { hosts: HashMap::new(), turns: VecDeque::new(), under_way: 0 }
    }

    /// Adds what is for `host` at the end.
    pub(super) fn push(&mut self, host: &str, callback: T) {
        let empty = || Host { waiting: VecDeque::new(), under_way: 0 };
        let entry = self.hosts.entry(host.to_owned()).or_insert_with(empty);
        if entry.waiting.is_empty() {
            self.turns.push_back(host.to_owned());
        }
        entry.waiting.push_back(callback);
    }

    /// Gives the next one its place. It is held until [`ended`](Self::ended).
    pub(super) fn next(&mut self) -> Option<(String, T)> {
        if self.under_way == PLACES {
            return None;
        }
        for _ in 0..self.turns.len() {
            let name = self.turns.pop_front()?;
            let host = self.hosts.get_mut(&name)?;
            let free = host.under_way < PLACES_OF_HOST;
            let next = if free { host.waiting.pop_front() } else { None };
            if !host.waiting.is_empty() {
                self.turns.push_back(name.clone());
            }
            if let Some(callback) = next {
                host.under_way += 1;
                self.under_way += 1;
                return Some((name, callback));
            }
        }
        None
    }

    /// Frees a place of `host`.
    pub(super) fn ended(&mut self, host: &str) {
        let Some(entry) = self.hosts.get_mut(host) else { return };
        entry.under_way -= 1;
        self.under_way -= 1;
        if entry.under_way == 0 && entry.waiting.is_empty() {
            self.hosts.remove(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &mut Line<usize>) -> Vec<(String, usize)> {
        std::iter::from_fn(|| line.next()).collect()
    }

    fn names(given: &[(String, usize)]) -> Vec<(&str, usize)> {
        given.iter().map(|(host, number)| (host.as_str(), *number)).collect()
    }

    #[test]
    fn hosts_take_turns_and_none_has_more_than_its_places() {
        let mut line = Line::new();
        for number in 0..1_000 {
            line.push("dead", number);
        }
        line.push("a", 1);
        line.push("b", 2);
        line.push("b", 3);
        line.push("b", 4);
        let given = all(&mut line);
        assert_eq!(names(&given), [("dead", 0), ("a", 1), ("b", 2), ("dead", 1), ("b", 3)]);
        line.ended("b");
        assert_eq!(names(&all(&mut line)), [("b", 4)]);
        line.ended("dead");
        assert_eq!(names(&all(&mut line)), [("dead", 2)]);
    }

    #[test]
    fn places_are_bounded_over_all_hosts_and_come_back() {
        let mut line = Line::new();
        for number in 0..3 * PLACES {
            line.push(&format!("host {}", number % PLACES), number);
        }
        let first = all(&mut line);
        assert_eq!(first.len(), PLACES);
        for (host, _) in &first {
            line.ended(host);
        }
        let mut served = first.len();
        loop {
            let given = all(&mut line);
            if given.is_empty() {
                break;
            }
            served += given.len();
            for (host, _) in &given {
                line.ended(host);
            }
        }
        assert_eq!(served, 3 * PLACES);
        assert!(line.hosts.is_empty() && line.turns.is_empty(), "{line:?}");
    }
}
