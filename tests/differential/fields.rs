//! The fields of the runtime spec with the values that they are given.

use serde_json::{Map, Value};

use crate::case::Driver;
use crate::patch::Patch;

const PROCESS: &str = include_str!("fields/process.json");
const RESOURCES: &str = include_str!("fields/resources.json");
const OTHERS: [&str; 3] = [
    include_str!("fields/root.json"),
    include_str!("fields/mounts.json"),
    include_str!("fields/linux.json"),
];
const CGROUPFS: &str = include_str!("fields/cgroupfs.json");
const SYSTEMD: &str = include_str!("fields/systemd.json");
const GROUPS: &str = include_str!("fields/groups.json");

/// A field and its values.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) values: Vec<Value>,
}

/// The tables from which mutations are drawn.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Each table has the same chance, because the tables differ in length.
    pub(crate) tables: Vec<Vec<Field>>,
    /// Mutations that have an effect only together.
    pub(crate) groups: Vec<Vec<Patch>>,
    /// The tables of `exec` and `update`, with paths in their documents.
    pub(crate) process: Vec<Field>,
    pub(crate) resources: Vec<Field>,
}

impl Fields {
    pub(crate) fn load(driver: Driver) -> serde_json::Result<Self> {
        let driver = match driver {
            Driver::Cgroupfs => CGROUPFS,
            Driver::Systemd => SYSTEMD,
        };
        let mut tables = vec![table(PROCESS)?, table(RESOURCES)?];
        for text in OTHERS {
            tables.push(table(text)?);
        }
        // A cgroup path is drawn as often as any resource.
        tables[1].extend(table(driver)?);
        Ok(Self {
            tables,
            groups: serde_json::from_str(GROUPS)?,
            process: below(table(PROCESS)?, "/process"),
            resources: below(table(RESOURCES)?, "/linux/resources"),
        })
    }
}

fn table(text: &str) -> serde_json::Result<Vec<Field>> {
    let members: Map<String, Value> = serde_json::from_str(text)?;
    let field = |(path, values): (String, Value)| {
        let values = values.as_array().cloned().unwrap_or_else(|| vec![values]);
        Field { path, values }
    };
    Ok(members.into_iter().map(field).collect())
}

fn below(table: Vec<Field>, prefix: &str) -> Vec<Field> {
    let fields = table.into_iter().filter_map(|field| {
        let path = field.path.strip_prefix(prefix)?.to_owned();
        (!path.is_empty()).then_some(Field { path, ..field })
    });
    fields.collect()
}
