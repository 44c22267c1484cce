//! Answers as they come over the wire, in every form that has been seen or feared.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use serde_json::{Value, json};

use super::{
    books::{Accepted, Course},
    dice::{Dice, What},
};
use crate::{
    api::classify::{Answer, Exchange},
    core::retry_after,
};

/// An exchange, and what an observer with all the facts knows of it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) exchange: Exchange,
    /// The pause that was asked for.
    pub(super) pause: Option<Duration>,
    /// The account, the key or the model was refused.
    pub(super) refused: bool,
    /// The last word on the request.
    pub(super) over: bool,
    /// It says how the request ended, and so what it costs.
    pub(super) word: bool,
    /// The request that whoever reads this knows.
    pub(super) named: Option<String>,
}

impl Reply {
    fn new(exchange: Exchange) -> Self {
        Self { exchange, pause: None, refused: false, over: false, word: false, named: None }
    }

    /// The connection was refused.
    pub(super) fn refused_connection() -> Self {
        Self::new(Exchange::NotSent("no connection: simulated".to_owned()))
    }

    /// No whole answer came back.
    pub(super) fn none() -> Self {
        Self::new(Exchange::NoAnswer("the connection broke: simulated".to_owned()))
    }

    /// An answer with this body.
    pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(Exchange::Answer(Answer {
            status,
            retry_after: None,
            body: body.into(),
            key: None,
        }))
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::answer(status, body.to_string())
    }

    /// An answer that refuses the account, the key or the model.
    pub(super) fn refusal(status: u16, error: &str, message: &str) -> Self {
        let reply = Self::json(status, &json!({ "error": error, "message": message }));
        Self { refused: true, ..reply }
    }

    /// 429 or 503 with what it says of a pause, read as the real client reads it.
    /// `wall` is what the client's clock shows when it reads that.
    pub(super) fn pause(status: u16, dice: Dice, number: u32, wall: Timestamp) -> Self {
        let mut reply = Self::json(status, &json!({ "error": "busy", "message": "try later" }));
        let seconds = dice.between(What::Pause, number, 1, 40);
        let pause = Duration::from_secs(seconds);
        let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        // The server's clock is wrong by up to a day, in both directions.
        let skew = dice.between(What::Skew, number, 0, 2 * 86_400).cast_signed() - 86_400;
        let here = wall.saturating_add(SignedDuration::from_secs(skew)).unwrap_or(wall);
        let later = here.saturating_add(SignedDuration::from_secs(seconds.cast_signed()));
        let later = later.unwrap_or(here);
        let date = http_date(later);
        let (read, meant) = match dice.between(What::PauseForm, number, 0, 4) {
            0 | 1 => (None, None),
            2 => (retry_after::parse(&seconds.to_string(), None, wall), Some(pause)),
            3 => (retry_after::parse(&date, Some(&http_date(here)), wall), Some(pause)),
            // Without the server's `Date` only the client's own clock is left.
            _ => {
                let opens = whole(later);
                let left = Duration::try_from(opens.duration_since(wall)).unwrap_or_default();
                let meant = left.min(retry_after::LONGEST);
                (retry_after::parse(&date, None, wall), Some(meant))
            }
        };
        if let Exchange::Answer(answer) = &mut reply.exchange {
            answer.retry_after = read;
        }
        Self { pause: meant, ..reply }
    }

    /// 500 and its like.
    pub(super) fn server_error(dice: Dice, number: u32) -> Self {
        let status = dice.pick(What::Status, number, &[500, 502, 504, 500, 408, 520, 599]);
        let html = dice.hit(What::Body, number, 0.5);
        let body = if html { "<html>Bad Gateway</html>" } else { r#"{"error":"internal"}"# };
        Self::answer(status, body)
    }

    /// The picture is refused for good, by the status or in words.
    pub(super) fn rejection(dice: Dice, number: u32) -> Self {
        match dice.pick(What::Status, number, &[200, 400, 413, 415, 422, 202]) {
            status @ (200 | 202) => {
                let word = dice.pick(What::Words, number, &["failed", "FAILED", "error"]);
                let error = "URL must be a valid HTTP or HTTPS URL";
                Self::json(status, &json!({ "status": word, "error": error }))
            }
            status => Self::json(status, &json!({ "error": "Bad Request", "message": "no" })),
        }
    }

    /// A success that does not name the request so that one could use it.
    pub(super) fn garbled_submit(dice: Dice, number: u32, id: &str) -> Self {
        let whole = json!({ "request_id": id, "status": "QUEUED" }).to_string();
        let half = whole[..whole.len() / 2].to_owned();
        let bodies = [
            half.as_str(),
            "<html>Accepted</html>",
            r#"{"request_id":{"is":"an object"},"status":"QUEUED"}"#,
            r#"{"status":"QUEUED"}"#,
            r#"{"request_id":"  ","status":"QUEUED"}"#,
            r#"{"request_id":"..","status":"QUEUED"}"#,
            r#"["QUEUED"]"#,
            "",
        ];
        let status = dice.pick(What::Status, number, &[200, 201, 202, 204]);
        let body = dice.pick(What::Body, number, &bodies).to_owned();
        Self::answer(status, body)
    }

    /// 202 with the name of the request; names that are numbers come as numbers.
    pub(super) fn accepted(dice: Dice, number: u32, id: &str) -> Self {
        let name = id.parse::<u64>().map_or_else(|_| json!(id), |number| json!(number));
        let word = dice.pick(What::Words, number, &["QUEUED", "queued", "PROCESSING", "NEW"]);
        let polling_url = format!("https://gateway.example/v2/requests/status/{id}");
        let status = dice.pick(What::Status, number, &[202, 202, 202, 200, 201]);
        let body = json!({ "request_id": name, "status": word, "polling_url": polling_url });
        Self { named: Some(id.to_owned()), ..Self::json(status, &body) }
    }

    /// 404 of a status request.
    pub(super) fn unknown() -> Self {
        Self::json(404, &json!({ "error": "Not found", "message": "no such request" }))
    }

    /// A status that cannot be read, or that is about another request.
    pub(super) fn garbled_status(dice: Dice, number: u32) -> Self {
        let bodies = [
            r#"{"request_id":"x1","status":"COMPL"#,
            "<html>OK</html>",
            r#"{"request_id":"another","status":"FAILED","error":"not yours"}"#,
            r"[]",
            "",
        ];
        Self::answer(200, dice.pick(What::Body, number, &bodies))
    }

    /// The truth about a request of this age.
    pub(super) fn status(
        dice: Dice,
        number: u32,
        id: &str,
        request: &Accepted,
        age: Duration,
    ) -> Self {
        let word = |upper: &'static str, lower: &'static str| {
            if dice.hit(What::Words, number, 0.3) { lower } else { upper }
        };
        let body = |word: &str, output: Value, error: Value| {
            json!({ "request_id": id, "status": word, "model_id": "gfpgan", "output": output,
                "error": error, "created_at": 17, "surprise": { "nobody": ["expects"] } })
        };
        if age < request.takes || request.course == Course::Stuck {
            let word = if age < request.takes / 3 {
                word("QUEUED", "queued")
            } else {
                word("PROCESSING", "processing")
            };
            return Self::json(200, &body(word, Value::Null, Value::Null));
        }
        let late = age < request.takes + Duration::from_secs(8);
        let (word, output, error) = match request.course {
            Course::Failed => (word("FAILED", "failed"), Value::Null, json!("no face found")),
            Course::Error => (word("ERROR", "error"), Value::Null, json!({ "code": 17 })),
            Course::NeverMedia => {
                (word("COMPLETED", "completed"), no_media(dice, number), Value::Null)
            }
            Course::NoMediaAtFirst if late => {
                (word("COMPLETED", "completed"), no_media(dice, number), Value::Null)
            }
            _ => (word("COMPLETED", "completed"), media(dice, number, id, request), Value::Null),
        };
        let without_picture = match request.course {
            Course::NeverMedia => true,
            course => course == Course::NoMediaAtFirst && late,
        };
        let reply = Self::json(200, &body(word, output, error));
        Self { over: true, word: !without_picture, ..reply }
    }

    /// A status word nobody has documented.
    pub(super) fn strange_word(id: &str) -> Self {
        Self::json(200, &json!({ "request_id": id, "status": "WARMING_UP" }))
    }
}

/// COMPLETED names no picture in one of these ways.
fn no_media(dice: Dice, number: u32) -> Value {
    match dice.between(What::Media, number, 0, 4) {
        0 => Value::Null,
        1 => json!({ "media_url": [] }),
        2 => json!({ "media_url": "" }),
        3 => json!({ "media_type": "image/png" }),
        _ => json!("none"),
    }
}

/// Addresses with a fresh signature: one string, or a list.
fn media(dice: Dice, number: u32, id: &str, request: &Accepted) -> Value {
    let url = |index: u32| format!("https://cdn.example/{id}/{index}.png?signature={number}");
    let type_ = "image/png";
    match request.course {
        Course::Several => json!({ "media_url": [url(1), url(2), url(3)], "media_type": type_ }),
        _ if dice.hit(What::Media, number, 0.3) => json!({ "media_url": url(1) }),
        _ => json!({ "media_url": [url(1), ""], "media_type": type_ }),
    }
}

fn http_date(at: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default()
}
