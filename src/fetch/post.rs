//! Sends a callback to an address that someone else has named.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, USER_AGENT};

use super::{
    address::parse,
    http::{GetErrorKind, GuardedClient, asked_pause, not_answered},
};

/// How a callback was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status.
    pub status: u16,
    /// The pause the server asked for; at most an hour.
    pub retry_after: Option<Duration>,
}

impl GuardedClient {
    /// Says what can be said about an address without asking anyone: its form, and
    /// whether a literal IP address in it may be opened. What a name leads to is checked
    /// when it is opened.
    ///
    /// # Errors
    ///
    /// [`GetErrorKind::BadUrl`] or [`GetErrorKind::Blocked`].
    pub fn check_address(&self, url: &str) -> Result<(), GetErrorKind> {
        self.check(&parse(url)?)
    }

    /// Posts JSON to `url` with some headers more, and returns how that was answered.
    ///
    /// No redirect is followed: it would repeat the body to someone whom nobody named.
    /// The body of the answer is not read. The address does not stand in the error,
    /// because its path may be a secret.
    ///
    /// # Errors
    ///
    /// When there is no answer within `total_timeout`, or the address must not be opened.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        json: Bytes,
        total_timeout: Duration,
    ) -> Result<Posted, GetErrorKind> {
        let url = parse(url)?;
        self.check(&url)?;
        let request = self
            .http
            .post(url)
            .header(USER_AGENT, concat!("restore-batch/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .headers(headers)
            .body(json);
        let response = tokio::time::timeout(total_timeout, request.send()).await;
        let response = response.map_err(|_| GetErrorKind::TimedOut)?.map_err(not_answered)?;
        Ok(Posted { status: response.status().as_u16(), retry_after: asked_pause(&response) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fetch::ClientSettings,
        testing::scripted_server::{Reply, ScriptedServer},
    };

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(10);

    fn client(allow_private: bool) -> GuardedClient {
        GuardedClient::new(&ClientSettings { allow_private, ..ClientSettings::default() }).unwrap()
    }

    async fn post(url: &str, total_timeout: Duration) -> Result<Posted, GetErrorKind> {
        let headers = HeaderMap::from_iter([("x-a".parse().unwrap(), "b".parse().unwrap())]);
        client(true).post(url, headers, Bytes::from_static(b"{}"), total_timeout).await
    }

    #[tokio::test]
    async fn what_is_posted_arrives_and_nothing_else() {
        let server = ScriptedServer::start(vec![Reply::status(204)]).await;
        let posted = post(&server.url("/hook?token=a%2Fb"), LONG).await.unwrap();
        assert_eq!(posted, Posted { status: 204, retry_after: None });
        let request = server.requests().remove(0);
        assert_eq!(
            (&*request.method, &*request.target, &*request.body),
            ("POST", "/hook?token=a%2Fb", &b"{}"[..])
        );
        let mut names: Vec<_> =
            request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        let expected = ["accept", "content-length", "content-type", "host", "user-agent", "x-a"];
        assert_eq!(names, expected);
        assert_eq!(request.header("content-type"), Some("application/json"));
    }

    #[tokio::test]
    async fn redirects_are_answers() {
        let server = ScriptedServer::start(Vec::new())
            .await
            .on("POST /a", Reply::redirect("/b"))
            .on("POST /b", Reply::status(200))
            .on("POST /busy", Reply::status(503).header("Retry-After", "7"));
        assert_eq!(post(&server.url("/a"), LONG).await.unwrap().status, 302);
        assert_eq!(server.requests().len(), 1);
        let busy = Posted { status: 503, retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(post(&server.url("/busy"), LONG).await.unwrap(), busy);
    }

    #[tokio::test]
    async fn private_addresses_and_other_forms_are_not_posted_to() {
        let server = ScriptedServer::start(Vec::new()).await;
        let port = server.address().port();
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"] {
            let url = format!("http://{host}:{port}/a");
            let error = client(false).post(&url, HeaderMap::new(), Bytes::new(), LONG).await;
            assert!(matches!(error, Err(GetErrorKind::Blocked)), "{host}: {error:?}");
        }
        for url in ["", "ftp://h/", "http://u:p@127.0.0.1/"] {
            let error = client(true).post(url, HeaderMap::new(), Bytes::new(), LONG).await;
            assert!(matches!(error, Err(GetErrorKind::BadUrl(_))), "{url}: {error:?}");
        }
        assert_eq!(server.requests(), []);
        assert!(client(false).check_address("http://localhost/a").is_ok(), "asks nobody");
        assert!(client(false).check_address("http://127.0.0.1/a").is_err());
        assert!(client(true).check_address("http://127.0.0.1/a").is_ok());
    }

    #[tokio::test]
    async fn whoever_does_not_answer_is_left_and_the_error_keeps_the_address() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret-token", silent.local_addr().unwrap());
        let error = post(&url, SHORT).await.unwrap_err();
        assert!(matches!(error, GetErrorKind::TimedOut), "{error:?}");
        drop(silent);
        let error = post(&url, LONG).await.unwrap_err();
        assert!(matches!(error, GetErrorKind::Unreachable(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
