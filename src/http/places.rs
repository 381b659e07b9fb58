//! Room for connections: how many, how many of one client, and who is closed when there is no more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ServerLimits;
use super::activity::{Activity, Busy};
use crate::content::network_of;
use crate::node::{ClientSlot, Clients};

/// Connections beyond the others that are kept for members, as a part of those: what strangers do shuts no member out.
const MEMBERS_PART: u32 = 8;
const MEMBERS_PLACES_MIN: u32 = 4;
const MEMBERS_PLACES_MAX: u32 = 64;
/// Connections that wait for a place at once; further ones are told that there is none.
pub const WAITING_MAX: usize = 16;
/// And how long each of them waits.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Room for connections, over all listeners. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: ServerLimits,
    free: Arc<Semaphore>,
    for_members: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    clients: Clients,
    open: Mutex<HashMap<u64, Open>>,
    next_id: AtomicU64,
    /// A request is over.
    rests: Notify,
}

/// An open connection, as whoever looks for one to close sees it.
#[derive(Debug)]
struct Open {
    client: IpAddr,
    is_members: bool,
    activity: Arc<Activity>,
    close: CancellationToken,
}

/// One connection's place; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    id: u64,
    /// What it is at.
    pub(super) activity: Arc<Activity>,
    /// Set when its place is somebody else's.
    pub(super) close: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _slot: Option<ClientSlot>,
}

/// What a new connection finds.
pub(super) enum Entered {
    /// A place.
    Placed(Place),
    /// None now, but perhaps soon.
    Wait(Waiting),
    /// Its client has as many as it may.
    TooMany,
    /// None, and too many wait already.
    Full,
}

/// A new connection without a place.
pub(super) struct Waiting {
    places: Places,
    client: IpAddr,
    slot: ClientSlot,
    _turn: OwnedSemaphorePermit,
}

/// How many places are kept for members where there are so many for all.
fn members_places(connections_max: u32) -> u32 {
    (connections_max / MEMBERS_PART).clamp(MEMBERS_PLACES_MIN, MEMBERS_PLACES_MAX)
}

impl Places {
    pub(super) fn new(limits: ServerLimits) -> Self {
        Self(Arc::new(Inner {
            limits,
            free: Arc::new(Semaphore::new(limits.connections_max as usize)),
            for_members: Arc::new(Semaphore::new(members_places(limits.connections_max) as usize)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            clients: Clients::new(limits.connections_per_client),
            open: Mutex::default(),
            next_id: AtomicU64::new(0),
            rests: Notify::new(),
        }))
    }

    pub(super) fn limits(&self) -> ServerLimits {
        self.0.limits
    }

    /// A place for a connection from this address, at the cost of the idlest one if there is no other. `is_member` is asked only
    /// where it matters.
    pub(super) fn enter(&self, client: IpAddr, is_member: impl Fn() -> bool) -> Entered {
        let slot = self.0.clients.enter(client);
        if slot.is_some()
            && let Ok(permit) = Arc::clone(&self.0.free).try_acquire_owned()
        {
            return Entered::Placed(self.place(client, false, permit, slot));
        }
        if is_member()
            && let Ok(permit) = Arc::clone(&self.0.for_members).try_acquire_owned()
        {
            return Entered::Placed(self.place(client, true, permit, slot));
        }
        let Some(slot) = slot else { return Entered::TooMany };
        match Arc::clone(&self.0.waiting).try_acquire_owned() {
            Ok(turn) => Entered::Wait(Waiting { places: self.clone(), client, slot, _turn: turn }),
            Err(_) => Entered::Full,
        }
    }

    fn place(
        &self,
        client: IpAddr,
        is_members: bool,
        permit: OwnedSemaphorePermit,
        slot: Option<ClientSlot>,
    ) -> Place {
        let (activity, close) = (Arc::new(Activity::new()), CancellationToken::new());
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            client: network_of(client),
            is_members,
            activity: Arc::clone(&activity),
            close: close.clone(),
        };
        self.open().insert(id, open);
        Place { places: self.clone(), id, activity, close, _permit: permit, _slot: slot }
    }

    /// Closes the connection without a request that has had none for longest, of the client with the most connections. False: all
    /// have one.
    fn close_idlest(&self) -> bool {
        let open = self.open();
        let mut of_client: HashMap<IpAddr, u32> = HashMap::new();
        for connection in open.values() {
            *of_client.entry(connection.client).or_default() += 1;
        }
        let idle = open.values().filter_map(|connection| {
            let may = !connection.is_members && !connection.close.is_cancelled();
            let since = connection.activity.idle_since().filter(|_| may)?;
            Some((of_client.get(&connection.client), std::cmp::Reverse(since), connection))
        });
        let idlest = idle.max_by_key(|(connections, since, _)| (*connections, *since));
        if let Some((_, _, connection)) = idlest {
            tracing::debug!(client = %connection.client, "no room: an idle connection is closed");
            connection.close.cancel();
        }
        idlest.is_some()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.0.open.lock()
    }
}

