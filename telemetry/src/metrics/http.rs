//! The request histogram: tables of handles, `[synthetic][route][method][status]`, so that counting a request is
//! arithmetic and two loads.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use http::Method;

use super::{histogram::Histogram, registry::Registry};
use crate::catalogue::{HTTP_BUCKETS, HTTP_REQUEST_DURATION, METHODS, STATUS_LABELS, STATUSES, Synthetic, UNMATCHED};

/// One operation of the router: its series of success, of 500 and of 503 start at 0.
#[derive(Debug, Clone, Copy)]
pub struct RouteLabel {
    /// The method, in capitals.
    pub method: &'static str,
    /// The template as the router spells it.
    pub route: &'static str,
    /// The status of its success.
    pub success: u16,
}

/// A method as a label: its place in [`METHODS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodLabel(u8);

impl MethodLabel {
    /// Any method that is not one of the nine.
    pub const OTHER: Self = Self(METHODS.len() as u8 - 1);

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        METHODS[usize::from(self.0)]
    }

    fn from_name(name: &str) -> Self {
        METHODS.iter().position(|method| *method == name).map_or(Self::OTHER, |index| Self(index as u8))
    }
}

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self(0),
            Method::HEAD => Self(1),
            Method::POST => Self(2),
            Method::PUT => Self(3),
            Method::PATCH => Self(4),
            Method::DELETE => Self(5),
            Method::OPTIONS => Self(6),
            Method::CONNECT => Self(7),
            Method::TRACE => Self(8),
            _ => Self::OTHER,
        }
    }
}

/// A route template as a label: its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteIndex(usize);

impl RouteIndex {
    /// No route matched.
    pub const UNMATCHED: Self = Self(0);
}

/// What one route has seen of users, whatever the method and the status.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTotals {
    /// The template, or `unmatched`.
    pub route: &'static str,
    /// Requests by duration: one for each of `HTTP_BUCKETS`, and one for what took longer.
    pub buckets: [u64; HTTP_BUCKETS.len() + 1],
    /// Requests whose status was 500 or above.
    pub faults: u64,
    /// All durations, in seconds.
    pub sum_seconds: f64,
}

impl RouteTotals {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What has come since `before`, or since the start.
    pub fn since(&self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self.clone() };
        let mut growth = self.clone();
        growth.buckets.iter_mut().zip(before.buckets).for_each(|(now, then)| *now = now.saturating_sub(then));
        growth.faults = growth.faults.saturating_sub(before.faults);
        growth.sum_seconds = (growth.sum_seconds - before.sum_seconds).max(0.0);
        growth
    }
}

/// The handles of the request histogram.
#[derive(Debug)]
pub(super) struct HttpTable {
    /// `unmatched`, then each template once.
    routes: Vec<&'static str>,
    indexes: HashMap<&'static str, RouteIndex>,
    /// One for each of [`Synthetic::ALL`], that of users from the start. The others are made for the first request of
    /// their kind: a service that is never probed does not pay for them.
    tables: [OnceLock<Slots>; Synthetic::ALL.len()],
}

/// Filled at first use: most combinations never happen, and each one takes a kilobyte of every scrape.
type Slots = Box<[OnceLock<Arc<Histogram>>]>;

impl HttpTable {
    pub(super) fn new(operations: &[RouteLabel], registry: &Registry) -> Self {
        let mut routes = vec![UNMATCHED];
        let mut indexes = HashMap::from([(UNMATCHED, RouteIndex::UNMATCHED)]);
        for operation in operations {
            indexes.entry(operation.route).or_insert_with(|| {
                routes.push(operation.route);
                RouteIndex(routes.len() - 1)
            });
        }
        let table = Self { routes, indexes, tables: Default::default() };
        // Only for users: the objectives' rates are taken of them, and need a series that begins before its first
        // failure. Synthetic series at 0 would triple every scrape for what the canary and the load test say themselves.
        let known = |method, route, status| {
            table.histogram(registry, MethodLabel::from_name(method), route, status, Synthetic::None);
        };
        for operation in operations {
            let route = table.index(operation.route);
            [operation.success, 500, 503].into_iter().for_each(|status| known(operation.method, route, status));
        }
        known("GET", RouteIndex::UNMATCHED, 404);
        table
    }

    pub(super) fn routes(&self) -> &[&'static str] {
        &self.routes
    }

