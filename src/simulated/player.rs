//! The thread that a run is computed on.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use starling_overlay::sim::{Fault, Report, Scenario, Watcher, World, run_mixed_shown, run_shown};
use starling_overlay::{BootEpoch, Time, View};
use tokio::sync::oneshot;

use super::{Nobody, Playing, Seen, Stage};
use crate::dashboard::Board;
use crate::events::{Events, NodeEvent};
use crate::node::Listeners;

/// How often the world is looked at, in virtual time; a step is so long.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What is played, and how it begins.
#[derive(Clone, Debug)]
pub struct Play {
    /// The run; none of a mixed one, which its seed alone makes.
    pub scenario: Option<Scenario>,
    /// Makes all random choices.
    pub seed: u64,
    /// Virtual seconds in a second.
    pub speed: f64,
    /// It waits for an order before anything happens.
    pub paused: bool,
}

/// Where the thread shows what it computes; the stage is made with the first look.
struct Player {
    play: Play,
    stage: Option<Arc<Stage>>,
    first: Option<oneshot::Sender<Arc<Stage>>>,
    /// Entries of the world's log that were told.
    told: usize,
    /// When the last look was over.
    looked: Instant,
}

/// Begins to play. The thread ends with the process.
pub async fn play(play: Play) -> std::io::Result<Arc<Stage>> {
    let (first, ready) = oneshot::channel();
    let player = Player { play, stage: None, first: Some(first), told: 0, looked: Instant::now() };
    std::thread::Builder::new().name("simulation".to_owned()).spawn(move || over_and_over(player))?;
    ready.await.map_err(std::io::Error::other)
}

fn over_and_over(player: Player) {
    let play = player.play.clone();
    let player = Arc::new(Mutex::new(player));
    loop {
        let at = Arc::clone(&player);
        let watcher = Watcher::new(LOOK_INTERVAL, move |world, fault| at.lock().look(world, fault));
        let report = match &play.scenario {
            Some(scenario) => run_shown(scenario, watcher),
            None => run_mixed_shown(play.seed, watcher),
        };
        player.lock().rest(&report);
    }
}

impl Player {
    fn look(&mut self, world: &World, fault: Option<&Fault>) {
        let now = world.now().since(Time::ZERO);
        let seen_by = self.stage.as_ref().map_or(1, |stage| stage.playing.lock().seen_by);
        // Where that node is down, the first one that is up.
        let swim = world.node(seen_by - 1).or_else(|| (0..world.len()).find_map(|index| world.node(index)));
        let Some(swim) = swim else { return };
        let at = Instant::now();
        let Some(origin) = at.checked_sub(now) else { return };
        let seen = Seen { view: Arc::new(View::of(swim, origin, at)), at };
        let stage = match &self.stage {
            Some(stage) => {
                *stage.seen.lock() = seen;
                Arc::clone(stage)
            }
            None => self.open(world, seen),
        };
        for entry in &world.log()[self.told.min(world.log().len())..] {
            if entry.node == seen_by - 1 {
                stage.events.tell(&NodeEvent::Membership(&entry.event));
            }
        }
        self.told = world.log().len();
        let mut playing = stage.playing.lock();
        playing.passed(now);
        if let Some(fault) = fault {
            playing.went_wrong(now, fault);
            return;
        }
        let due = self.looked + playing.pace(LOOK_INTERVAL);
        loop {
            let held = playing.paused && playing.steps == 0 && !playing.again;
            let now = Instant::now();
            if held {
                stage.ordered.wait(&mut playing);
            } else if !playing.paused && now < due && playing.until_s.is_none() && !playing.again {
                stage.ordered.wait_until(&mut playing, due);
            } else {
                break;
            }
        }
        playing.steps = playing.steps.saturating_sub(1);
        // What could not be computed in time is not made up for.
        self.looked = Instant::now();
    }

    fn open(&mut self, world: &World, seen: Seen) -> Arc<Stage> {
        let Play { seed, speed, paused, .. } = self.play;
        let boot = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let name = seen.view.local.identity.name.clone();
        let stage = Arc::new(Stage {
            playing: Mutex::new(Playing::new((seed, world.len()), speed, paused)),
            ordered: Condvar::new(),
            seen: Mutex::new(seen),
            events: Events::new(name, BootEpoch(boot), Arc::new(Nobody)),
            board: Board::default(),
            listeners: Listeners::default(),
            boot,
        });
        self.stage = Some(Arc::clone(&stage));
        if let Some(first) = self.first.take() {
            // Nobody waits for it where the command ends already.
            drop(first.send(Arc::clone(&stage)));
        }
        stage
    }

    /// A run is over: the last picture stays until it is to begin again.
    fn rest(&mut self, report: &Report) {
        let Some(stage) = &self.stage else { return };
        stage.ended(report);
        let mut playing = stage.playing.lock();
        while !playing.again {
            stage.ordered.wait(&mut playing);
        }
        playing.begin_again();
        drop(playing);
        self.told = 0;
        self.looked = Instant::now();
    }
}
