//! What is asked of a lab while it lives: nodes that come, are killed, stopped, started again.

use rustix::process::Signal;

use super::super::ctl::{Answer, Call, Request};
use super::super::node::{self, NodeState};
use super::super::plan;
use super::{KILLED_MAX, Supervisor};
use crate::lab::LabError;

/// Seeds that a node which comes later gets.
const SEEDS_MAX: usize = 3;

impl Supervisor {
    pub(super) async fn answer(&mut self, (request, answer): Call) {
        let told = request.told();
        let outcome = match self.obey(request).await {
            Ok(()) => {
                if let Some(told) = told {
                    tracing::info!("lab ctl: {told}");
                }
                Answer::Done(self.report())
            }
            Err(error) => Answer::Refused(error.to_string()),
        };
        self.tell_page();
        if answer.send(outcome).is_err() {
            tracing::debug!("whoever asked is gone");
        }
    }

    async fn obey(&mut self, request: Request) -> Result<(), LabError> {
        self.notice_deaths()?;
        match request {
            Request::Status => Ok(()),
            Request::Add { zone } => self.add(zone.as_deref()).await,
            Request::Kill { node } => {
                let index = self.find_up(&node)?;
                self.nodes[index].signal(Signal::KILL)?;
                self.wait_ended(&[index], KILLED_MAX).await
            }
            Request::Stop { node } => {
                let index = self.find_up(&node)?;
                self.nodes[index].signal(Signal::STOP)
            }
            Request::Continue { node } => {
                let index = self.find_up(&node)?;
                self.nodes[index].signal(Signal::CONT)
            }
            Request::Restart { node } => self.restart(&node).await,
        }
    }

    async fn add(&mut self, zone: Option<&str>) -> Result<(), LabError> {
        let number = self.nodes.iter().map(|node| node.spec.plan.number).max().unwrap_or(0).saturating_add(1);
        let plan = plan::node(number, zone, &self.zones)?;
        let (mut node, listener) = self.place(plan.clone())?;
        self.network.add(std::slice::from_ref(&plan), &self.subnets).await?;
        let mut plans: Vec<_> = self.nodes.iter().map(|node| node.spec.plan.clone()).collect();
        plans.push(plan.clone());
        self.network.introduce(&plans).await?;
        self.links.add(&self.network, &plan).await?;
        node.start(listener, &self.seeds(&plan.name))?;
        self.nodes.push(node);
        Ok(())
    }

    async fn restart(&mut self, name: &str) -> Result<(), LabError> {
        let index = self.find(name)?;
        self.end(&[index], true).await?;
        let published = self.nodes[index].spec.published;
        let (listener, _) = node::publish(name, published.port())?;
        let seeds = self.seeds(name);
        self.nodes[index].start(listener, &seeds)
    }

    /// Some of the other nodes, those that run first.
    fn seeds(&self, name: &str) -> Vec<std::net::SocketAddrV4> {
        let mut others: Vec<_> = self.nodes.iter().filter(|node| node.name() != name).collect();
        others.sort_by_key(|node| node.state() != NodeState::Running);
        others.iter().take(SEEDS_MAX).map(|node| node.spec.address).collect()
    }

    fn find(&self, name: &str) -> Result<usize, LabError> {
        let index = self.nodes.iter().position(|node| node.name() == name);
        index.ok_or_else(|| LabError::NoSuchNode(name.to_owned()))
    }

    fn find_up(&self, name: &str) -> Result<usize, LabError> {
        let index = self.find(name)?;
        match self.nodes[index].state() {
            NodeState::Down => {
                Err(LabError::WrongState { node: name.to_owned(), state: NodeState::Down.name() })
            }
            NodeState::Running | NodeState::Stopped => Ok(index),
        }
    }
}
