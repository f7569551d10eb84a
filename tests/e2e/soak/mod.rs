//! What `make soak` adds to `make test`: whole sweeps and tables, crowds, endurance, and the second of two similar tests.

mod crowd;
mod endurance;
mod leaks;