impl Waiting {
    /// Waits until there is a place, or long enough.
    pub(super) async fn place(self) -> Option<Place> {
        let Self { places, client, slot, _turn } = self;
        let until = Instant::now() + WAIT_MAX;
        let mut permit = std::pin::pin!(Arc::clone(&places.0.free).acquire_owned());
        // One is closed for each that waits.
        let mut closed = places.close_idlest();
        loop {
            let rests = async {
                if closed {
                    std::future::pending::<()>().await;
                }
                places.0.rests.notified().await;
            };
            tokio::select! {
                permit = timeout_at(until, &mut permit) => {
                    let permit = permit.ok()?.ok()?;
                    return Some(places.place(client, false, permit, Some(slot)));
                }
                () = rests => closed = places.close_idlest(),
            }
        }
    }
}

impl Place {
    /// What says that a request is under way.
    pub(super) fn beginner(&self) -> impl Fn() -> Busy + Send + Sync + use<> {
        let (activity, places) = (Arc::clone(&self.activity), self.places.clone());
        move || begin(&activity, &places)
    }
}

fn begin(activity: &Arc<Activity>, places: &Places) -> Busy {
    let places = places.clone();
    // Nobody waits, mostly; then this wakes nobody, and whoever comes first looks once in vain.
    activity.begin(move || {
        if places.0.free.available_permits() == 0 {
            places.0.rests.notify_one();
        }
    })
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections_max: u32, connections_per_client: u32) -> Places {
        Places::new(ServerLimits { connections_max, connections_per_client })
    }

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn placed(places: &Places, last: u8) -> Place {
        match places.enter(ip(last), || false) {
            Entered::Placed(place) => place,
            _ => panic!("no place"),
        }
    }

    fn waits(places: &Places, last: u8) -> Waiting {
        match places.enter(ip(last), || false) {
            Entered::Wait(waiting) => waiting,
            _ => panic!("it does not wait"),
        }
    }

    /// The only place there is, whoever has it.
    fn placed_or_waits(places: &Places) -> Option<Place> {
        match places.enter(ip(1), || false) {
            Entered::Placed(place) => Some(place),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_idlest_of_who_has_most_makes_room() {
        let places = places(4, 4);
        let lonely = placed(&places, 9);
        tokio::time::advance(Duration::from_secs(1)).await;
        let many: Vec<_> = (0..3).map(|_| placed(&places, 1)).collect();
        let busy = many[0].beginner()();
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(many[1].beginner()());
        // The second one has had a request just now, the first has one, and the lonely one's client has but one.
        let waiting = tokio::spawn(waits(&places, 2).place());
        many[2].close.cancelled().await;
        assert!(![&lonely, &many[0], &many[1]].iter().any(|place| place.close.is_cancelled()));
        drop(many);
        let place = waiting.await.unwrap().expect("a place");
        drop((place, busy, lonely));
        assert!(places.open().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_busy_it_is_waited_for_one_to_rest_and_not_for_ever() {
        let places = places(1, 4);
        let place = placed(&places, 1);
        let busy = place.beginner()();
        assert!(waits(&places, 2).place().await.is_none());
        let waiting = tokio::spawn(waits(&places, 2).place());
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(busy);
        place.close.cancelled().await;
        drop(place);
        assert!(waiting.await.unwrap().is_some(), "a place");
        let _place = placed_or_waits(&places);
        let _waiting: Vec<_> = (0..WAITING_MAX as u8).map(|at| waits(&places, 10 + at)).collect();
        assert!(matches!(places.enter(ip(99), || false), Entered::Full));
    }

    #[tokio::test]
    async fn members_have_places_of_their_own_whatever_strangers_do() {
        let places = places(2, 2);
        let strangers: Vec<_> = (0..2).map(|_| placed(&places, 1)).collect();
        assert!(matches!(places.enter(ip(1), || false), Entered::TooMany));
        let members: Vec<_> = (0..MEMBERS_PLACES_MIN)
            .map(|_| match places.enter(ip(1), || true) {
                Entered::Placed(place) => place,
                _ => panic!("no place for a member"),
            })
            .collect();
        assert!(matches!(places.enter(ip(1), || true), Entered::TooMany));
        // What a member has open is nobody's to close.
        drop(strangers);
        let _strangers: Vec<_> =
            (0..2).map(|last| placed(&places, 20 + last)).map(|place| (place.beginner()(), place)).collect();
        assert!(!places.close_idlest());
        drop(members);
    }
}
