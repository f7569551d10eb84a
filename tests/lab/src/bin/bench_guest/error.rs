/// Errors are only printed, so their type does not matter.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
