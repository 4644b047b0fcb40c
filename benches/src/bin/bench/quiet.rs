//! Whether the machine was quiet: figures of a busy one say little.

use std::time::{Duration, Instant};

use benches::cpu::Machine;

use crate::stage::Stage;

/// How much of the machine others had meanwhile.
pub(crate) struct Quiet {
    began: Instant,
    machine: Machine,
    ours: Duration,
}

impl Quiet {
    /// From now on.
    pub(crate) fn begin(stage: &Stage) -> anyhow::Result<Self> {
        Ok(Self { began: Instant::now(), machine: Machine::now()?, ours: stage.cpu()? })
    }

    /// Until now, in words.
    pub(crate) fn end(&self, stage: &Stage) -> anyhow::Result<String> {
        let (now, ours, took) = (Machine::now()?, stage.cpu()? - self.ours, self.began.elapsed().as_secs_f64());
        let others = (now.busy - self.machine.busy).saturating_sub(ours).as_secs_f64() / took;
        let stolen = (now.stolen - self.machine.stolen).as_secs_f64() / took;
        Ok(format!("beside this, other work took {others:.2} cores, and the host {stolen:.2} for other machines"))
    }
}
