//! Keeps the fields of a record that this runvf does not know when it writes the record again.
//!
//! After a downgrade, a record may have fields of the newer runvf. They must be there again after
//! the next upgrade.

use serde_json::Value;

/// Adds to `next` the fields of `stored` that are missing in `known`, at any depth. `stored` is the
/// record on disk, and `known` is what this runvf understood of it.
pub(super) fn keep_unknown_fields(stored: &Value, known: &Value, next: &mut Value) {
    let (Value::Object(stored), Value::Object(known), Value::Object(next)) = (stored, known, next)
    else {
        return;
    };
    for (name, value) in stored {
        match (known.get(name), next.get_mut(name)) {
            (None, None) => {
                next.insert(name.clone(), value.clone());
            }
            (Some(known), Some(next)) => keep_unknown_fields(value, known, next),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_kept_and_known_ones_are_replaced() {
        let stored = json!({"a": 1, "new": [2], "in": {"b": 3, "deep": {"c": 4}}, "gone": 5});
        let known = json!({"a": 1, "in": {"b": 3}, "gone": 5});
        let mut next = json!({"a": 6, "in": {"b": 7}});
        keep_unknown_fields(&stored, &known, &mut next);
        assert_eq!(next, json!({"a": 6, "new": [2], "in": {"b": 7, "deep": {"c": 4}}}));
    }

    #[test]
    fn the_fields_of_an_earlier_state_are_not_kept() {
        let stored = json!({"state": {"lost": {"reason": "r", "since": 1}}});
        let known = json!({"state": {"lost": {"reason": "r"}}});
        for next in [json!({"state": "releasing"}), json!({"state": {"quarantined": {}}})] {
            let mut kept = next.clone();
            keep_unknown_fields(&stored, &known, &mut kept);
            assert_eq!(kept, next);
        }
    }
}
