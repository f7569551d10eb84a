//! Refuses a process that runc refuses (`libcontainer/env.go`, `utils_linux.go`) and libcontainer
//! does not: without an absolute working directory or arguments, or with an invalid environment or user.
//! libcontainer panics at a variable without a name.

use std::path::Path;

use libcontainer::oci_spec::runtime::{Process, User};

use crate::error::Error;

pub(crate) fn check(process: &Process) -> Result<(), Error> {
    let bad = |problem: String| Err(Error::BadProcess { problem });
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return bad("process.args is empty; name a program".to_owned());
    }
    if let Some(problem) = problem_with_cwd(process.cwd()) {
        return bad(problem);
    }
    if let Some(problem) = problem_with_user(process.user()) {
        return bad(problem);
    }
    let variables = process.env().iter().flatten();
    match variables.filter_map(|variable| problem_with_variable(variable)).next() {
        Some(problem) => bad(problem),
        None => Ok(()),
    }
}

fn problem_with_cwd(cwd: &Path) -> Option<String> {
    let name = cwd.display();
    (!cwd.is_absolute()).then(|| format!("process.cwd is `{name}`; use an absolute path"))
}

/// setresuid(2) and setresgid(2) take this number for "no change", so that the process would keep the
/// ids of the host's root.
fn problem_with_user(user: &User) -> Option<String> {
    let ids = [("uid", user.uid()), ("gid", user.gid())];
    let (name, id) = ids.into_iter().find(|(_, id)| *id == u32::MAX)?;
    Some(format!("process.user.{name} is {id}, which is no valid id; use a smaller one"))
}

fn problem_with_variable(variable: &str) -> Option<String> {
    let lacks = match variable.split_once('=') {
        Some(("", _)) => "name",
        Some(_) => return None,
        None => "`=`",
    };
    let start: String = variable.chars().take(80).collect();
    Some(format!("process.env has the variable {start:?} without a {lacks}; use NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::line;

    fn refused(change: impl FnOnce(&mut Value)) -> Option<String> {
        let mut process =
            json!({ "cwd": "/", "args": ["true"], "user": {}, "env": ["A=b=c", "B="] });
        change(&mut process);
        check(&serde_json::from_value(process).unwrap()).err().map(|error| line(&error))
    }

    #[test]
    fn a_process_has_arguments_and_a_folder() {
        assert_eq!(refused(|_| {}), None);
        let line = "process.args is empty; name a program";
        assert_eq!(refused(|process| process["args"] = json!([])).as_deref(), Some(line));
        assert_eq!(refused(|process| process["args"] = Value::Null).as_deref(), Some(line));
        let line = "process.cwd is `tmp`; use an absolute path";
        assert_eq!(refused(|process| process["cwd"] = json!("tmp")).as_deref(), Some(line));
        assert!(refused(|process| process["cwd"] = json!("")).is_some());
    }

    #[test]
    fn an_id_that_means_no_change_is_refused() {
        for name in ["uid", "gid"] {
            let line = refused(|process| process["user"] = json!({ name: u32::MAX })).unwrap();
            assert!(line.starts_with(&format!("process.user.{name} is 4294967295")), "{line}");
            assert_eq!(refused(|process| process["user"] = json!({ name: u32::MAX - 1 })), None);
        }
    }

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        let line = |variable: &str| refused(|process| process["env"] = json!([variable]));
        let expected = "process.env has the variable \"=x\" without a name; use NAME=VALUE";
        assert_eq!(line("=x").as_deref(), Some(expected));
        assert!(line("x").unwrap().contains("\"x\" without a `=`"));
        assert!(line("").unwrap().contains("without a `=`"));
    }
}
