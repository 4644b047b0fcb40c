//! Who is let in when; time stands still until a test lets it pass.

use tokio::sync::oneshot::error::TryRecvError;

use super::*;

type Pass = oneshot::Receiver<Ahead>;

const WAIT_MAX: Duration = Duration::from_secs(5);

impl Gate {
    fn let_pass(&self, time: Duration) {
        self.0.passed.fetch_add(time.as_nanos() as u64, SeqCst);
    }

    /// Time passes in which the database moves.
    fn let_pass_moving(&self, time: Duration) {
        self.let_pass(time);
        self.0.moves();
    }

    /// A look, after so many have been served since the last one.
    fn look(&self, served: u64) {
        let served = self.0.served.load(SeqCst) - served;
        self.0.look(Look { served, ..Look::default() });
    }
}

fn hold(gate: &Gate) -> Pass {
    gate.hold(WAIT_MAX)
}

fn refused(held: &mut [Pass]) -> usize {
    held.iter_mut().filter_map(|one| one.try_recv().err()).filter(|error| *error == TryRecvError::Closed).count()
}

fn closed() -> (Gate, Vec<Ahead>) {
    let gate = Gate::default();
    let ahead = (0..AHEAD_MAX).map(|_| gate.waits()).collect();
    assert!(gate.is_closed());
    (gate, ahead)
}

/// One of those that wait is served; who is let in for it waits in its place.
fn serve(ahead: &mut Vec<Ahead>, held: &mut [Pass]) -> Vec<usize> {
    ahead.pop().expect("somebody waits").served();
    let passed: Vec<_> = held.iter_mut().map(pass).enumerate().filter(|(_, pass)| pass.is_some()).collect();
    let (places, passes): (Vec<_>, Vec<_>) = passed.into_iter().unzip();
    ahead.extend(passes.into_iter().flatten());
    places
}

fn pass(held: &mut Pass) -> Option<Ahead> {
    held.try_recv().ok()
}

/// Whether it is let in now; its pass is gone then.
fn passes(held: &mut Pass) -> bool {
    pass(held).is_some()
}

#[test]
fn it_closes_when_enough_wait_for_the_database_and_opens_when_one_of_them_is_served() {
    let (gate, mut ahead) = closed();
    ahead.pop().unwrap().served();
    assert!(!gate.is_closed());
}

#[test]
fn those_that_are_held_are_read_in_order_of_arrival() {
    let (gate, mut ahead) = closed();
    let mut held: Vec<_> = (0..3).map(|_| hold(&gate)).collect();
    for expected in 0..3 {
        assert!(gate.is_closed());
        assert_eq!(serve(&mut ahead, &mut held), [expected]);
    }
}

/// One that holds too many, at a pace at which few may be held.
fn crowded() -> (Gate, Vec<Ahead>, Vec<Pass>) {
    let (gate, ahead) = closed();
    gate.let_pass_moving(LOOK_EVERY);
    gate.look(0);
    let held = (0..2 * HELD_FEW).map(|_| hold(&gate)).collect();
    gate.let_pass_moving(HELD_FAIRLY_MAX);
    (gate, ahead, held)
}

#[test]
fn where_too_many_are_held_those_that_came_of_late_are_read_and_the_others_now_and_then() {
    let (gate, mut ahead, mut held) = crowded();
    for expected in 0..FRESH_MAX as usize - 1 {
        assert_eq!(serve(&mut ahead, &mut held), [expected]);
    }
    assert_eq!(serve(&mut ahead, &mut held), [0; 0], "all of them are late");
    ahead.push(gate.waits());
    let mut newer = [hold(&gate), hold(&gate)];
    assert_eq!(serve(&mut ahead, &mut newer), [0]);
    assert_eq!(serve(&mut ahead, &mut newer), [1]);
    for _ in FRESH_MAX + 3..LATE_EVERY {
        assert_eq!(serve(&mut ahead, &mut [hold(&gate)]), [0]);
        assert!(!held.iter_mut().any(passes));
    }
    assert_eq!(serve(&mut ahead, &mut held), [FRESH_MAX as usize - 1], "it is the turn of the oldest");
}

