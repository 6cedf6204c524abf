//! Permission to connect.

use std::net::{IpAddr, SocketAddr};

use http::uri::PathAndQuery;
use http::{Method, Uri};
use policy_lang::Target;

/// Permission to connect on behalf of one target, under one policy: to one address, or, where only a parent proxy can
/// resolve the name, to whatever the parent makes of it.
///
/// INVARIANT: only [`Gate`](super::Gate) makes one, and [`dial`](fn@crate::upstream::dial) accepts nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permit {
    /// None if a parent is to resolve the name. Such a permit cannot be dialled.
    address: Option<SocketAddr>,
    pub(super) target: Target,
    pub(super) generation: u64,
    /// With which [`reading`](crate::local::Local::reading) of this machine's addresses it was judged.
    pub(super) reading: u64,
    /// The one request it is for, where it is for one only.
    pub(super) request: Option<(Method, PathAndQuery)>,
}

impl Permit {
    /// For `target` at an address that was judged, or (none) for a parent that resolves the name.
    pub(super) fn new(
        target: &Target,
        address: Option<IpAddr>,
        generation: u64,
        reading: u64,
    ) -> Self {
        Self {
            address: address.map(|address| SocketAddr::new(address, target.port().get())),
            target: target.clone(),
            generation,
            reading,
            request: None,
        }
    }

    /// The exact address that was judged. None if a parent is to resolve the name.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The same for one request only: it stands as long as the policy lets that request pass.
    ///
    /// COST: no allocation; both are counted references or small.
    pub(crate) fn asking(&self, method: &Method, uri: &Uri) -> Self {
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        Self {
            request: Some((method.clone(), path)),
            ..self.clone()
        }
    }

    /// The same, for the address that was connected to in the end.
    pub(crate) fn through(self, dialled: &Self) -> Self {
        Self {
            request: self.request,
            ..dialled.clone()
        }
    }

    /// Makes it one for any request, once the one it was for is over.
    pub(crate) fn widen(&mut self) {
        self.request = None;
    }

    /// The same for any request, once the one it was for is over.
    pub(crate) fn for_any(&self) -> Self {
        Self {
            request: None,
            ..self.clone()
        }
    }
}
