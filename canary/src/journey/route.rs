//! Where the steps of a journey go: to another address each time, so that each carries what users do, and no more to one that has
//! failed while there are others.

use std::net::IpAddr;

/// The addresses that are up, the next one first.
#[derive(Debug, Default)]
pub(super) struct Route(Vec<Stop>);

#[derive(Debug, Clone, Copy)]
struct Stop {
    address: IpAddr,
    /// Whether a step has succeeded there.
    served: bool,
    /// Whether one has failed there.
    failed: bool,
}

impl Route {
    /// Adds an address that is up.
    pub(super) fn add(&mut self, address: IpAddr) {
        self.0.push(Stop { address, served: false, failed: false });
    }

    /// How many addresses there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The addresses of the attempts at the next step, in their order: its turn's first, then for further attempts those that
    /// are known to serve.
    pub(super) fn plan(&self) -> Vec<IpAddr> {
        let mut others: Vec<&Stop> = self.0.iter().skip(1).collect();
        others.sort_by_key(|stop| (stop.failed, !stop.served));
        self.0.first().into_iter().chain(others).map(|stop| stop.address).collect()
    }

    /// All addresses, those that are known to serve first.
    pub(super) fn best(&self) -> Vec<IpAddr> {
        let mut stops: Vec<&Stop> = self.0.iter().collect();
        stops.sort_by_key(|stop| (stop.failed, !stop.served));
        stops.into_iter().map(|stop| stop.address).collect()
    }

    /// Learns from an attempt: its address is the last one from now on, behind those that have failed if it has failed ever.
    pub(super) fn learn(&mut self, address: IpAddr, served: bool) {
        let Some(at) = self.0.iter().position(|stop| stop.address == address) else { return };
        let mut stop = self.0.remove(at);
        stop.served |= served;
        stop.failed |= !served;
        let behind = if stop.failed { self.0.len() } else { self.0.iter().filter(|stop| !stop.failed).count() };
        self.0.insert(behind, stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    fn route(addresses: &[u8]) -> Route {
        let mut route = Route::default();
        addresses.iter().for_each(|last| route.add(address(*last)));
        route
    }

    fn numbers(addresses: Vec<IpAddr>) -> Vec<u8> {
        let last = |address: &IpAddr| address.to_string().rsplit('.').next().and_then(|last| last.parse().ok());
        addresses.iter().filter_map(last).collect()
    }

    #[test]
    fn each_step_goes_to_the_next_address_and_one_that_failed_is_asked_last() {
        let mut route = route(&[1, 2, 3]);
        assert_eq!(numbers(route.plan()), [1, 2, 3]);
        route.learn(address(1), true);
        // A further attempt goes where a step has succeeded.
        assert_eq!(numbers(route.plan()), [2, 1, 3]);
        route.learn(address(2), false);
        route.learn(address(1), true);
        assert_eq!(numbers(route.plan()), [3, 1, 2]);
        route.learn(address(3), true);
        assert_eq!(numbers(route.plan()), [1, 3, 2]);
        assert_eq!(numbers(route.best()), [1, 3, 2]);
        // It stays behind the others, though it has served now.
        route.learn(address(2), true);
        assert_eq!(numbers(route.plan()), [1, 3, 2]);
    }

    #[test]
    fn where_all_have_failed_the_one_that_did_so_longest_ago_is_next() {
        let mut route = route(&[1, 2]);
        route.learn(address(1), false);
        route.learn(address(2), false);
        assert_eq!(numbers(route.plan()), [1, 2]);
        route.learn(address(9), true);
        assert_eq!(route.len(), 2);
    }
}
