//! Which ended requests no longer have a place. Rows and files are not removed here.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{AccountId, Book, Record, Request, Requests};
use crate::{clock::elapsed, gateway::settings::Retention};

impl Requests {
    /// Returns the ended requests that no longer have a place, the oldest first. They are
    /// known until they are [forgotten](Self::forget), so that what could not be removed
    /// is found again.
    ///
    /// One whose callback is still to be delivered stays, whatever their number and its
    /// age: a callback is delivered or given up in the end. Only the disk has no room for
    /// that.
    pub(in crate::gateway) fn overdue(&self, now: Timestamp) -> Vec<String> {
        self.book().overdue(self.retention, now)
    }

    /// Forgets requests whose rows are removed, and returns those that were still known.
    pub(in crate::gateway) fn forget(&self, ids: &[String]) -> Vec<(AccountId, Record)> {
        self.book().forget(ids)
    }
}

impl Book {
    fn overdue(&self, retention: Retention, now: Timestamp) -> Vec<String> {
        let (mut left, mut bytes) = (self.finished.len(), self.kept_bytes);
        let mut overdue = Vec::new();
        let newest = self.finished.back();
        let finished = self.finished.iter().filter_map(|id| self.requests.get(id));
        for Request { record, .. } in finished {
            let is_newest = newest == Some(&record.id);
            let no_room = !is_newest && bytes > retention.bytes;
            let too_many = !is_newest && left > retention.requests;
            let too_old = record.completed_at.is_none_or(|at| elapsed(at, now) > retention.age);
            if !no_room && !too_many && !too_old {
                break;
            }
            let frees = no_room && size_of_result(record) > 0;
            if record.callback_is_due() && !frees {
                continue;
            }
            left -= 1;
            bytes -= size_of_result(record);
            overdue.push(record.id.clone());
        }
        overdue
    }

    fn forget(&mut self, ids: &[String]) -> Vec<(AccountId, Record)> {
        let known = ids.iter().filter_map(|id| self.requests.remove(id));
        let forgotten: Vec<_> =
            known.map(|Request { account, record, .. }| (account, record)).collect();
        let mut gone: HashSet<&str> = HashSet::new();
        for (_, record) in &forgotten {
            self.kept_bytes -= size_of_result(record);
            gone.insert(&record.id);
        }
        // They are the first ones, most of the time.
        while self.finished.front().is_some_and(|id| gone.remove(id.as_str())) {
            self.finished.pop_front();
        }
        if !gone.is_empty() {
            self.finished.retain(|id| !gone.contains(id.as_str()));
        }
        forgotten
    }
}

fn size_of_result(record: &Record) -> u64 {
    record.result.map_or(0, |result| result.bytes)
}
