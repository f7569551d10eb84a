//! What the X710's device model tells about itself.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::guest::lab::Lab;
use crate::qemu::hardware::x710_id;

impl Lab {
    /// The lines of the device model's journal: each is something that a driver did and the model
    /// does not know, or that no hardware would accept. A `Lab` that ends with such a line panics.
    pub fn x710_journal(&self) -> Result<String> {
        self.journal.read()
    }

    /// The VSIs of a PF of the X710, as its drivers have set them up: VLANs, filters, promiscuity.
    pub fn x710_vsis(&self, port: u8) -> Result<Vec<Value>> {
        let table = self.machine.property(&x710_id(port), "vsi-table")?;
        let failed = |what: String| Error::Qmp { command: "qom-get vsi-table".into(), what };
        let table: Value = serde_json::from_str(table.as_str().unwrap_or_default())
            .map_err(|error| failed(error.to_string()))?;
        table["vsis"].as_array().cloned().ok_or_else(|| failed(table.to_string()))
    }

    /// Plugs the cable of a PF of the X710 in, or pulls it out.
    pub fn set_x710_cable(&self, port: u8, plugged_in: bool) -> Result<()> {
        self.machine.set_cable(&x710_id(port), plugged_in)
    }
}
