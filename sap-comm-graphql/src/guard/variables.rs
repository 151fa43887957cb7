use async_graphql::{Value, Variables};

use super::{GuardLimits, Refused, within};

/// Counts the values in the variables.
pub(super) fn check(limits: &GuardLimits, variables: &Variables) -> Result<(), Refused> {
    let mut values = 0;
    variables.values().try_for_each(|value| count(limits, value, 1, &mut values))
}

fn count(limits: &GuardLimits, value: &Value, depth: usize, values: &mut usize) -> Result<(), Refused> {
    *values += 1;
    within(*values, "max_variables", limits.max_variables)?;
    within(depth, "max_depth", limits.max_depth)?;
    match value {
        Value::List(items) => items.iter().try_for_each(|item| count(limits, item, depth + 1, values)),
        Value::Object(fields) => fields.values().try_for_each(|field| count(limits, field, depth + 1, values)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn many_and_deep_values_are_refused() {
        let limits = GuardLimits { max_variables: 100, max_depth: 10, ..GuardLimits::default() };
        let passes = |value| check(&limits, &Variables::from_json(value)).is_ok();
        assert!(passes(json!({"input": {"list": vec![1; 90]}})));
        assert!(!passes(json!({"input": {"list": vec![1; 100]}})));
        let mut deep = json!(1);
        for _ in 0..11 {
            deep = json!([deep]);
        }
        assert!(!passes(json!({"deep": deep})));
    }
}
