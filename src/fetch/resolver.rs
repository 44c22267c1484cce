//! Resolves names for the guarded client and keeps only public addresses.

use std::{error::Error, fmt, net::SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address_guard::is_public;

/// Resolves by the operating system; drops what is not public unless told otherwise.
///
/// The client connects to exactly the addresses that were checked, so a name that
/// resolves differently the next time gains nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuardedResolver {
    /// Keep private addresses too.
    pub(super) allow_private: bool,
}

/// Every address of a name was private.
#[derive(Debug)]
pub(super) struct OnlyPrivateAddresses;

impl fmt::Display for OnlyPrivateAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has only private or local addresses")
    }
}

impl Error for OnlyPrivateAddresses {}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            // Port 0 stands for the port of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept: Vec<SocketAddr> =
                found.filter(|address| allow_private || is_public(address.ip())).collect();
            if kept.is_empty() {
                return Err(OnlyPrivateAddresses.into());
            }
            Ok::<Addrs, _>(Box::new(kept.into_iter()))
        })
    }
}

/// Returns true when `error`, or what caused it, is [`OnlyPrivateAddresses`].
pub(super) fn is_private_only(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if current.is::<OnlyPrivateAddresses>() {
            return true;
        }
        cause = current.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(allow_private: bool) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let resolver = GuardedResolver { allow_private };
        resolver.resolve("localhost".parse().unwrap()).await.map(Iterator::collect)
    }

    #[tokio::test]
    async fn a_name_of_this_machine_has_no_address_left() {
        let error = resolve(false).await.unwrap_err();
        assert!(is_private_only(&*error), "{error}");
        let found = resolve(true).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    }
}
