//! A figure of a NIC's setting: a number, the driver's maximum, or the driver's own value.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// `"keep"`: as the driver has set it.
    Keep,
    /// `"max"`: the most that the driver supports.
    Max,
    /// From 0 on.
    Number(u32),
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep => serializer.serialize_str("keep"),
            Self::Max => serializer.serialize_str("max"),
            Self::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FigureVisitor)
    }
}

/// A visitor and not an untagged enum, because the error of an untagged enum says only that no
/// variant matched.
struct FigureVisitor;

impl Visitor<'_> for FigureVisitor {
    type Value = Figure;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"max\" or \"keep\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Figure, E> {
        let figure = u32::try_from(number).map(Figure::Number);
        figure.map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Figure, E> {
        match text {
            "keep" => Ok(Figure::Keep),
            "max" => Ok(Figure::Max),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}