    pub(super) fn index(&self, template: &str) -> RouteIndex {
        self.indexes.get(template).copied().unwrap_or(RouteIndex::UNMATCHED)
    }

    pub(super) fn route(&self, index: RouteIndex) -> &'static str {
        self.routes.get(index.0).copied().unwrap_or(UNMATCHED)
    }

    /// The sums over methods and statuses, of users' requests.
    pub(super) fn totals(&self) -> Vec<RouteTotals> {
        let of_route = METHODS.len() * STATUSES.len();
        let total = |(route, slots): (&&'static str, &[OnceLock<Arc<Histogram>>])| {
            let mut total = RouteTotals { route, buckets: [0; HTTP_BUCKETS.len() + 1], faults: 0, sum_seconds: 0.0 };
            for (slot, histogram) in slots.iter().enumerate().filter_map(|(slot, cell)| Some((slot, cell.get()?))) {
                let (buckets, sum) = histogram.buckets();
                total.buckets.iter_mut().zip(&buckets).for_each(|(all, one)| *all += one);
                total.sum_seconds += sum;
                if STATUSES[slot % STATUSES.len()] >= 500 {
                    total.faults += buckets.iter().sum::<u64>();
                }
            }
            total
        };
        let users = self.table(Synthetic::None);
        self.routes.iter().zip(users.chunks(of_route)).map(total).collect()
    }

    pub(super) fn histogram(
        &self,
        registry: &Registry,
        method: MethodLabel,
        route: RouteIndex,
        status: u16,
        synthetic: Synthetic,
    ) -> &Histogram {
        // An index can come from the table of another app.
        let route = if route.0 < self.routes.len() { route.0 } else { 0 };
        let status = status_slot(status);
        let slot = (route * METHODS.len() + usize::from(method.0)) * STATUSES.len() + status;
        self.table(synthetic)[slot].get_or_init(|| {
            let values = [method.as_str(), self.routes[route], STATUS_LABELS[status], synthetic.as_str()];
            registry.histogram(&HTTP_REQUEST_DURATION, &values)
        })
    }

    fn table(&self, synthetic: Synthetic) -> &Slots {
        let slots = self.routes.len() * METHODS.len() * STATUSES.len();
        self.tables[synthetic as usize].get_or_init(|| (0..slots).map(|_| OnceLock::new()).collect())
    }
}

fn status_slot(status: u16) -> usize {
    const SLOTS: [u8; 600] = {
        let mut slots = [0; 600];
        let mut status = 0;
        while status < slots.len() {
            slots[status] = nearest(status as u16) as u8;
            status += 1;
        }
        slots
    };
    usize::from(*SLOTS.get(usize::from(status)).unwrap_or(&SLOTS[500]))
}

/// The listed status of the same class that is nearest, the lower of two. There is none of class 1xx, which is
/// never final: those and what is no status at all count as 500, where somebody will look.
const fn nearest(status: u16) -> usize {
    let class = if status / 100 >= 2 && status / 100 <= 5 { status } else { 500 };
    let (mut best, mut best_distance, mut at) = (0, u16::MAX, 0);
    while at < STATUSES.len() {
        let distance = STATUSES[at].abs_diff(class);
        if STATUSES[at] / 100 == class / 100 && distance < best_distance {
            (best, best_distance) = (at, distance);
        }
        at += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_counts_as_itself_or_as_the_nearest_of_its_class() {
        let label = |status| STATUS_LABELS[status_slot(status)];
        for (status, text) in STATUSES.iter().zip(STATUS_LABELS) {
            assert_eq!(label(*status), *text);
        }
        for (status, text) in [(202, "201"), (302, "303"), (418, "415"), (502, "503"), (101, "500"), (999, "500")] {
            assert_eq!(label(status), text, "{status}");
        }
    }

    #[test]
    fn every_standard_method_has_its_own_label() {
        for name in METHODS {
            let method = Method::from_bytes(name.as_bytes());
            assert_eq!(method.map(|method| MethodLabel::from(&method).as_str()).ok(), Some(name));
            assert_eq!(MethodLabel::from_name(name).as_str(), name);
        }
        let brew = Method::from_bytes(b"BREW");
        assert_eq!(brew.map(|method| MethodLabel::from(&method)).ok(), Some(MethodLabel::OTHER));
    }
}
