//! Which callbacks are due. Delivering them is not done here.

use jiff::Timestamp;

use super::{AccountId, Requests, Snapshot};
use crate::clock::elapsed;

/// A callback whose time has come.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::gateway) struct DueCallback {
    pub(in crate::gateway) id: String,
    pub(in crate::gateway) account: AccountId,
    /// May hold a secret; never to be logged.
    pub(in crate::gateway) url: String,
    /// How often it was tried in vain.
    pub(in crate::gateway) attempts: u32,
    /// What it is to tell.
    pub(in crate::gateway) seen: Snapshot,
}

impl Requests {
    /// Waits until callbacks are due, and returns them. Each is returned once, until its
    /// [`set_callback`](Self::set_callback) or the next start. For one caller at a time.
    pub(in crate::gateway) async fn due_callbacks(
        &self,
        now: impl Fn() -> Timestamp,
    ) -> Vec<DueCallback> {
        loop {
            let now = now();
            let due = self.callbacks_due(now);
            if !due.is_empty() {
                return due;
            }
            let next = self.book().callbacks.first().map(|(due, _)| *due);
            let changed = self.callbacks_changed.notified();
            match next {
                Some(next) => {
                    // Either way it is looked at again.
                    drop(tokio::time::timeout(elapsed(now, next), changed).await);
                }
                None => changed.await,
            }
        }
    }

    /// Takes the callbacks that are due.
    pub(in crate::gateway) fn callbacks_due(&self, now: Timestamp) -> Vec<DueCallback> {
        let mut book = self.book();
        let mut due = Vec::new();
        while let Some((at, id)) = book.callbacks.pop_first() {
            if at > now {
                book.callbacks.insert((at, id));
                break;
            }
            let Some(request) = book.requests.get(&id) else { continue };
            let Some(callback) = &request.record.callback else { continue };
            due.push(DueCallback {
                account: request.account,
                url: callback.url.clone(),
                attempts: callback.attempts,
                seen: Snapshot::of(&request.record),
                id,
            });
        }
        due
    }

    /// Sets how often a callback was tried in vain and when it is due again, if ever.
    pub(in crate::gateway) fn set_callback(&self, id: &str, attempts: u32, due: Option<Timestamp>) {
        let mut book = self.book();
        let Some(request) = book.requests.get_mut(id) else { return };
        let Some(callback) = &mut request.record.callback else { return };
        (callback.attempts, callback.due) = (attempts, due);
        if let Some(due) = due {
            book.callbacks.insert((due, id.to_owned()));
        }
        drop(book);
        self.callbacks_changed.notify_one();
    }

    /// Returns how often the callback of an ended request was tried in vain, once it will
    /// not be tried again.
    #[cfg(test)]
    pub(in crate::gateway) fn settled_callback(&self, id: &str) -> Option<u32> {
        let book = self.book();
        let callback = book.requests.get(id)?.record.callback.as_ref()?;
        callback.due.is_none().then_some(callback.attempts)
    }

    /// Returns how often a request's callback was tried in vain.
    pub(in crate::gateway) fn callback_attempts(&self, id: &str) -> Option<u32> {
        self.book().requests.get(id)?.record.callback.as_ref().map(|callback| callback.attempts)
    }
}
