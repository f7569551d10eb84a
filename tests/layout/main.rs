//! The layout of the code: no two files import each other, the rooms of a crate import only
//! downward, and no file or function is too long.
//!
//! Imports are read from the text: `use` declarations, and paths that begin with `crate`, `super`
//! or a child module. Tests are left out, because a test imports the file that it tests.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod size;
#[cfg(test)]
mod source;