#[test]
fn as_many_as_are_soon_served_are_read_in_order_of_arrival() {
    let (gate, mut ahead) = closed();
    gate.let_pass_moving(Duration::from_secs(1));
    let served = 4 * HELD_FEW as u64 * 10;
    gate.0.served.fetch_add(served, SeqCst);
    gate.look(served);
    let mut held: Vec<_> = (0..6 * HELD_FEW).map(|_| hold(&gate)).collect();
    for expected in 0..HELD_FEW {
        assert_eq!(serve(&mut ahead, &mut held), [expected], "nobody has been held for long");
    }
    gate.let_pass_moving(HELD_FAIRLY_MAX);
    assert_eq!(serve(&mut ahead, &mut held), [0; 0], "too many");
    ahead.push(gate.waits());
    held.drain(..2 * HELD_FEW); // those that leave first are no longer held
    for expected in 0..held.len() {
        assert_eq!(serve(&mut ahead, &mut held), [expected]);
    }
}

#[test]
fn what_is_late_is_read_when_all_is_quiet() {
    let (gate, mut ahead, mut held) = crowded();
    for _ in 0..FRESH_MAX {
        serve(&mut ahead, &mut held);
    }
    let mut late = held.split_off(FRESH_MAX as usize - 1);
    gate.look(FRESH_MAX);
    assert!(!late.iter_mut().any(passes), "others wait");
    ahead.into_iter().for_each(Ahead::served);
    gate.look(FRESH_MAX);
    assert!(!late.iter_mut().any(passes), "it has been closed just now");
    gate.let_pass(QUIET + Duration::from_millis(1));
    gate.look(FRESH_MAX);
    for late in &mut late {
        assert!(passes(late), "where nobody comes any more, the next follows");
    }
}

#[test]
fn the_pace_is_that_of_the_last_moments() {
    let second = Duration::from_secs(1).as_nanos() as u64;
    let first = Look { per_second: Look::default().pace(second, 1000), at: second, served: 1000 };
    assert_eq!(first.per_second, 1000.0, "the first is taken as it is");
    assert_eq!(first.pace(second + second / 10, 1000), 800.0, "a tenth of a second without any is a fifth less");
    assert_eq!(first.pace(2 * second, 1100), 100.0);
}

#[test]
fn those_whom_the_gate_does_not_see_keep_nobody_out_for_ever() {
    let (gate, mut ahead) = closed();
    ahead.extend((0..9 * AHEAD_MAX).map(|_| gate.waits()));
    let mut let_in = 0;
    for _ in 0..20 * AHEAD_MAX {
        let_in += serve(&mut ahead, &mut [hold(&gate)]).len();
        if ahead.len() < AHEAD_MAX {
            ahead.push(gate.waits());
        }
    }
    assert!(let_in > AHEAD_MAX);
    assert_eq!(ahead.len(), AHEAD_MAX, "too many become fewer");
}

#[test]
fn a_database_that_does_not_move_closes_nothing_and_lets_all_in() {
    let (gate, mut ahead) = closed();
    let mut held: Vec<_> = (0..100).map(|_| hold(&gate)).collect();
    gate.let_pass(STANDSTILL + Duration::from_millis(1));
    assert!(!gate.is_closed());
    drop(ahead.pop()); // it has waited in vain
    assert!(held.iter_mut().all(passes));
    let mut next = hold(&gate);
    assert!(passes(&mut next), "it comes at the moment at which that is noticed");
    ahead.pop().unwrap().served();
    ahead.extend([gate.waits(), gate.waits()]);
    assert!(gate.is_closed(), "it moves again");
}

#[test]
fn a_pass_that_nobody_takes_goes_to_the_next() {
    let (gate, mut ahead) = closed();
    let (leaves, leaves_late, mut stays) = (hold(&gate), hold(&gate), hold(&gate));
    drop(leaves);
    ahead.pop().unwrap().served(); // goes to `leaves_late`, which has not looked yet
    assert!(!passes(&mut stays));
    drop(leaves_late);
    assert!(passes(&mut stays));
}

