//! What is shown, and what keys do to it.

use std::cmp::Ordering;
use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;
use starling::dashboard::{NodeState, State};
use tokio::time::Instant;

/// Rows that a page has for the keys that move by one.
const PAGE_ROWS: u16 = 10;
/// A state that is older is told to be old: one comes each second.
const OLD_AFTER: Duration = Duration::from_secs(4);

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Overview,
    Nodes,
    Links,
    Events,
    Jobs,
}

impl Page {
    pub const ALL: [Self; 5] = [Self::Overview, Self::Nodes, Self::Links, Self::Events, Self::Jobs];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Nodes => "nodes",
            Self::Links => "links",
            Self::Events => "events",
            Self::Jobs => "jobs",
        }
    }
}

/// The nodes' order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Name,
    State,
    Cpu,
    Queue,
    Rtt,
}

impl Sort {
    const ALL: [Self; 5] = [Self::Name, Self::State, Self::Cpu, Self::Queue, Self::Rtt];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::Cpu => "cpu",
            Self::Queue => "queue",
            Self::Rtt => "rtt",
        }
    }

    /// The first one is shown first: of figures that is the greatest.
    fn order(self, one: &NodeState, other: &NodeState) -> Ordering {
        let down =
            |one: Option<f64>, other: Option<f64>| other.unwrap_or(-1.0).total_cmp(&one.unwrap_or(-1.0));
        let by = match self {
            Self::Name => Ordering::Equal,
            Self::State => badness(other).cmp(&badness(one)),
            Self::Cpu => down(one.cpu, other.cpu),
            Self::Queue => other.queued.cmp(&one.queued).then(other.running.cmp(&one.running)),
            Self::Rtt => down(one.rtt_ms, other.rtt_ms),
        };
        by.then_with(|| one.name.cmp(&other.name))
    }
}

fn badness(node: &NodeState) -> u8 {
    match node.state.as_str() {
        "dead" => 3,
        "suspect" => 2,
        "left" => 1,
        _ => 0,
    }
}

/// The connection to the node that tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    Lost(String),
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    End,
}

/// All that is shown.
pub(super) struct Model {
    /// Which node is asked.
    pub node: String,
    pub link: Link,
    pub page: Page,
    pub sort: Sort,
    /// Only nodes, zones and links that are not well.
    pub unwell_only: bool,
    pub paused: bool,
    pub help: bool,
    /// Where the tables of the pages stand.
    pub tables: [TableState; Page::ALL.len()],
    state: Option<State>,
    came: Option<Instant>,
}

impl Model {
    pub fn new(node: String) -> Self {
        Self {
            node,
            link: Link::Up,
            page: Page::default(),
            sort: Sort::default(),
            unwell_only: false,
            paused: false,
            help: false,
            tables: Default::default(),
            state: None,
            came: None,
        }
    }

    /// The newest state, unless the picture is to stay.
    pub fn take(&mut self, state: State, now: Instant) {
        self.link = Link::Up;
        self.came = Some(now);
        if !self.paused || self.state.is_none() {
            self.state = Some(state);
        }
    }

    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// How old the newest state is, where that is worth a word.
    pub fn old(&self, now: Instant) -> Option<Duration> {
        self.came.map(|came| now.duration_since(came)).filter(|age| *age >= OLD_AFTER)
    }

    /// The nodes in their order.
    pub fn nodes(&self) -> Vec<&NodeState> {
        let Some(state) = &self.state else { return Vec::new() };
        let is_well = |node: &NodeState| node.state == "alive" && node.scrape_error.is_none();
        let mut nodes: Vec<_> =
            state.nodes.iter().filter(|node| !self.unwell_only || !is_well(node)).collect();
        nodes.sort_by(|one, other| self.sort.order(one, other));
        nodes
    }

    pub fn key(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Next::End } else { Next::Go };
        }
        if self.help {
            // Any key takes it away, and q is meant for that, too.
            self.help = false;
            return Next::Go;
        }
        let at = self.page as usize;
        // The overview has the nodes' table.
        let table = &mut self.tables[at];
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Next::End,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('u') => self.unwell_only = !self.unwell_only,
            KeyCode::Char('s') => self.sort = Sort::ALL[(self.sort as usize + 1) % Sort::ALL.len()],
            KeyCode::Char(digit @ '1'..='5') => self.page = Page::ALL[digit as usize - '1' as usize],
            KeyCode::Tab | KeyCode::Right => self.page = Page::ALL[(at + 1) % Page::ALL.len()],
            KeyCode::BackTab | KeyCode::Left => {
                self.page = Page::ALL[(at + Page::ALL.len() - 1) % Page::ALL.len()];
            }
            KeyCode::Down | KeyCode::Char('j') => table.select_next(),
            KeyCode::Up | KeyCode::Char('k') => table.select_previous(),
            KeyCode::PageDown => table.scroll_down_by(PAGE_ROWS),
            KeyCode::PageUp => table.scroll_up_by(PAGE_ROWS),
            KeyCode::Home => table.select_first(),
            KeyCode::End => table.select_last(),
            _ => {}
        }
        Next::Go
    }
}
