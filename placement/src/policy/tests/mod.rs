//! Each policy by hand, and what is true of all of them.

mod balance;
mod eta;
mod ledger;
mod order;
mod properties;
mod router;
mod score;