#[test]
fn a_service_that_stops_lets_all_in() {
    let (gate, _ahead) = closed();
    let mut held: Vec<_> = (0..3).map(|_| hold(&gate)).collect();
    gate.open();
    assert!(held.iter_mut().all(passes));
    assert!(!gate.is_closed());
    assert!(passes(&mut hold(&gate)), "it comes at that moment");
}

#[test]
fn those_whose_time_is_over_are_refused_at_a_pace_and_none_of_them_is_let_in() {
    let (gate, mut ahead) = closed();
    let mut held: Vec<_> = (0..100).map(|_| hold(&gate)).collect();
    gate.let_pass_moving(WAIT_MAX - Duration::from_millis(1));
    let mut later = hold(&gate);
    gate.look(0);
    assert_eq!(refused(&mut held), 0);
    gate.let_pass(Duration::from_millis(1));
    gate.look(0);
    assert_eq!(refused(&mut held), REFUSED_MIN as usize);
    held.drain(..REFUSED_MIN as usize);
    gate.0.served.fetch_add(20 * REFUSED_EVERY, SeqCst);
    gate.look(20 * REFUSED_EVERY);
    assert_eq!(refused(&mut held), 20);
    held.drain(..20);
    assert_eq!(serve(&mut ahead, &mut held), [0; 0]);
    assert!(passes(&mut later), "it has time left");
}

#[test]
fn nobody_is_held_for_more_than_twice_its_time() {
    let (gate, _ahead) = closed();
    let mut held: Vec<_> = (0..1000).map(|_| hold(&gate)).collect();
    gate.let_pass_moving(2 * WAIT_MAX);
    let mut later = [hold(&gate)];
    gate.look(0);
    assert_eq!((refused(&mut held), refused(&mut later)), (1000, 0));
}

#[test]
fn when_all_is_quiet_those_whose_time_is_over_are_let_in_until_it_is_too_late() {
    let (gate, ahead, mut too_late) = crowded();
    gate.let_pass_moving(WAIT_MAX / 2);
    let mut over: Vec<_> = (0..2 * HELD_FEW).map(|_| hold(&gate)).collect();
    gate.0.served.fetch_add(FRESH_MAX, SeqCst);
    ahead.into_iter().for_each(drop);
    gate.let_pass_moving(WAIT_MAX);
    gate.look(0);
    assert!(passes(&mut over[0]));
    assert!(!too_late.iter_mut().any(passes));
}

#[test]
fn a_service_that_stops_refuses_those_whose_time_is_over() {
    let (gate, _ahead) = closed();
    let mut over = [hold(&gate)];
    gate.let_pass_moving(WAIT_MAX);
    let mut in_time = hold(&gate);
    gate.open();
    assert_eq!((refused(&mut over), passes(&mut in_time)), (1, true));
}

/// Many threads that come, wait and leave: whoever stays is let in, and nothing is counted twice.
#[test]
fn nobody_is_forgotten_whatever_meets() {
    let gate = Gate::default();
    gate.0.fairly.store(8, SeqCst);
    let mut stay = std::thread::scope(|scope| {
        let comes = |leaves: usize| {
            let mut stay = Vec::new();
            for turn in 0..2_000 {
                let ahead: Vec<_> = (0..AHEAD_MAX / 3).map(|_| gate.waits()).collect();
                if gate.is_closed() {
                    let held = hold(&gate);
                    if turn % leaves != 0 {
                        stay.push(held);
                    }
                }
                ahead.into_iter().for_each(Ahead::served);
                if turn % 100 == 0 {
                    gate.look(0);
                    gate.0.fairly.store(8, SeqCst);
                    gate.let_pass(HELD_FAIRLY_MAX / 10);
                }
                stay.retain_mut(|held| pass(held).is_none());
            }
            stay
        };
        let threads: Vec<_> = (2..6).map(|leaves| scope.spawn(move || comes(leaves))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    gate.let_pass(QUIET * 2);
    gate.waits().served();
    let mut before = usize::MAX;
    while stay.len() < before {
        before = stay.len();
        stay.retain_mut(|held| pass(held).is_none());
    }
    assert_eq!((stay.len(), gate.0.ahead.load(SeqCst), gate.0.held().len()), (0, 0, 0));
}
