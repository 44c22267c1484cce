//! One scripted answer, correct or not.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::sync::Notify;

/// How an answer leaves.
#[derive(Debug, Clone)]
pub(super) enum Delivery {
    Whole,
    CutAfter(usize),
    StallAfter(usize),
    Drip { step: usize, next: Arc<Notify> },
    Endless { limit: u64 },
    EndlessDrip { part: Vec<u8>, every: Duration },
    Raw { repeated: Vec<u8>, limit: u64 },
    Close,
    Hang,
}

/// One answer of a [`ScriptedServer`](super::ScriptedServer).
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) delivery: Delivery,
    /// Without a status line and headers.
    pub(super) raw: bool,
}

impl Reply {
    /// Answers with `status` and an empty body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let delivery = Delivery::Whole;
        Self { status, headers: Vec::new(), body: Vec::new(), delivery, raw: false }
    }

    /// Answers 200 with `body`.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// Answers with `status` and a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &str) -> Self {
        Self::status(status).header("Content-Type", "application/json").body(body)
    }

    /// Answers 302 with `location`.
    #[must_use]
    pub fn redirect(location: impl Into<String>) -> Self {
        Self::status(302).header("Location", location)
    }

    /// Reads the request and closes the connection without an answer.
    #[must_use]
    pub fn close() -> Self {
        Self { delivery: Delivery::Close, ..Self::status(200) }
    }

    /// Reads the request and never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self { delivery: Delivery::Hang, ..Self::status(200) }
    }

    /// Answers 200 with a body that announces no length; it ends by itself after
    /// `limit` bytes, so that a client without a limit cannot hold a test up.
    #[must_use]
    pub fn endless(limit: u64) -> Self {
        Self { delivery: Delivery::Endless { limit }, ..Self::status(200) }
    }

    /// Sends `bytes` instead of an answer, and then closes the connection.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::raw_endless(bytes, b"", 0)
    }

    /// Sends `start` and then `repeated` again and again, instead of an answer; it ends by
    /// itself after `limit` bytes.
    #[must_use]
    pub fn raw_endless(start: impl Into<Vec<u8>>, repeated: &[u8], limit: u64) -> Self {
        let delivery = Delivery::Raw { repeated: repeated.to_vec(), limit };
        Self { delivery, raw: true, ..Self::status(200).body(start) }
    }

    /// Sends the body, and then a byte from time to time until the client has enough.
    #[must_use]
    pub fn drip_on(mut self, every: Duration) -> Self {
        self.delivery = Delivery::EndlessDrip { part: b" ".to_vec(), every };
        self
    }

    /// Sends `part` from time to time instead of an answer, until the client has enough.
    #[must_use]
    pub fn raw_drip(part: &[u8], every: Duration) -> Self {
        let delivery = Delivery::EndlessDrip { part: part.to_vec(), every };
        Self { delivery, raw: true, ..Self::status(200) }
    }

    /// Adds a header. A `Content-Length` given here replaces the true one.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Announces the whole body, sends `bytes` of it and closes the connection.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::CutAfter(bytes);
        self
    }

    /// Announces the whole body, sends `bytes` of it and then nothing more.
    #[must_use]
    pub fn stall_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::StallAfter(bytes);
        self
    }

    /// Sends `step` bytes of the body each time that `next` is notified.
    #[must_use]
    pub fn drip(mut self, step: usize, next: Arc<Notify>) -> Self {
        self.delivery = Delivery::Drip { step, next };
        self
    }

    /// Returns the status line and the headers.
    pub(super) fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Scripted\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let endless =
            matches!(self.delivery, Delivery::Endless { .. } | Delivery::EndlessDrip { .. });
        let named =
            self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if !endless && !named {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head + "\r\n"
    }
}
